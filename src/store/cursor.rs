//! How far a worker has claimed in each lane, so that it need not walk the entries behind it again.
//!
//! A job that was claimed leaves its entry in the index until vacuum removes it, and vacuum may not
//! while any transaction of the database holds an older snapshot: a report, a backup, a session that
//! was left open. A look from the beginning then walks the entries of all jobs that have run since.
//!
//! A job may still appear behind the cursor: its transaction was committed late,
//! it was handed back, or it was given a time in the past. So a look starts at the beginning
//! whenever that is cheap, which it is unless entries have piled up. While it is not, a look from the
//! beginning comes [`SPARED`] times as long after the last as that had to search for its first job, and at
//! the latest after [`LONGEST`].
//!
//! Two more things are bounded here. A statement steps through a limited number of lanes; the next goes on where it
//! stopped, and after a while it begins at the top again, but not before it has found a job or come to
//! the end. And a look passes over rows that others seem to have locked ([`super::touched`]), except for one look a
//! second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::lane::TOP;
use crate::connect::{Named, Value};

/// How long a look may search for its first job: a few lanes and entries are always passed.
const FREE: Duration = Duration::from_millis(2);
/// One part in this many of all time goes into looking from the beginning in vain.
const SPARED: u32 = 200;
const LONGEST: Duration = Duration::from_secs(30);
/// The number of looks from the beginning that have to be slow before one is spared: another cause may have held up
/// a single one.
const SAMPLES: usize = 3;
/// The time between two looks from the top, while there are more lanes than one statement steps through; and
/// between two that try each lock.
const SELDOM: Duration = Duration::from_secs(1);
/// The most lanes that are remembered: those of the latest claims.
const MAX_LANES: usize = 64;

/// The place of a job in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Microseconds since the Unix epoch.
    pub ready_at: i64,
    pub id: i64,
}

/// Where a look starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// By priority; a lane that is not in it is looked at from its beginning.
    passed: Vec<(i32, Position)>,
    generation: u64,
    /// Only lanes below this priority.
    pub below: i64,
    /// Whether to try the locks of rows that other transactions seem to have touched.
    pub tries_locks: bool,
}

impl Look {
    #[cfg(test)]
    pub fn behind(positions: &[(i32, i64, i64)]) -> Self {
        let passed = (positions.iter())
            .map(|&(priority, ready_at, id)| (priority, Position { ready_at, id }))
            .collect();
        Self {
            passed,
            ..Self::from_beginning()
        }
    }

    /// Whether each lane is looked at from its beginning.
    pub fn is_from_beginning(&self) -> bool {
        self.passed.is_empty()
    }

    /// Whether it passes over no due job in the lanes that it comes to. A look that goes on below a lane
    /// follows others that came to the lanes above.
    pub fn is_thorough(&self) -> bool {
        self.passed.is_empty() && self.tries_locks
    }

    /// The columns of `passed`: see [`super::lane`].
    pub fn values(&self) -> [Named; 3] {
        let column =
            |of: fn(&(i32, Position)) -> i64| Value::BigInts(self.passed.iter().map(of).collect());
        [
            (
                "passed_priorities",
                column(|(priority, _)| (*priority).into()),
            ),
            ("passed_times", column(|(_, position)| position.ready_at)),
            ("passed_ids", column(|(_, position)| position.id)),
        ]
    }

    /// The whole table, also behind the cursor.
    pub fn from_beginning() -> Self {
        Self {
            passed: Vec::new(),
            generation: 0,
            below: TOP,
            tries_locks: true,
        }
    }
}

/// The result of a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How long the server searched until it found the first job; `None` if there is none.
    pub searched: Option<Duration>,
    /// How long the answer took.
    pub took: Duration,
    /// The last job claimed in each lane.
    pub last: HashMap<i32, Position>,
    /// The lowest priority of the claimed jobs.
    pub lowest: Option<i32>,
    /// Whether it found as many as were wanted.
    pub full: bool,
    /// The lane where it stopped short of the last one.
    pub stopped: Option<i64>,
    /// One of several types may have more to offer than was looked at.
    pub more: bool,
    /// Jobs that were due and free, and that Postgres still did not change; their ids, if known.
    pub passed_over: Option<Vec<i64>>,
}

#[derive(Default)]
struct State {
    /// The types of the jobs that the last look was for; `None` means all.
    types: Option<Vec<String>>,
    lanes: HashMap<i32, Lane>,
    /// How long the last looks from the beginning searched.
    wasted: [Duration; SAMPLES],
    last_sample: usize,
    /// Until then the beginning is spared.
    spared_until: Option<Instant>,
    /// Grows with every look from the beginning that has been answered. A look that was sent before that, and is
    /// answered later, does not move the cursor: the cursor may have gone back.
    generation: u64,
    /// The next look goes on below this priority.
    below: Option<i64>,
    /// When a look last began at the top.
    top_at: Option<Instant>,
    /// When a look last tried each lock.
    tried_locks_at: Option<Instant>,
}

