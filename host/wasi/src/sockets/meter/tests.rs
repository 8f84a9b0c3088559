use super::*;
use crate::testing;
use sockbox_policy::Policy;
use std::time::Duration;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

fn meter(limits: Limits) -> Arc<Meter> {
    let network = Arc::new(testing::authority(Policy::new()));
    Arc::new(Meter::new(&limits, &network))
}

/// A connection whose peer sends `bytes`, and takes all it is sent.
fn connection(meter: &Arc<Meter>, bytes: usize) -> (DynInputStream, DynOutputStream) {
    let input = MemoryInputPipe::new(vec![7; bytes]);
    let output = MemoryOutputPipe::new(1 << 20);
    let (input, output, _) = meter.around(None, Box::new(input), Box::new(output));
    (input, output)
}

fn is_refused<T>(result: StreamResult<T>) -> bool {
    match result {
        Err(StreamError::LastOperationFailed(error)) => error
            .to_string()
            .starts_with("LimitReached: no more bytes "),
        _ => false,
    }
}

#[tokio::test]
async fn what_is_received_is_counted_over_all_connections() {
    for (sent, refused) in [(99, false), (100, false), (101, true)] {
        let meter = meter(Limits::default().received_bytes(Some(100)));
        let (mut first, _output) = connection(&meter, 60);
        assert_eq!(first.read(1000).unwrap().len(), 60);
        assert!(matches!(first.read(1), Err(StreamError::Closed)));

        let (mut second, _output) = connection(&meter, sent - 60);
        assert_eq!(second.blocking_read(30).await.unwrap().len(), 30);
        let rest = second.skip(1000).unwrap();
        assert_eq!(rest, (sent - 90).min(10));
        // The end may come where the bound is, and nothing but the end.
        let last = second.blocking_read(1).await;
        assert_eq!(is_refused(last), refused, "{sent}");
        assert!(matches!(second.read(1), Err(StreamError::Closed)));
        second.ready().await;
        assert_eq!(
            meter.received.authority.has_reached(Limit::ReceivedBytes),
            refused
        );
    }
}

/// An input from which nothing more comes, and which has no end.
struct Silent(Vec<u8>);

#[async_trait]
impl Pollable for Silent {
    async fn ready(&mut self) {
        if self.0.is_empty() {
            std::future::pending().await
        }
    }
}

#[async_trait]
impl InputStream for Silent {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let rest = self.0.split_off(size.min(self.0.len()));
        Ok(std::mem::replace(&mut self.0, rest).into())
    }
}

#[tokio::test]
async fn a_connection_that_may_send_no_more_ends_behind_what_has_arrived() {
    let meter = meter(Limits::default().sent_bytes(Some(100)));
    let around = |arrived: &[u8]| {
        let output = MemoryOutputPipe::new(1 << 20);
        let input = Box::new(Silent(arrived.to_vec()));
        let (input, output, _) = meter.around(None, input, Box::new(output));
        (input, output)
    };
    let (mut waiting, mut output) = around(b"");
    assert!(waiting.read(10).unwrap().is_empty());
    let mut ready = waiting.ready();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(ready.as_mut().poll(&mut cx).is_pending());
    assert!(is_refused(output.write(vec![0; 101].into())));
    ready.await;
    assert!(matches!(waiting.read(10), Err(StreamError::Closed)));

    let (mut answered, mut output) = around(b"answer");
    assert!(is_refused(output.write(vec![0; 101].into())));
    answered.ready().await;
    assert_eq!(answered.read(4).unwrap(), "answ");
    assert_eq!(answered.read(4).unwrap(), "er");
    answered.ready().await;
    assert!(matches!(answered.read(4), Err(StreamError::Closed)));
}

#[tokio::test]
async fn what_is_sent_is_counted_over_all_connections() {
    for (size, refused) in [(39, false), (40, false), (41, true)] {
        let meter = meter(Limits::default().sent_bytes(Some(100)));
        let (_input, mut first) = connection(&meter, 0);
        first
            .blocking_write_and_flush(vec![0; 50].into())
            .await
            .unwrap();
        first.write_zeroes(10).unwrap();

        let (_input, mut second) = connection(&meter, 0);
        assert_eq!(second.check_write().unwrap(), 40);
        let written = second.blocking_write_and_flush(vec![0; size].into()).await;
        assert_eq!(is_refused(written), refused, "{size}");
        assert_eq!(meter.sent.authority.has_reached(Limit::SentBytes), refused);
        assert_eq!(
            matches!(second.check_write(), Err(StreamError::Closed)),
            refused
        );
        if size == 40 {
            // There is a permit although the write will be refused, so that the component does not
            // wait for ever.
            assert!(first.check_write().unwrap() > 0);
            first.write(Bytes::new()).unwrap();
            assert!(is_refused(first.write(Bytes::from_static(b"a"))));
            assert!(matches!(first.flush(), Err(StreamError::Closed)));
            first.ready().await;
        }
    }
}

#[tokio::test]
async fn with_none_left_from_the_start_there_is_nothing_but_the_end() {
    let meter = meter(
        Limits::default()
            .received_bytes(Some(0))
            .sent_bytes(Some(0)),
    );
    let (mut input, mut output) = connection(&meter, 1);
    assert!(input.read(0).unwrap().is_empty());
    assert!(is_refused(input.read(10)));
    assert!(is_refused(output.write(Bytes::from_static(b"a"))));
    let (mut input, _output) = connection(&meter, 0);
    assert!(matches!(input.read(10), Err(StreamError::Closed)));
}

