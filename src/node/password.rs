//! The user's `password` function, asked at each new connection.
//!
//! JavaScript is not awaited: the question goes out with a number, and the answer comes back as a
//! call with the same number. If the environment ends in between, the question is dropped with its
//! sender, which the waiting task sees.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use tokio::sync::oneshot;

use super::error::Result;
use crate::connect::AskPassword;
use crate::error::{Code, Error};

type Ask = ThreadsafeFunction<u32, (), u32, Status, false, true>;

#[derive(Default)]
struct Questions {
    next: u32,
    open: HashMap<u32, oneshot::Sender<Option<String>>>,
}

/// The questions that are waiting for their answer.
#[derive(Clone, Default)]
pub struct Passwords(Arc<Mutex<Questions>>);

impl Passwords {
    pub fn asker(&self, ask: Function<'_, u32, ()>) -> Result<AskPassword> {
        let ask: Ask = ask
            .build_threadsafe_function()
            .weak::<true>()
            .callee_handled::<false>()
            .build()?;
        let (ask, passwords) = (Arc::new(ask), self.clone());
        Ok(Arc::new(move || {
            let answer = passwords.put(&ask);
            Box::pin(async move {
                let unanswered = || {
                    Error::new(
                        Code::ConnectionFailed,
                        "the function databaseConfig.password gave no password",
                    )
                };
                answer.await.ok().flatten().ok_or_else(unanswered)
            })
        }))
    }

    /// `None`: the function gave no password.
    pub fn answer(&self, question: u32, password: Option<String>) {
        let asked = self.lock().open.remove(&question);
        if let Some(asked) = asked {
            // The task that asked may have stopped waiting.
            let _ = asked.send(password);
        }
    }

    fn put(&self, ask: &Ask) -> oneshot::Receiver<Option<String>> {
        let (sender, answer) = oneshot::channel();
        let mut questions = self.lock();
        let question = questions.next;
        questions.next = question.wrapping_add(1);
        if ask.call(question, ThreadsafeFunctionCallMode::NonBlocking) == Status::Ok {
            questions.open.insert(question, sender);
        }
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Questions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
