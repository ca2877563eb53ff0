//! Several engines, each in a process of its own, over one store in memory: generated stories of the
//! faults that may meet them, and after every step of a story a check of the queue's promises.
//!
//! The engines' questions to the store, and its answers, are kept as a [`trace::Trace`]; the store's
//! own tests ask a server the same questions.

mod promises;
mod step;
#[cfg_attr(
    not(feature = "database"),
    expect(dead_code, reason = "only the tests of the SQL read what was traced")
)]
pub mod trace;
mod world;

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use step::Step;
use trace::Trace;
use world::World;

/// A story: events, in order. In a story without disturbances, no row is locked, and none refuses to be changed.
pub fn stories(with_disturbances: bool) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step::steps(with_disturbances), 20..100)
}

/// Lets a story happen, on a clock of its own, and checks after each step, and at the end, that all is
/// as promised.
pub fn tell(story: &[Step]) -> Result<Trace, TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let mut world = World::new();
        for step in story {
            world.take(step).await;
            world.check().await?;
        }
        world.come_to_rest().await?;
        Ok(world.into_trace())
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_the_promises_are_kept(story in stories(true)) {
        tell(&story)?;
    }
}

/// A story that is known to have gone wrong once does not need to be found again.
#[test]
fn a_frozen_process_that_thaws_writes_nothing() {
    let story = [
        Step::Add {
            priority: 0,
            max_attempts: 2,
            delay: Duration::ZERO,
            timeout: None,
        },
        Step::Freeze { process: 0 },
        Step::Pass(Duration::from_secs(31)),
        Step::Wake,
        Step::Thaw { process: 0 },
        Step::End {
            process: 0,
            run: 0,
            completes: true,
        },
        Step::Pass(Duration::from_secs(120)),
    ];
    tell(&story).unwrap();
}
