//! Beginning a task's work before the task exists.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Polls a future once, here and now, and returns the rest of it, which may continue on another thread. A statement
/// is then on its way before that thread has even woken up.
pub fn begun<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    // The next task polls it again, and its waker is the one that is then woken.
    let first = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    async move {
        match first {
            Poll::Ready(output) => output,
            Poll::Pending => future.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn goes_as_far_as_it_can_at_once_and_to_the_end_when_it_is_awaited() {
        let steps = Cell::new(0);
        let future = begun(async {
            steps.set(1);
            yield_now().await;
            steps.set(2);
            "done"
        });
        assert_eq!(steps.get(), 1);
        assert_eq!(future.await, "done");
        assert_eq!(steps.get(), 2);
        assert_eq!(begun(async { 7 }).await, 7);
    }
}
