//! News of the table for the engines of a queue: from their own process, or from others through the database.

use std::sync::Arc;

use super::engines::Engines;
use crate::connect::{Heard, Schema};
use crate::store::Notice;

pub fn tell(engines: &Engines, notice: Notice) {
    engines.tell(|engine| match notice {
        Notice::Ready => engine.wake(),
        Notice::Cancel(id) => engine.cancel(id),
    });
}

/// Passes on to the engines the notifications of other processes.
pub fn hearer(engines: Arc<Engines>, schema: Arc<Schema>) -> impl Fn(Heard) + Send + Sync {
    move |heard| match heard {
        Heard::Listening => engines.tell(|engine| {
            engine.wake();
            engine.recheck();
        }),
        Heard::Message(message) => {
            if let Some(notice) = Notice::read(&message, &schema) {
                engines.tell(|engine| match notice {
                    Notice::Ready => engine.heard_ready(),
                    Notice::Cancel(id) => engine.heard_cancel(id),
                });
            }
        }
    }
}