#[tokio::test]
async fn both_ways_flow_as_fast_as_they_may() {
    let meter = meter(Limits::default().bandwidth(Some(1000)));
    let (mut input, mut output) = connection(&meter, 350);
    let mut sizes = Vec::new();
    while let Ok(bytes) = input.blocking_read(1000).await {
        sizes.push(bytes.len());
    }
    assert_eq!(sizes.iter().sum::<usize>(), 350);
    assert_eq!(sizes[0], 100, "a tenth of a second's at once");
    assert!(meter.received.authority.has_reached(Limit::Bandwidth));

    // The other way is free meanwhile, until it has used its own up.
    assert_eq!(output.check_write().unwrap(), 100);
    output.write(vec![0; 100].into()).unwrap();
    assert_eq!(output.check_write().unwrap(), 0);
    assert!(output.write_ready().await.unwrap() >= 50);
}

#[tokio::test]
async fn a_write_beyond_the_latest_permit_is_a_trap() {
    for (write, trap) in [(99, false), (100, false), (101, true)] {
        let meter = meter(Limits::default().bandwidth(Some(1000)));
        let (_input, mut output) = connection(&meter, 0);
        let early = output.write(Bytes::from_static(b"a"));
        assert!(matches!(early, Err(StreamError::Trap(_))), "not yet");
        output.write(Bytes::new()).unwrap();
        assert_eq!(output.check_write().unwrap(), 100);
        let written = output.write(vec![0; write].into());
        assert_eq!(matches!(written, Err(StreamError::Trap(_))), trap);
        // It was for one write.
        let again = output.write(Bytes::from_static(b"a"));
        assert!(matches!(again, Err(StreamError::Trap(_))), "{write}");
    }
}

#[tokio::test]
async fn many_streams_together_send_no_more_than_the_bandwidth() {
    const RATE: usize = 100_000;
    const BURST: usize = RATE / 10;
    let start = Instant::now();
    let meter = meter(Limits::default().bandwidth(Some(RATE as u64)));
    let pipes: Vec<_> = (0..8).map(|_| MemoryOutputPipe::new(1 << 20)).collect();
    let mut outputs: Vec<_> = pipes
        .iter()
        .map(|pipe| {
            let input = Box::new(MemoryInputPipe::new(Vec::new()));
            let (_, output, unsent) = meter.around(None, input, Box::new(pipe.clone()));
            (output, unsent)
        })
        .collect();
    let gone = || {
        let sizes = pipes.iter().map(|pipe| pipe.contents().len());
        let bytes: usize = sizes.sum();
        let most = RATE as f64 * start.elapsed().as_secs_f64() + BURST as f64;
        assert!(bytes as f64 <= most, "{bytes} bytes, {most} at most");
        bytes
    };
    let mut written = 0;
    while written < RATE / 2 {
        // Each is given a permit for all that there is, and makes use of it.
        let mut permits = Vec::new();
        for (output, _) in &mut outputs {
            permits.push(output.check_write().unwrap());
        }
        for ((output, _), permit) in outputs.iter_mut().zip(permits) {
            output.write(vec![7; permit].into()).unwrap();
            written += permit;
            gone();
        }
        outputs[0].0.ready().await;
        gone();
    }
    // None of it is lost, neither by dropping nor by shutting down.
    for (output, unsent) in &mut outputs {
        unsent.gone().await;
        output.cancel().await;
        gone();
    }
    assert_eq!(gone(), written);
    assert!(meter.sent.authority.has_reached(Limit::Bandwidth));
}

#[tokio::test]
async fn what_is_kept_and_cannot_be_sent_is_told() {
    let meter = meter(Limits::default().bandwidth(Some(1000)));
    let (_input, mut first) = connection(&meter, 0);
    let input = Box::new(MemoryInputPipe::new(Vec::new()));
    let short = Box::new(MemoryOutputPipe::new(20));
    let (_, mut second, _) = meter.around(None, input, short);
    first.check_write().unwrap();
    assert_eq!(second.check_write().unwrap(), 20);
    first.write(vec![0; 100].into()).unwrap();
    // There is no bandwidth left for it, and the pipe takes no more than these.
    second.write(vec![0; 20].into()).unwrap();
    assert_eq!(second.check_write().unwrap(), 0);
    second.flush().unwrap();
    assert!(matches!(
        second.write(Bytes::from_static(b"a")),
        Err(StreamError::Trap(_))
    ));
    second.ready().await;
    // A pipe that is full.
    assert!(!matches!(second.check_write(), Ok(1..)));
}

#[tokio::test]
async fn without_bandwidth_nothing_is_ready() {
    let meter = meter(Limits::default().bandwidth(Some(0)));
    let (mut input, mut output) = connection(&meter, 1);
    assert!(input.read(1).unwrap().is_empty());
    assert_eq!(output.check_write().unwrap(), 0);
    let moment = Duration::from_millis(5);
    assert!(tokio::time::timeout(moment, input.ready()).await.is_err());
    assert!(tokio::time::timeout(moment, output.ready()).await.is_err());
}

#[tokio::test]
async fn accounts_are_kept_of_what_really_went() {
    let account = Arc::new(Account::default());
    let meter = meter(Limits::default().received_bytes(Some(10)));
    let (mut input, mut output, _) = meter.around(
        Some(account.clone()),
        Box::new(MemoryInputPipe::new(vec![7; 20])),
        Box::new(MemoryOutputPipe::new(4)),
    );
    assert_eq!(input.read(20).unwrap().len(), 10);
    assert!(is_refused(input.read(20)));
    output.write(Bytes::from_static(b"abcd")).unwrap();
    assert!(output.write(Bytes::from_static(b"e")).is_err());
    drop((input, output));
    let total = account.total();
    assert_eq!((total.connections, total.received, total.sent), (1, 10, 4));
    assert!(total.open > Duration::ZERO);
}
