//! The engines of one queue that are running.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::processor::Handle;

/// The handle of a processor's engine, while one runs.
#[derive(Default)]
pub struct Running(Mutex<Option<Handle>>);

impl Running {
    pub fn handle(&self) -> Option<Handle> {
        lock(&self.0).clone()
    }

    pub fn set(&self, handle: Option<Handle>) {
        *lock(&self.0) = handle;
    }
}

/// All processors of a queue, for messages that concern all of them.
#[derive(Default)]
pub struct Engines(Mutex<Vec<Weak<Running>>>);

impl Engines {
    pub fn add(&self, processor: &Arc<Running>) {
        let mut processors = lock(&self.0);
        processors.retain(|processor| processor.strong_count() > 0);
        processors.push(Arc::downgrade(processor));
    }

    pub fn tell(&self, what: impl Fn(&Handle)) {
        for processor in lock(&self.0).iter().filter_map(Weak::upgrade) {
            if let Some(handle) = processor.handle() {
                what(&handle);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
