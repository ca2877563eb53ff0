//! Rows as `COPY` reads them in its text format, and the one place where they are quoted.

use std::fmt::{Display, Write};

const MICROSECONDS_A_DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// The Julian day that began with the Unix epoch.
const EPOCH: i64 = 2_440_588;

const NULL: &str = "\\N";

#[derive(Debug, Default)]
pub struct CopyText {
    text: String,
    /// Whether the row has a column already.
    begun: bool,
}

impl CopyText {
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    pub fn clear(&mut self) {
        self.text.clear();
    }

    pub fn text(&mut self, text: Option<&str>) {
        self.column();
        let Some(text) = text else {
            self.text += NULL;
            return;
        };
        let mut rest = text;
        while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
            let (before, special) = rest.split_at(at);
            self.text += before;
            self.text += match special.as_bytes()[0] {
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                _ => "\\\\",
            };
            rest = &special[1..];
        }
        self.text += rest;
    }

    pub fn number(&mut self, number: Option<impl Display>) {
        self.column();
        match number {
            Some(number) => self.write(format_args!("{number}")),
            None => self.text += NULL,
        }
    }

    /// A moment, in microseconds since the Unix epoch: as a Julian day, which needs no calendar, and
    /// which Postgres reads for each day that it can hold.
    pub fn moment(&mut self, at: i64) {
        self.column();
        let day = EPOCH + at.div_euclid(MICROSECONDS_A_DAY);
        let time = at.rem_euclid(MICROSECONDS_A_DAY);
        let (seconds, microseconds) = (time / 1_000_000, time % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.write(format_args!(
            "J{day} {hour:02}:{minute:02}:{second:02}.{microseconds:06}+00"
        ));
    }

    pub fn end_row(&mut self) {
        self.text.push('\n');
        self.begun = false;
    }

    fn column(&mut self) {
        if self.begun {
            self.text.push('\t');
        }
        self.begun = true;
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing into memory has no way to fail.
        let _ = self.text.write_fmt(arguments);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_ends_a_column_or_a_row() {
        let mut rows = CopyText::default();
        rows.text(Some("a\tb\nc\rd\\."));
        rows.text(Some(""));
        rows.number(Some(-1));
        rows.number(None::<i64>);
        rows.end_row();
        rows.text(Some("\\N"));
        rows.end_row();
        assert_eq!(
            std::str::from_utf8(rows.as_bytes()),
            Ok("a\\tb\\nc\\rd\\\\.\t\t-1\t\\N\n\\\\N\n")
        );
    }

    #[test]
    fn tells_moments_by_julian_days() {
        for (at, expected) in [
            (0, "J2440588 00:00:00.000000+00"),
            (-1, "J2440587 23:59:59.999999+00"),
            (915_768_306_123_000, "J2451187 04:05:06.123000+00"),
            (-210_866_803_200_000_000, "J0 00:00:00.000000+00"),
        ] {
            let mut rows = CopyText::default();
            rows.moment(at);
            assert_eq!(std::str::from_utf8(rows.as_bytes()), Ok(expected));
        }
    }
}
