//! Whether workers are in each other's way.
//!
//! A claim passes over the jobs that other claims have locked and are about to take. Where more of them
//! are under way than the server has processors, that is a good part of what it does, and a worker's second
//! claim at a time costs all of them more than it brings. So a worker begins with one, and has two when
//! it sees that there is room.

use super::job::Search;

/// The averages are over about so many claims.
const CLAIMS: f64 = 8.0;

/// How much a claim has to pass over.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// How long it searches for its first job, in seconds.
    search: f64,
    /// Which part that is of the time until it has found its last one: how fast the machine is cancels out.
    part: f64,
}

/// At such a load, and above, two claims at a time are too many. Where nobody else is, each of two passes over
/// the jobs of the other, which is about half as much.
const CROWDED: Load = Load {
    search: 0.004,
    part: 0.2,
};
/// Below, there is room for a second one. One claim at a time passes over what the last one has left in the
/// index, which is about a third as much.
const ROOMY: Load = Load {
    search: 0.002,
    part: 0.12,
};
/// What is assumed at first: two claims that pass over nothing make room.
const UNKNOWN: Load = Load {
    search: 0.004,
    part: 0.15,
};

#[derive(Debug)]
pub struct Crowding {
    load: Load,
    crowded: bool,
}

impl Default for Crowding {
    fn default() -> Self {
        Self {
            load: UNKNOWN,
            crowded: true,
        }
    }
}

impl Crowding {
    /// Takes note of what a claim had to pass over.
    pub fn claimed(&mut self, search: Search) {
        let first = search.first.as_secs_f64();
        let last = search.last.as_secs_f64();
        let part = if first < last { first / last } else { 1.0 };
        self.load.search += (first - self.load.search) / CLAIMS;
        self.load.part += (part - self.load.part) / CLAIMS;
        self.crowded = if self.crowded {
            self.load.search >= ROOMY.search && self.load.part >= ROOMY.part
        } else {
            self.load.search >= CROWDED.search && self.load.part >= CROWDED.part
        };
    }

    /// Whether to claim once at a time.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn crowding(claims: impl IntoIterator<Item = (u64, u64)>) -> Crowding {
        let mut crowding = Crowding::default();
        for (first, last) in claims {
            let [first, last] = [first, last].map(Duration::from_micros);
            crowding.claimed(Search { first, last });
        }
        crowding
    }

    #[test]
    fn two_claims_that_pass_over_nothing_make_room() {
        let easy = |count| crowding(vec![(0, 9_000); count]);
        assert!(easy(1).is_crowded());
        assert!(!easy(2).is_crowded());
    }

    #[test]
    fn a_claim_that_finds_little_is_in_nobodys_way() {
        assert!(!crowding(vec![(500, 500); 10]).is_crowded());
    }

    #[test]
    fn a_worker_is_not_in_its_own_way() {
        let alone = [(0, 9_000); 2];
        let two_at_a_time = [(1_000, 14_000), (4_000, 18_000)].repeat(20);
        assert!(!crowding(alone.into_iter().chain(two_at_a_time)).is_crowded());
    }

    #[test]
    fn how_fast_the_machine_is_does_not_matter() {
        let alone = [(0, 90_000); 2];
        let two_at_a_time = [(10_000, 140_000), (40_000, 180_000)].repeat(20);
        assert!(!crowding(alone.into_iter().chain(two_at_a_time)).is_crowded());
    }

    #[test]
    fn many_workers_are_in_each_others_way_until_they_are_few() {
        let alone = [(0, 9_000); 2];
        let many = [(20_000, 60_000); 4];
        // With one claim at a time each.
        let still_many = [(9_000, 60_000); 20];
        let alone_again = [(0, 9_000); 20];
        let claims = alone.into_iter().chain(many);
        assert!(crowding(claims.clone()).is_crowded());
        let claims = claims.chain(still_many);
        assert!(crowding(claims.clone()).is_crowded());
        assert!(!crowding(claims.chain(alone_again)).is_crowded());
    }
}
