//! Tests of the pipes of a private connection.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

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

#[test]
fn a_task_that_waits_is_woken_by_each_event_once() {
    let (one, other) = pair();
    let woken = Arc::new(Count::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let count = || woken.0.load(Ordering::Relaxed);

    for _ in 0..3 {
        assert!(other.poll_readable(&mut cx).is_pending());
    }
    one.write(b"a").unwrap();
    assert_eq!(count(), 1, "one task that asks again is one");
    one.write(b"b").unwrap();
    assert_eq!(count(), 1);
    assert!(other.poll_readable(&mut cx).is_ready());
    other.read(2).unwrap();

    assert!(other.poll_readable(&mut cx).is_pending());
    one.shutdown(Shutdown::Write);
    assert_eq!(count(), 2);

    while let room @ 1.. = other.room().unwrap() {
        other.write(&vec![0; room]).unwrap();
    }
    assert!(other.poll_writable(&mut cx).is_pending());
    one.read(1).unwrap();
    assert_eq!(count(), 3);
    assert!(other.poll_writable(&mut cx).is_ready());
    while let room @ 1.. = other.room().unwrap() {
        other.write(&vec![0; room]).unwrap();
    }
    assert!(other.poll_writable(&mut cx).is_pending());
    drop(one);
    assert_eq!(count(), 4);
}

#[test]
fn more_tasks_than_are_remembered_are_woken_and_ask_again() {
    let (one, other) = pair();
    let counts: Vec<_> = (0..=MOST_WAKERS)
        .map(|_| Arc::new(Count::default()))
        .collect();
    for count in &counts {
        let waker = Waker::from(count.clone());
        assert!(
            other
                .poll_readable(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    one.write(b"a").unwrap();
    for count in &counts {
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
