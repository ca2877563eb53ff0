//! The runs that an engine owns, and until when.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::job::Run;

#[derive(Debug)]
struct Lease {
    /// When the lease ends, counted from before the statement that set it was sent: never later than
    /// the database's own idea of it.
    until: Instant,
    /// The run was told that its lease is over. It is no longer extended; if it ends all the same,
    /// the fence decides.
    over: bool,
}

/// Every run that was claimed and has not ended yet.
#[derive(Debug)]
pub struct Held {
    lease: Duration,
    runs: HashMap<Run, Lease>,
}

impl Held {
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            runs: HashMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn insert(&mut self, run: Run, claim_sent: Instant) {
        let lease = Lease {
            until: claim_sent + self.lease,
            over: false,
        };
        self.runs.insert(run, lease);
    }

    /// Whether the run was held until now.
    pub fn remove(&mut self, run: Run) -> bool {
        self.runs.remove(&run).is_some()
    }

    pub fn drain(&mut self) -> Vec<Run> {
        self.runs.drain().map(|(run, _)| run).collect()
    }

    /// When something is next to be done about a lease: at its half, an extension.
    pub fn next_extension(&self) -> Option<Instant> {
        self.live().map(|lease| lease.until - self.lease / 2).min()
    }

    /// When the first lease ends that was not extended in time.
    pub fn next_end(&self) -> Option<Instant> {
        self.live().map(|lease| lease.until).min()
    }

    /// The runs whose lease is half over. A job that ends before that costs no write.
    pub fn to_extend(&self, now: Instant) -> Vec<Run> {
        self.select(|lease| !lease.over && lease.until - self.lease / 2 <= now)
    }

    pub fn extended(&mut self, run: Run, extension_sent: Instant) {
        if let Some(lease) = self.runs.get_mut(&run) {
            lease.until = extension_sent + self.lease;
        }
    }

    /// The runs whose lease has ended without an extension.
    pub fn lapsed(&self, now: Instant) -> Vec<Run> {
        self.select(|lease| !lease.over && lease.until <= now)
    }

    /// Gives a run up for lost; returns whether it was live until now.
    pub fn lose(&mut self, run: Run) -> bool {
        match self.runs.get_mut(&run) {
            Some(lease) => !std::mem::replace(&mut lease.over, true),
            None => false,
        }
    }

    fn live(&self) -> impl Iterator<Item = &Lease> {
        self.runs.values().filter(|lease| !lease.over)
    }

    fn select(&self, wanted: impl Fn(&Lease) -> bool) -> Vec<Run> {
        let chosen = self.runs.iter().filter(|(_, lease)| wanted(lease));
        chosen.map(|(run, _)| *run).collect()
    }
}
