//! Files in the format of node-pg-migrate: comments mark where each direction begins.

const UP: &str = "-- Up Migration";
const DOWN: &str = "-- Down Migration";

/// The SQL that applies a migration, and the SQL that reverts it. A file without markers only applies.
pub fn sections(file: &str) -> (&str, &str) {
    let (up, down) = file.split_once(DOWN).unwrap_or((file, ""));
    let up = up.split_once(UP).map_or(up, |(_, up)| up);
    (up.trim(), down.trim())
}
