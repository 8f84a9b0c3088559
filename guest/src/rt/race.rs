use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// The output of the future that was ready first.
#[derive(Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    First(A),
    Second(B),
}

/// Runs two futures until one is ready, and drops the other. If both are ready at once, the first
/// one wins.
pub async fn race<A: Future, B: Future>(first: A, second: B) -> Either<A::Output, B::Output> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(Either::First(output));
        }
        second.as_mut().poll(cx).map(Either::Second)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};
    use std::task::{Context, Waker};

    #[test]
    fn the_one_that_is_done_wins_and_the_first_wins_a_draw() {
        let mut cx = Context::from_waker(Waker::noop());
        let cases = [
            (
                pin!(race(ready(1), pending::<i32>())).poll(&mut cx),
                Either::First(1),
            ),
            (
                pin!(race(pending::<i32>(), ready(2))).poll(&mut cx),
                Either::Second(2),
            ),
            (
                pin!(race(ready(1), ready(2))).poll(&mut cx),
                Either::First(1),
            ),
        ];
        for (got, expected) in cases {
            assert_eq!(got, Poll::Ready(expected));
        }
        assert!(
            pin!(race(pending::<()>(), pending::<()>()))
                .poll(&mut cx)
                .is_pending()
        );
    }
}
