//! The engines of one queue, as far as they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::processor::Handle;

/// The way into a processor's engine, while it has one that runs.
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

/// All processors of a queue, to be told together what concerns them all.
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
