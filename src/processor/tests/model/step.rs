//! The steps of a story.

use std::time::Duration;

use proptest::prelude::*;

/// Processes, runs and jobs are counted off among those that there are when the step is taken.
#[derive(Debug, Clone)]
pub enum Step {
    Add {
        priority: i32,
        max_attempts: i32,
        delay: Duration,
        timeout: Option<Duration>,
    },
    /// Nothing but time.
    Pass(Duration),
    /// A handler ends.
    End {
        process: usize,
        run: usize,
        completes: bool,
    },
    /// A process is killed, and another takes its place.
    Crash {
        process: usize,
    },
    /// A process stands still while time goes on.
    Freeze {
        process: usize,
    },
    Thaw {
        process: usize,
    },
    /// A process's requests no longer reach the store.
    CutRequests {
        process: usize,
    },
    /// A process's requests are carried out, but the answers do not come back.
    CutAnswers {
        process: usize,
    },
    Mend {
        process: usize,
    },
    /// A process stops, lets its handlers end, and another takes its place.
    Stop {
        process: usize,
    },
    /// A process stops without waiting for its handlers, and another takes its place.
    HandBack {
        process: usize,
    },
    /// `cancelJob`, of which the engines are told or not.
    Cancel {
        job: usize,
        told: bool,
    },
    /// `retryJob`.
    Retry {
        job: usize,
    },
    /// `reclaimStuckJobs`.
    Reclaim {
        older_than: Duration,
    },
    /// Somebody's transaction locks a job, or ends.
    Lock {
        job: usize,
        locked: bool,
    },
    /// A constraint or a trigger begins or ceases to refuse every change of a job.
    Refuse {
        job: usize,
        refuses: bool,
    },
    /// Every engine is told that jobs are due.
    Wake,
    Recheck {
        process: usize,
    },
}

/// `with_disturbances`: rows are locked and refuse to be changed; these stories are not repeated on a
/// server.
pub fn steps(with_disturbances: bool) -> impl Strategy<Value = Step> {
    let process = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 16));
    let any_of = process;
    let seconds = |range| (range,).prop_map(|(seconds,)| Duration::from_secs(seconds));
    let add = (
        0..3,
        1..4,
        prop::sample::select(vec![0, 0, 0, 3, 40]),
        any::<bool>(),
    );
    let add = add.prop_map(|(priority, max_attempts, delay, limited)| Step::Add {
        priority,
        max_attempts,
        delay: Duration::from_secs(delay),
        timeout: limited.then_some(Duration::from_secs(20)),
    });
    let end = (process(), any_of(), prop::bool::weighted(0.7));
    let end = end.prop_map(|(process, run, completes)| Step::End {
        process,
        run,
        completes,
    });
    let pass = prop_oneof![
        (1..50_u64).prop_map(Duration::from_millis),
        seconds(1..10_u64),
        seconds(10..40),
        seconds(60..600),
    ];
    let cancel = (any_of(), any::<bool>());
    let disturbance = (any_of(), any::<bool>(), any::<bool>());
    let disturbance = disturbance.prop_map(move |(job, locks, begins)| match (locks, begins) {
        _ if !with_disturbances => Step::Wake,
        (true, locked) => Step::Lock { job, locked },
        (false, refuses) => Step::Refuse { job, refuses },
    });
    prop_oneof![
        4 => disturbance,
        8 => add,
        8 => pass.prop_map(Step::Pass),
        12 => end,
        2 => process().prop_map(|process| Step::Crash { process }),
        3 => process().prop_map(|process| Step::Freeze { process }),
        3 => process().prop_map(|process| Step::Thaw { process }),
        2 => process().prop_map(|process| Step::CutRequests { process }),
        2 => process().prop_map(|process| Step::CutAnswers { process }),
        3 => process().prop_map(|process| Step::Mend { process }),
        1 => process().prop_map(|process| Step::Stop { process }),
        1 => process().prop_map(|process| Step::HandBack { process }),
        3 => cancel.prop_map(|(job, told)| Step::Cancel { job, told }),
        2 => any_of().prop_map(|job| Step::Retry { job }),
        1 => seconds(0..60).prop_map(|older_than| Step::Reclaim { older_than }),
        2 => Just(Step::Wake),
        1 => process().prop_map(|process| Step::Recheck { process }),
    ]
}