struct Lane {
    position: Position,
    used_at: Instant,
}

#[derive(Default)]
pub struct Cursor(Mutex<State>);

impl Cursor {
    /// Where to start now to look for jobs of these types; `None` means all. A look for other types than the last one's
    /// begins anew.
    pub fn look(&self, types: Option<&[String]>, now: Instant) -> Look {
        let mut state = self.lock();
        if state.types.as_deref() != types {
            *state = State {
                types: types.map(<[_]>::to_vec),
                generation: state.generation + 1,
                ..State::default()
            };
        }
        let spared = state.spared_until.is_some_and(|until| now < until);
        let lanes = state.lanes.iter().filter(|_| spared);
        Look {
            passed: lanes
                .map(|(priority, lane)| (*priority, lane.position))
                .collect(),
            generation: state.generation,
            below: state.below.unwrap_or(TOP),
            tries_locks: is_over(state.tried_locks_at, SELDOM, now),
        }
    }

    /// Takes note of the result of a look.
    pub fn looked(&self, look: &Look, seen: &Seen, now: Instant) {
        let mut state = self.lock();
        if look.generation != state.generation {
            return;
        }
        if look.below == TOP {
            state.top_at = Some(now);
        }
        if look.tries_locks {
            state.tried_locks_at = Some(now);
        }
        let top_is_due = seen.lowest.is_some() && is_over(state.top_at, SELDOM, now);
        state.below = match seen.stopped {
            _ if top_is_due => None,
            Some(lane) => Some(lane),
            // There may be more jobs in the lane of the last one.
            None if seen.full && look.below != TOP => {
                seen.lowest.map(|lowest| i64::from(lowest) + 1)
            }
            None => None,
        };
        if look.is_from_beginning() && look.below == TOP {
            state.generation += 1;
            let last = state.last_sample;
            // The server does not tell how long it searched in vain; the round trip takes time, too.
            let searched = seen
                .searched
                .unwrap_or(seen.took.min(state.wasted[last] + FREE));
            state.last_sample = (last + 1) % SAMPLES;
            let sample = state.last_sample;
            state.wasted[sample] = searched.saturating_sub(FREE);
            let wasted = state.wasted.iter().min().copied().unwrap_or_default();
            state.spared_until = Some(now + wasted.saturating_mul(SPARED).min(LONGEST));
        }
        for (&priority, &position) in &seen.last {
            let lane = Lane {
                position,
                used_at: now,
            };
            state.lanes.insert(priority, lane);
        }
        while state.lanes.len() > MAX_LANES {
            let oldest = state.lanes.iter().min_by_key(|(_, lane)| lane.used_at);
            if let Some(oldest) = oldest.map(|(&priority, _)| priority) {
                state.lanes.remove(&oldest);
            }
        }
    }

