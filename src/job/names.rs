//! The names of jobs in messages.

/// The most jobs that are named.
const MOST: usize = 20;

/// `job 7`, or `jobs 7, 8 and 9`, or the first of them `and 100 more`.
pub fn names(mut ids: Vec<i64>) -> String {
    ids.sort_unstable();
    ids.dedup();
    let more = ids.len().saturating_sub(MOST);
    ids.truncate(MOST);
    let mut names: Vec<_> = ids.iter().map(i64::to_string).collect();
    let last = match more {
        0 => names.pop(),
        more => Some(format!("{more} more")),
    };
    let last = last.unwrap_or_default();
    if names.is_empty() {
        format!("job {last}")
    } else {
        format!("jobs {} and {last}", names.join(", "))
    }
}

/// A job type as it can stand in a message: nothing in it ends the line, moves a cursor or hides the text beside it.
pub fn in_line(job_type: &str) -> String {
    let hides = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(job_type.len());
    for c in job_type.chars() {
        if c.is_control() || hides(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_jobs_are_all_named() {
        assert_eq!(names(vec![7]), "job 7");
        assert_eq!(names(vec![9, 7]), "jobs 7 and 9");
        assert_eq!(names(vec![9, 7, 8, 7]), "jobs 7, 8 and 9");
        assert!(names((1..=20).collect()).ends_with("18, 19 and 20"));
    }

    #[test]
    fn a_job_type_stays_in_its_line() {
        assert_eq!(
            in_line("a\nb\u{1b}[2K\u{202e}c \"漢\""),
            "a\\u000ab\\u001b[2K\\u202ec \"漢\""
        );
    }

    #[test]
    fn many_jobs_are_counted() {
        assert!(names((1..=120).collect()).ends_with("19, 20 and 100 more"));
    }
}
