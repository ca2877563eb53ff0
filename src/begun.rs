//! Beginning what a task is to do before there is the task.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Does what a future does until it first has to wait, here and now, and returns the rest of it, which may go on
/// on another thread. A statement is then on its way before that thread has even woken up.
pub fn begun<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    // Whoever goes on polls it again, and is then the one to be woken.
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