    /// Jobs have become due behind the cursor.
    pub fn go_back(&self) {
        self.lock().spared_until = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(since: Option<Instant>, pause: Duration, now: Instant) -> bool {
    since.is_none_or(|since| now - since >= pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(102);

    fn seen(searched: Duration, priority: i32, id: i64) -> Seen {
        let position = Position { ready_at: 7, id };
        Seen {
            searched: Some(searched),
            took: SLOW,
            last: HashMap::from([(priority, position)]),
            lowest: Some(priority),
            ..Seen::default()
        }
    }

    /// A cursor that has come to job `id` of priority 0, in a table full of dead entries.
    fn slowed(now: Instant, id: i64) -> Cursor {
        let cursor = Cursor::default();
        for _ in 0..SAMPLES {
            let look = cursor.look(None, now);
            assert!(look.is_from_beginning());
            cursor.looked(&look, &seen(SLOW, 0, id), now);
        }
        cursor
    }

    #[test]
    fn what_is_cheap_starts_at_the_beginning() {
        let now = Instant::now();
        let cursor = Cursor::default();
        for id in 1..10 {
            let look = cursor.look(None, now);
            assert!(look.is_from_beginning());
            cursor.looked(&look, &seen(FREE, 0, id), now);
        }
    }

    #[test]
    fn one_slow_look_changes_nothing() {
        let now = Instant::now();
        let cursor = Cursor::default();
        for searched in [SLOW, Duration::ZERO, SLOW, SLOW] {
            let look = cursor.look(None, now);
            assert!(look.is_from_beginning());
            cursor.looked(&look, &seen(searched, 0, 1), now);
        }
        assert!(cursor.look(None, now).is_from_beginning());
    }

    #[test]
    fn what_is_slow_starts_where_it_ended_for_a_while() {
        let now = Instant::now();
        let cursor = slowed(now, 8);
        let look = cursor.look(None, now);
        assert_eq!(look.passed, [(0, Position { ready_at: 7, id: 8 })]);
        cursor.looked(&look, &seen(Duration::ZERO, 0, 9), now);
        assert_eq!(cursor.look(None, now).passed[0].1.id, 9);
        let soon = now + Duration::from_secs(19);
        assert!(!cursor.look(None, soon).is_from_beginning());
        assert!(
            cursor
                .look(None, soon + Duration::from_secs(2))
                .is_from_beginning()
        );
    }

    #[test]
    fn a_look_in_vain_is_as_slow_as_the_last_one_that_found_something_or_faster() {
        let now = Instant::now();
        let in_vain = |took| Seen {
            took,
            ..Seen::default()
        };
        let far_away = Cursor::default();
        for _ in 0..10 {
            far_away.looked(&far_away.look(None, now), &in_vain(SLOW), now);
            far_away.looked(&far_away.look(None, now), &seen(FREE, 0, 1), now);
            assert!(far_away.look(None, now).is_from_beginning());
        }
        let cursor = slowed(now, 8);
        let later = now + LONGEST;
        for (took, is_slow) in [(SLOW * 2, true), (FREE, false)] {
            assert!(cursor.look(None, later).is_from_beginning());
            cursor.looked(&cursor.look(None, later), &in_vain(took), later);
            assert_eq!(!cursor.look(None, later).is_from_beginning(), is_slow);
            cursor.go_back();
        }
    }

    #[test]
    fn it_goes_back_to_what_it_finds_behind_it() {
        let now = Instant::now();
        let cursor = slowed(now, 8);
        let ahead = cursor.look(None, now);
        cursor.go_back();
        let back = cursor.look(None, now);
        assert!(back.is_from_beginning());
        cursor.looked(&back, &seen(SLOW, 0, 3), now);
        cursor.looked(&ahead, &seen(Duration::ZERO, 0, 9), now);
        assert_eq!(cursor.look(None, now).passed[0].1.id, 3);
    }

    #[test]
    fn a_look_that_stopped_is_gone_on_with_and_begun_at_the_top_again_once_something_was_found() {
        let now = Instant::now();
        let cursor = Cursor::default();
        let stopped = |lane| Seen {
            stopped: Some(lane),
            ..Seen::default()
        };
        cursor.looked(&cursor.look(None, now), &stopped(29_000), now);
        let later = now + SELDOM * 2;
        assert_eq!(
            cursor.look(None, later).below,
            29_000,
            "nothing was found yet"
        );
        cursor.looked(&cursor.look(None, later), &stopped(28_000), later);
        assert_eq!(cursor.look(None, later).below, 28_000);
        let full = Seen {
            full: true,
            ..seen(FREE, 7, 1)
        };
        cursor.looked(&cursor.look(None, later), &full, later);
        assert_eq!(
            cursor.look(None, later).below,
            TOP,
            "the top was not looked at for long"
        );
        cursor.looked(&cursor.look(None, later), &stopped(28_000), later);
        cursor.looked(&cursor.look(None, later), &full, later);
        assert_eq!(
            cursor.look(None, later).below,
            8,
            "there may be more in this lane"
        );
        cursor.looked(&cursor.look(None, later), &seen(FREE, 7, 2), later);
        assert_eq!(cursor.look(None, later).below, TOP, "the end was reached");
    }

    #[test]
    fn one_look_a_second_tries_each_lock() {
        let now = Instant::now();
        let cursor = Cursor::default();
        assert!(cursor.look(None, now).tries_locks);
        cursor.looked(&cursor.look(None, now), &seen(FREE, 0, 1), now);
        assert!(!cursor.look(None, now + SELDOM / 2).tries_locks);
        assert!(cursor.look(None, now + SELDOM).tries_locks);
    }

    #[test]
    fn a_look_for_jobs_of_other_types_begins_anew() {
        let now = Instant::now();
        let cursor = slowed(now, 7);
        let ahead = cursor.look(None, now);
        assert!(!ahead.is_from_beginning());
        let types = ["job".to_owned()];
        assert!(cursor.look(Some(&types), now).is_from_beginning());
        cursor.looked(&ahead, &seen(SLOW, 0, 9), now);
        assert!(cursor.look(Some(&types), now).is_from_beginning());
        assert!(cursor.look(None, now).is_from_beginning());
    }

    #[test]
    fn the_lanes_that_were_used_last_are_remembered() {
        let now = Instant::now();
        let cursor = slowed(now, 8);
        for priority in 1..=100 {
            let now = now + Duration::from_millis(priority);
            let look = cursor.look(None, now);
            let priority = i32::try_from(priority).unwrap();
            cursor.looked(&look, &seen(Duration::ZERO, priority, 1), now);
        }
        let look = cursor.look(None, now + Duration::from_secs(1));
        assert_eq!(look.passed.len(), MAX_LANES);
        assert!(look.passed.iter().all(|(priority, _)| *priority > 36));
    }
}
