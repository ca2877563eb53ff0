//! A job that was claimed: the columns that the engine and the handler get, each written once.

use std::time::Duration;

use super::Run;

/// Calls a macro with the columns that a claim reads besides the type and the payload. Their types are those of
/// [`Read`].
macro_rules! claimed_columns {
    ($with:ident) => {
        $with! {
            /// Which attempt this is, from 1.
            attempts: i32, Int;
            max_attempts: i32, Int;
            priority: i32, Int;
            /// Milliseconds since the Unix epoch.
            run_at: Option<i64>, Moment;
            /// How long a run may take, in milliseconds; `None` leaves it to the processor.
            timeout_ms: Option<i64>, BigInt;
        }
    };
}

#[cfg(feature = "database")]
pub(crate) use claimed_columns;

/// How a column is read, so that the answer's type stays the same when a migration changes the column's.
#[cfg(feature = "database")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    Int,
    BigInt,
    /// Milliseconds since the Unix epoch; null if it is infinite.
    Moment,
}

macro_rules! claimed_job {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $read:ident;)*) => {
        /// A job that this processor owns until its lease ends.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct ClaimedJob {
            pub run: Run,
            pub job_type: String,
            /// JSON text.
            pub payload: String,
            /// It is the job's last attempt, which is counted when the handler begins.
            pub uncounted: bool,
            /// If it fails for good, a dead letter is added.
            pub has_dead_letter: bool,
            $($(#[$doc])* pub $name: $type,)*
        }

        /// The columns that a claim reads.
        #[cfg(feature = "database")]
        pub const CLAIMED: &[(&str, Read)] = &[$((stringify!($name), Read::$read)),*];
    };
}

claimed_columns!(claimed_job);

impl ClaimedJob {
    /// Whether no attempt was left when it was claimed: it is not run, and has failed for good.
    pub fn is_exhausted(&self) -> bool {
        self.attempts > self.max_attempts
    }

    pub fn timeout(&self) -> Option<Duration> {
        let ms = self.timeout_ms.and_then(|ms| u64::try_from(ms).ok());
        ms.map(Duration::from_millis)
    }
}
