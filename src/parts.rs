//! Splitting rows that were refused together, to find the rows that are at fault.

use crate::error::Error;

/// The number of parts where a row is slow: each part with a slow row takes that row's time once more.
const MANY: usize = 16;

/// The parts to try next: halves, or many parts if a row took too long.
pub fn apart<T>(whole: Vec<T>, error: &Error) -> Vec<Vec<T>> {
    let count = if error.was_held_up() { MANY } else { 2 };
    let size = whole.len().div_ceil(count).max(1);
    let mut parts = Vec::new();
    let mut rest = whole;
    while rest.len() > size {
        let behind = rest.split_off(size);
        parts.push(std::mem::replace(&mut rest, behind));
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn refused(state: &str) -> Error {
        let mut error = Error::new(Code::DatabaseError, "refused");
        error.sql_state = Some(state.into());
        error
    }

    #[test]
    fn what_is_refused_is_halved_and_what_is_slow_is_scattered() {
        let of = |count: i32| (0..count).collect::<Vec<_>>();
        assert_eq!(apart(of(5), &refused("23505")), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(apart(of(3), &refused("57014")), [[0], [1], [2]]);
        let parts = apart(of(500), &refused("57014"));
        assert_eq!(parts.len(), MANY);
        assert_eq!(parts.concat(), of(500));
    }
}
