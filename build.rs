//! Lists the files in `migrations/`, so that a new one is a file and nothing else.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn main() {
    napi_build::setup();
    println!("cargo::rerun-if-changed=migrations");
    let read = |name: &str| env::var(name).expect("cargo sets it");
    let folder = Path::new(&read("CARGO_MANIFEST_DIR")).join("migrations");
    let files = fs::read_dir(&folder).expect("the package has migrations");
    let mut names: Vec<_> = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".sql").map(str::to_owned))
        .collect();
    names.sort_unstable();
    let mut list = String::from("&[\n");
    for name in names {
        let file = folder.join(format!("{name}.sql"));
        // `:?` quotes as Rust does.
        let _ = writeln!(
            list,
            "Migration {{ name: {name:?}, file: include_str!({file:?}) }},"
        );
    }
    list.push(']');
    let to = Path::new(&read("OUT_DIR")).join("migrations.rs");
    fs::write(to, list).expect("cargo has made the folder");
}
