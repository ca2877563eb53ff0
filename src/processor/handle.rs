//! The way into a running engine.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::job::{Outcome, Run};

/// A message to a running engine.
#[derive(Debug)]
pub(super) enum Command {
    /// These runs ended. Runs that the engine does not hold, because they ended before or were
    /// lost, are ignored.
    Ended(Vec<Outcome>),
    /// Jobs may have become due: look before the poll interval is over.
    Wake,
    /// Another process says that jobs have become due.
    HeardReady,
    /// This job is to be cancelled, in any run of it.
    Cancel(i64),
    /// Another process says that this job is to be cancelled.
    HeardCancel(i64),
    /// Notifications of cancelled jobs may have been missed: ask the table.
    Recheck,
    /// Let this run go on for this long from now, if that is later than the end of its time.
    ExtendTimeout(Run, Duration),
    /// The run has begun only now: the handlers' thread was busy.
    BegunLate(Run),
    /// Its handler is about to settle this run in a transaction of its own.
    SettledByHandler(Run),
    /// Claim no more; end when the started runs have ended.
    Stop,
    /// Stop, and hand back at once all runs that have not ended.
    HandBack,
}

/// Sends messages to one [`super::Engine`]. A message to an engine that has ended does nothing.
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

    pub fn begun_late(&self, run: Run) {
        self.send(Command::BegunLate(run));
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
        // The engine never sends a value: the wait ends when its sender is dropped.
        while self.ended.changed().await.is_ok() {}
    }

    fn send(&self, command: Command) {
        // An engine that has ended ignores late messages.
        let _ = self.commands.send(command);
    }
}
