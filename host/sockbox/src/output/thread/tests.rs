use super::*;
use std::sync::mpsc;
use std::time::Duration;

/// A writer that writes one piece for each permission it gets, and says what happens to it.
struct Gate {
    permissions: mpsc::Receiver<()>,
    written: Vec<u8>,
    flushes: usize,
    dropped: Option<mpsc::Sender<()>>,
}

impl Gate {
    fn new() -> (Gate, mpsc::Sender<()>, mpsc::Receiver<()>) {
        let (allow, permissions) = mpsc::channel();
        let (dropped, told) = mpsc::channel();
        let gate = Gate {
            permissions,
            written: Vec::new(),
            flushes: 0,
            dropped: Some(dropped),
        };
        (gate, allow, told)
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.permissions
            .recv()
            .map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes += 1;
        Ok(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(dropped) = self.dropped.take() {
            let _ = dropped.send(());
        }
    }
}

fn piece(byte: u8) -> Bytes {
    Bytes::from(vec![byte; MIN_PERMIT])
}

#[tokio::test]
async fn what_is_written_arrives_in_order_and_is_flushed() {
    let (mut sink, end) = sink(Vec::new()).unwrap();
    let mut expected = Vec::new();
    for n in 0..100u8 {
        sink.ready().await;
        let permit = sink.check_write().unwrap();
        assert!((MIN_PERMIT..=CAPACITY).contains(&permit), "{permit}");
        sink.write(piece(n)).unwrap();
        expected.extend_from_slice(&piece(n));
    }
    assert!(end.finish().await.unwrap() == expected);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let (gate, allow, _told) = Gate::new();
    let (mut sink, end) = sink(gate).unwrap();
    let mut pieces = 0;
    while sink.check_write().unwrap() > 0 {
        sink.write(piece(0)).unwrap();
        pieces += 1;
    }
    assert_eq!(pieces, CAPACITY / MIN_PERMIT);
    assert_eq!(end.written(), 0);

    let waiting = tokio::spawn(async move {
        sink.ready().await;
        (sink.check_write().unwrap(), sink)
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    allow.send(()).unwrap();
    let (permit, _sink) = waiting.await.unwrap();
    assert_eq!(permit, MIN_PERMIT);
    assert_eq!(end.written(), MIN_PERMIT as u64);

    for _ in 1..pieces {
        allow.send(()).unwrap();
    }
    let gate = end.finish().await.unwrap();
    assert_eq!(gate.written.len(), CAPACITY);
    assert_eq!(gate.flushes, 1);
}

#[tokio::test]
async fn a_flush_ends_when_everything_before_it_is_written() {
    let (gate, allow, _told) = Gate::new();
    let (mut sink, end) = sink(gate).unwrap();
    sink.write(Bytes::from_static(b"a")).unwrap();
    sink.flush().unwrap();
    assert_eq!(sink.check_write().unwrap(), 0);
    allow.send(()).unwrap();
    sink.ready().await;
    assert_eq!(sink.check_write().unwrap(), CAPACITY);
    let gate = end.finish().await.unwrap();
    assert_eq!(gate.written, b"a");
    assert_eq!(gate.flushes, 2);
}

#[tokio::test]
async fn the_writers_error_comes_back_as_it_was() {
    let (gate, allow, _told) = Gate::new();
    drop(allow);
    let (mut sink, end) = sink(gate).unwrap();
    sink.write(piece(0)).unwrap();
    while sink.check_write().is_ok() {
        tokio::task::yield_now().await;
    }
    // Ready for good, so that the component finds out.
    sink.ready().await;
    for result in [
        sink.check_write().map(|_| ()),
        sink.write(piece(0)),
        sink.flush(),
    ] {
        assert!(
            matches!(result, Err(StreamError::LastOperationFailed(_))),
            "{result:?}"
        );
    }
    let error = end.finish().await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[tokio::test]
async fn writing_more_than_permitted_is_a_trap() {
    let (mut sink, _end) = sink(io::sink()).unwrap();
    let result = sink.write(Bytes::from(vec![0; CAPACITY + 1]));
    assert!(matches!(result, Err(StreamError::Trap(_))), "{result:?}");
}

#[tokio::test]
async fn dropping_our_end_stops_the_writing() {
    let (gate, allow, told) = Gate::new();
    let (mut sink, end) = sink(gate).unwrap();
    for n in 0..4 {
        sink.write(piece(n)).unwrap();
    }
    drop(end);
    assert!(matches!(sink.check_write(), Err(StreamError::Closed)));
    // The piece that is being written is finished, and no other one begun.
    allow.send(()).unwrap();
    told.recv_timeout(Duration::from_secs(10)).unwrap();
}

#[tokio::test]
async fn nothing_is_written_after_the_end() {
    let (mut sink, end) = sink(Vec::new()).unwrap();
    sink.write(Bytes::from_static(b"a")).unwrap();
    assert_eq!(end.finish().await.unwrap(), b"a");
    assert!(matches!(
        sink.write(Bytes::from_static(b"b")),
        Err(StreamError::Closed)
    ));
    sink.ready().await;
}

#[tokio::test]
async fn a_panicking_writer_is_an_error() {
    struct Panics;
    impl Write for Panics {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("on purpose")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut sink, end) = sink(Panics).unwrap();
    sink.write(Bytes::from_static(b"a")).unwrap();
    sink.flush().unwrap();
    sink.ready().await;
    assert!(sink.check_write().is_err());
    let error = end.finish().await.map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "the writer panicked");
}
