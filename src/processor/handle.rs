//! The way into a running engine.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::job::{Outcome, Run};

/// What an engine is told while it runs.
#[derive(Debug)]
pub(super) enum Command {
    /// These runs ended. Those that the engine does not hold, because they ended before or were
    /// lost, are ignored.
    Ended(Vec<Outcome>),
    /// Jobs may have become due: look before the poll interval is over.
    Wake,
    /// Another process says that jobs have become due.
    HeardReady,
    /// Somebody wants this job cancelled, whichever run of it goes on.
    Cancel(i64),
    /// Another process says that.
    HeardCancel(i64),
    /// Word of cancelled jobs may have been missed: ask for it.
    Recheck,
    /// Let this run go on for so long from now, if that is later than its time is up.
    ExtendTimeout(Run, Duration),
    /// Its handler is about to settle this run in a transaction of its own.
    SettledByHandler(Run),
    /// Claim no more; end when what was started has ended.
    Stop,
    /// Stop, and hand back at once whatever has not ended.
    HandBack,
}

/// Speaks to one [`super::Engine`]. Speaking to an engine that has ended does nothing.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) ended: watch::Receiver<()>,
}

impl Handle {
    pub fn ended(&self, outcomes: Vec<Outcome>) {
        self.send(Command::Ended(outcomes));
    }

    pub fn wake(&self) {
        self.send(Command::Wake);
    }

    pub fn heard_ready(&self) {
        self.send(Command::HeardReady);
    }

    pub fn cancel(&self, id: i64) {
        self.send(Command::Cancel(id));
    }

    pub fn heard_cancel(&self, id: i64) {
        self.send(Command::HeardCancel(id));
    }

    pub fn recheck(&self) {
        self.send(Command::Recheck);
    }

    pub fn extend_timeout(&self, run: Run, by: Duration) {
        self.send(Command::ExtendTimeout(run, by));
    }

    pub fn settled_by_handler(&self, run: Run) {
        self.send(Command::SettledByHandler(run));
    }

    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    pub fn hand_back(&self) {
        self.send(Command::HandBack);
    }

    /// Resolves when the engine has ended.
    pub async fn finished(&mut self) {
        // The engine never sends a value: what ends the wait is that its sender is dropped.
        while self.ended.changed().await.is_ok() {}
    }

    fn send(&self, command: Command) {
        // An engine that has ended has nothing to do with what comes late.
        let _ = self.commands.send(command);
    }
}
