//! The two sections of a migration are parts of its file, in their order, without the markers.

#![no_main]

use fuzz::connect::migration_file::sections;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &str| {
    let (up, down) = sections(file);
    assert!(!up.contains("-- Down Migration"));
    let up_at = file.find(up).expect("a part of the file");
    let down_at = file.rfind(down).expect("a part of the file");
    if !down.is_empty() {
        assert!(up_at + up.len() + "-- Down Migration".len() <= down_at);
    }
    if !file.contains("Migration") {
        assert_eq!((up, down), (file.trim(), ""));
    }
    let written = format!("-- Up Migration\n{up}\n-- Down Migration\n{down}\n");
    if !up.contains("-- Up Migration") {
        assert_eq!(sections(&written), (up, down));
    }
});
