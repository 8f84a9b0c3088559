use super::*;
use std::collections::VecDeque;

/// An input as a TCP connection's is: one place for a waker, which stays.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    arrived: VecDeque<Bytes>,
    waker: Option<Waker>,
    asked: usize,
}

impl Fake {
    fn arrive(&self, bytes: &'static [u8]) {
        let mut state = self.0.lock().unwrap();
        state.arrived.push_back(Bytes::from_static(bytes));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }
}

#[async_trait]
impl Pollable for Fake {
    async fn ready(&mut self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            state.asked += 1;
            if state.arrived.is_empty() {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl InputStream for Fake {
    fn read(&mut self, _: usize) -> StreamResult<Bytes> {
        let mut state = self.0.lock().unwrap();
        let arrived = state.arrived.pop_front();
        if arrived.is_none() {
            // A read that finds nothing registers a waker that does nothing.
            state.waker = Some(Waker::noop().clone());
        }
        Ok(arrived.unwrap_or_default())
    }
}

struct Bench {
    table: ResourceTable,
    readiness: Readiness,
    fakes: Vec<Fake>,
    inputs: Vec<Resource<DynInputStream>>,
    pollables: Vec<Resource<DynPollable>>,
}

impl Bench {
    fn new(count: usize) -> Bench {
        let mut bench = Bench {
            table: ResourceTable::new(),
            readiness: Readiness::default(),
            fakes: Vec::new(),
            inputs: Vec::new(),
            pollables: Vec::new(),
        };
        for _ in 0..count {
            let fake = Fake::default();
            let input: DynInputStream = Box::new(fake.clone());
            let input = bench.table.push(input).unwrap();
            bench.readiness.watch(&mut bench.table, &input).unwrap();
            bench.subscribe(&input);
            bench.fakes.push(fake);
            bench.inputs.push(input);
        }
        bench
    }

    fn subscribe(&mut self, input: &Resource<DynInputStream>) {
        let borrowed = Resource::new_borrow(input.rep());
        let pollable = subscribe::<DynInputStream>(&mut self.table, borrowed).unwrap();
        self.readiness.subscribed(input.rep(), pollable.rep());
        self.pollables.push(pollable);
    }

    /// What is ready, if anything is within a moment.
    async fn poll(&mut self) -> Option<Vec<u32>> {
        let asked: Vec<_> = self
            .pollables
            .iter()
            .map(|pollable| Resource::new_borrow(pollable.rep()))
            .collect();
        let poll = self.readiness.poll(&mut self.table, &asked);
        let ready = tokio::time::timeout(Duration::from_millis(5), poll).await;
        ready.ok().map(Result::unwrap)
    }

    fn read(&mut self, index: usize) -> Bytes {
        self.table
            .get_mut(&self.inputs[index])
            .unwrap()
            .read(1)
            .unwrap()
    }
}

#[tokio::test]
async fn what_is_not_ready_is_asked_once() {
    let mut bench = Bench::new(3);
    for _ in 0..3 {
        assert_eq!(bench.poll().await, None);
    }
    assert!(bench.fakes.iter().all(|fake| fake.asked() == 1));
    bench.fakes[1].arrive(b"a");
    for _ in 0..2 {
        assert_eq!(bench.poll().await, Some(vec![1]), "until it is read");
    }
    assert_eq!(bench.fakes[0].asked(), 1);
    assert_eq!(bench.read(1), "a");
    assert_eq!(bench.poll().await, None);
    bench.fakes[1].arrive(b"b");
    assert_eq!(bench.poll().await, Some(vec![1]));
}

#[tokio::test]
async fn a_read_in_vain_loses_nothing() {
    let mut bench = Bench::new(2);
    assert_eq!(bench.poll().await, None);
    assert_eq!(bench.read(0), "");
    assert_eq!(bench.poll().await, None);
    bench.fakes[0].arrive(b"a");
    assert_eq!(bench.poll().await, Some(vec![0]));
}

#[tokio::test]
async fn a_call_that_waits_is_woken() {
    let mut bench = Bench::new(2);
    let fake = bench.fakes[1].clone();
    let later = tokio::spawn(async move {
        tokio::task::yield_now().await;
        fake.arrive(b"a");
    });
    assert_eq!(bench.poll().await, Some(vec![1]));
    later.await.unwrap();
}

#[tokio::test]
async fn one_that_is_always_ready_keeps_no_news_out() {
    let mut bench = Bench::new(2);
    let (stream, mut peer) = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().await.unwrap().0, peer)
    };
    // A connection, whose news tokio has to bring, in the place of the second.
    let input = bench.table.get_mut(&bench.inputs[1]).unwrap();
    *input = Box::new(Watched {
        input: Box::new(Connected(stream)),
        watch: bench.readiness.pollables[&bench.pollables[1].rep()]
            .watch
            .clone(),
    });
    // tokio takes a new connection for ready until it has been tried.
    assert_eq!(bench.read(1), "");
    bench.fakes[0].arrive(b"a");
    assert_eq!(bench.poll().await, Some(vec![0]));
    std::io::Write::write_all(&mut peer, b"b").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while bench.poll().await != Some(vec![0, 1]) {
        assert!(Instant::now() < deadline, "it is never heard of");
    }
}

struct Connected(tokio::net::TcpStream);

#[async_trait]
impl Pollable for Connected {
    async fn ready(&mut self) {
        poll_fn(|cx| self.0.poll_read_ready(cx)).await.unwrap();
    }
}

impl InputStream for Connected {
    fn read(&mut self, _: usize) -> StreamResult<Bytes> {
        let mut byte = [0];
        let read = self.0.try_read(&mut byte).unwrap_or(0);
        Ok(Bytes::copy_from_slice(&byte[..read]))
    }
}

#[tokio::test]
async fn other_pollables_are_asked_as_ever() {
    let mut bench = Bench::new(1);
    // A second one of the same input, and one of an input that isn't watched.
    let first = Resource::new_borrow(bench.inputs[0].rep());
    bench.subscribe(&first);
    let unwatched = Fake::default();
    let input: DynInputStream = Box::new(unwatched.clone());
    let input = bench.table.push(input).unwrap();
    bench.subscribe(&input);
    assert_eq!(bench.poll().await, None);
    unwatched.arrive(b"a");
    assert_eq!(bench.poll().await, Some(vec![2]));
    bench.fakes[0].arrive(b"a");
    let mut ready = bench.poll().await.unwrap();
    ready.sort_unstable();
    assert_eq!(ready, [0, 1, 2]);
    assert!(bench.readiness.poll(&mut bench.table, &[]).await.is_err());
}

#[tokio::test]
async fn an_input_that_has_gone_leaves_its_number_to_another() {
    let mut bench = Bench::new(0);
    let input: DynInputStream = Box::<Fake>::default();
    let input = bench.table.push(input).unwrap();
    bench.readiness.watch(&mut bench.table, &input).unwrap();
    let rep = input.rep();
    bench.table.delete(input).unwrap();
    let other: DynInputStream = Box::<Fake>::default();
    let other = bench.table.push(other).unwrap();
    assert_eq!(other.rep(), rep);
    bench.subscribe(&other);
    assert!(bench.readiness.pollables.is_empty());
}
