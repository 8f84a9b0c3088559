//! Tests of the pipes of a private connection.

use super::*;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

fn pair() -> (Endpoint, Endpoint) {
    connection(&Budget::new(64 << 20)).unwrap()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_one_end_writes_the_other_reads_and_then_the_end() {
    let (one, other) = pair();
    assert_eq!(other.read(10), Ok(vec![]));
    one.write(b"hello").unwrap();
    assert_eq!(other.read(0), Ok(vec![]));
    assert_eq!(other.read(4), Ok(b"hell".to_vec()));
    one.shutdown(Shutdown::Write);
    assert_eq!(one.write(b"more"), Err(Broken::Closed));
    assert_eq!(one.room(), Err(Broken::Closed));
    assert_eq!(other.read(10), Ok(b"o".to_vec()));
    assert_eq!(other.read(10), Err(Broken::Closed));
    // The other direction stays open.
    other.write(b"answer").unwrap();
    assert_eq!(one.read(10), Ok(b"answer".to_vec()));
}

#[test]
fn an_end_that_has_read_all_closes_in_order() {
    let (one, other) = pair();
    one.write(b"a").unwrap();
    other.write(b"left").unwrap();
    assert_eq!(other.read(1), Ok(b"a".to_vec()));
    drop(other);
    assert_eq!(one.read(10), Ok(b"left".to_vec()));
    assert_eq!(one.read(10), Err(Broken::Closed));
    assert_eq!(one.write(b"more"), Err(Broken::Closed));
}

#[test]
fn an_end_that_has_not_read_all_resets_the_connection() {
    let (one, other) = pair();
    one.write(b"unread").unwrap();
    other.write(b"left").unwrap();
    drop(other);
    // The reader gets the bytes that have arrived before the reset. Each direction reports the reset once.
    assert_eq!(one.read(10), Ok(b"left".to_vec()));
    assert_eq!(one.read(10), Err(Broken::Reset));
    assert_eq!(one.read(10), Err(Broken::Closed));
    assert_eq!(one.write(b"more"), Err(Broken::Reset));
    assert_eq!(one.write(b"more"), Err(Broken::Closed));

    let (one, other) = pair();
    other.reset();
    assert_eq!(one.read(10), Err(Broken::Reset));
    assert_eq!(one.room(), Err(Broken::Reset));
}

#[test]
fn what_a_shut_down_reader_is_sent_is_thrown_away() {
    let (one, other) = pair();
    one.write(b"before").unwrap();
    other.shutdown(Shutdown::Read);
    assert_eq!(other.read(10), Err(Broken::Closed));
    for _ in 0..10 {
        one.write(&[0; MOST_BYTES]).unwrap();
    }
    drop(other);
    assert_eq!(one.read(10), Err(Broken::Closed), "and that is no reset");
    assert_eq!(one.write(b"more"), Err(Broken::Closed));
}

#[test]
fn it_holds_so_many_bytes_and_no_more_in_as_much_memory() {
    let memory = Budget::new(64 << 20);
    let (one, other) = connection(&memory).unwrap();
    let mut written = 0;
    while let room @ 1.. = one.room().unwrap() {
        one.write(&vec![7; room]).unwrap();
        written += room;
        let held = one.sending.state().bytes.capacity();
        assert!(held <= one.sending.state().holds, "{held}");
    }
    assert_eq!(written, MOST_BYTES);
    assert_eq!(one.write(&[1]), Err(Broken::NotPermitted));
    assert_eq!(other.read(usize::MAX).unwrap(), vec![7; MOST_BYTES]);
    drop((one, other));
    assert!(memory.take(64 << 20), "all of it was given back");
}

#[test]
fn with_little_memory_left_it_holds_less_and_with_none_there_is_no_connection() {
    let least = 2 * FIRST_BYTES as u64;
    assert!(connection(&Budget::new(least - 1)).is_none());
    let memory = Budget::new(least - 1);
    assert!(connection(&memory).is_none());
    assert!(memory.take(least - 1), "what was taken is given back");
    let (one, other) = connection(&Budget::new(least)).unwrap();
    one.write(&[1; FIRST_BYTES]).unwrap();
    assert_eq!(one.room(), Ok(0));
    other.read(1).unwrap();
    assert_eq!(one.room(), Ok(1));
}

/// Polls a future for the task that `count` counts the wakes of.
fn poll(future: Pin<&mut impl Future<Output = ()>>, count: &Arc<Count>) -> Poll<()> {
    let waker = Waker::from(count.clone());
    future.poll(&mut Context::from_waker(&waker))
}

#[test]
fn a_task_that_waits_is_woken_by_each_event_once() {
    let (one, other) = pair();
    let woken = Arc::new(Count::default());
    let count = || woken.0.load(Ordering::Relaxed);

    let mut readable = pin!(other.readable());
    for _ in 0..3 {
        assert!(poll(readable.as_mut(), &woken).is_pending());
    }
    one.write(b"a").unwrap();
    assert_eq!(count(), 1, "one task that asks again is one");
    one.write(b"b").unwrap();
    assert_eq!(count(), 1);
    assert!(poll(readable, &woken).is_ready());
    other.read(2).unwrap();

    let mut readable = pin!(other.readable());
    assert!(poll(readable.as_mut(), &woken).is_pending());
    one.shutdown(Shutdown::Write);
    assert_eq!(count(), 2);
    assert!(poll(readable, &woken).is_ready());

    let fill = || {
        while let room @ 1.. = other.room().unwrap() {
            other.write(&vec![0; room]).unwrap();
        }
    };
    fill();
    let mut writable = pin!(other.writable());
    assert!(poll(writable.as_mut(), &woken).is_pending());
    one.read(1).unwrap();
    assert_eq!(count(), 3);
    assert!(poll(writable, &woken).is_ready());
    fill();
    let mut writable = pin!(other.writable());
    assert!(poll(writable.as_mut(), &woken).is_pending());
    drop(one);
    assert_eq!(count(), 4);
    assert!(poll(writable, &woken).is_ready());
}

#[test]
fn any_number_of_tasks_wait_and_none_wakes_another() {
    let (one, other) = pair();
    let counts: Vec<_> = (0..100).map(|_| Arc::new(Count::default())).collect();
    let woken = || -> usize { counts.iter().map(|it| it.0.load(Ordering::Relaxed)).sum() };
    let mut waiting: Vec<_> = counts.iter().map(|_| Box::pin(other.readable())).collect();
    for _ in 0..3 {
        for (future, count) in waiting.iter_mut().zip(&counts) {
            assert!(poll(future.as_mut(), count).is_pending());
        }
    }
    assert_eq!(woken(), 0, "nothing has happened");
    // A task that waits no more is not kept.
    waiting.truncate(50);
    assert_eq!(Arc::strong_count(&counts[99]), 1);
    one.write(b"a").unwrap();
    assert_eq!(woken(), 50);
    for (future, count) in waiting.iter_mut().zip(&counts) {
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(poll(future.as_mut(), count).is_ready());
    }
    drop(waiting);
    let kept = counts.iter().any(|count| Arc::strong_count(count) > 1);
    assert!(!kept, "no waker is left");
}
