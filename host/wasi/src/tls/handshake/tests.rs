use super::*;
use crate::Grant;
use crate::bindings::tls::{
    HostClientConnection, HostClientHandshake as _, HostFutureClientStreams,
};
use crate::failed;
use crate::testing;
use crate::tls::TlsConfig;
use proptest::prelude::*;
use rustls::RootCertStore;
use sockbox_policy::Limits;
use wasmtime::Store;
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, StreamResult};

type Run = Store<testing::State>;

fn store_with(limits: &Limits, config: TlsConfig) -> Run {
    let grant = Grant::new().limits(limits.clone()).tls(config);
    testing::store(&testing::engine(), &grant)
}

/// What is trusted is there already: nothing is read.
fn trusting() -> TlsConfig {
    TlsConfig::new().dangerously_trust_anybody()
}

fn store(limits: &Limits) -> Run {
    store_with(limits, trusting())
}

/// A stream that is there, and on which nothing happens.
struct Silent;

#[async_trait]
impl Pollable for Silent {
    async fn ready(&mut self) {
        std::future::pending().await
    }
}

impl InputStream for Silent {
    fn read(&mut self, _: usize) -> StreamResult<bytes::Bytes> {
        Ok(bytes::Bytes::new())
    }
}

impl OutputStream for Silent {
    fn write(&mut self, _: bytes::Bytes) -> StreamResult<()> {
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(1024)
    }
}

/// Begin a handshake as a component does, on streams that stay open.
fn begin(store: &mut Run, name: &str) -> Resource<FutureStreams> {
    let table = &mut store.data_mut().table;
    let input = table.push(Box::new(Silent) as DynInputStream).unwrap();
    let output = table.push(Box::new(Silent) as DynOutputStream).unwrap();
    begin_on(store, name, input, output)
}

fn begin_on(
    store: &mut Run,
    name: &str,
    input: Resource<DynInputStream>,
    output: Resource<DynOutputStream>,
) -> Resource<FutureStreams> {
    let mut tls = crate::ctx::tls(store.data_mut());
    let handshake = tls.new(name.to_owned(), input, output).unwrap();
    let kept = &tls.table.get(&handshake).unwrap().server;
    let bytes = match kept {
        Ok(name) => name.capacity(),
        Err(TlsFailure::InvalidName { name }) => name.capacity(),
        Err(failure) => failure.to_string().len(),
    };
    assert!(bytes <= 2 * MAX_NAME_BYTES, "{bytes} bytes are kept");
    tls.finish(handshake).unwrap()
}

/// What a component is told of a handshake that has failed. None: it is under way.
fn told(store: &mut Run, future: &Resource<FutureStreams>) -> Option<String> {
    let mut tls = crate::ctx::tls(store.data_mut());
    let this = Resource::new_borrow(future.rep());
    match HostFutureClientStreams::get(&mut tls, this).unwrap()? {
        Ok(Err(error)) => {
            let text = failed::text(tls.table.get(&error).unwrap()).into_owned();
            tls.table.delete(error).unwrap();
            Some(text)
        }
        Ok(Ok(_)) => panic!("the handshake succeeded without a server"),
        Err(()) => panic!("asked twice"),
    }
}

fn drop_future(store: &mut Run, future: Resource<FutureStreams>) {
    HostFutureClientStreams::drop(&mut crate::ctx::tls(store.data_mut()), future).unwrap();
}

/// A name of so many bytes, in labels of 63 at most.
fn long_name(bytes: usize) -> String {
    (0..bytes)
        .map(|at| if at % 64 == 63 { '.' } else { 'a' })
        .collect()
}

#[tokio::test]
async fn a_name_has_at_most_253_bytes() {
    let mut store = store(&Limits::default());
    for (name, fits) in [
        (long_name(252), true),
        (long_name(253), true),
        (long_name(254), false),
        (format!("{}.", long_name(254)), false),
        ("a".repeat(63), true),
        ("a".repeat(64), false),
        ("a".repeat(100 * 1024 * 1024), false),
    ] {
        let future = begin(&mut store, &name);
        let told = told(&mut store, &future);
        assert_eq!(told.is_none(), fits, "{} bytes: {told:?}", name.len());
        if let Some(told) = told {
            assert!(told.ends_with("is not a name that a certificate can contain"));
            assert!(told.len() < 2 * MAX_NAME_BYTES, "{told}");
        }
        drop_future(&mut store, future);
    }
}

proptest! {
    #[test]
    fn no_name_is_kept_that_is_longer(piece in any::<String>(), times in 0_usize..5_000) {
        let mut store = store(&Limits::default());
        // It looks itself at what is kept.
        let future = begin(&mut store, &piece.repeat(times));
        if let Some(told) = told(&mut store, &future) {
            prop_assert!(told.len() <= 2048, "{}", told.len());
        }
    }
}

#[tokio::test]
async fn sessions_take_of_the_runs_memory() {
    for (limit, expected) in [
        (SESSION_BYTES - 1, 0),
        (SESSION_BYTES, 1),
        (2 * SESSION_BYTES - 1, 1),
        (2 * SESSION_BYTES, 2),
    ] {
        let mut store = store(&Limits::default().memory_bytes(limit));
        let mut under_way = Vec::new();
        let refusal = loop {
            let future = begin(&mut store, "a.example");
            match told(&mut store, &future) {
                None => under_way.push(future),
                Some(told) => break told,
            }
        };
        assert_eq!(
            refusal,
            "no memory left for TLS (max-memory sets the limit)"
        );
        assert_eq!(under_way.len(), expected, "{limit}");
        assert!(store.data().sockbox.authority().has_reached(Limit::Memory));
        let Some(one) = under_way.pop() else { continue };
        drop_future(&mut store, one);
        let another = begin(&mut store, "a.example");
        assert_eq!(
            told(&mut store, &another),
            None,
            "what was given back is to be had"
        );
    }
}

#[tokio::test]
async fn tls_on_top_of_tls_is_refused() {
    let mut store = store(&Limits::default());
    let plain = |store: &mut Run| -> (Resource<DynInputStream>, Resource<DynOutputStream>) {
        let table = &mut store.data_mut().table;
        let input = table.push(Box::new(ClosedInputStream) as DynInputStream);
        let output = table.push(Box::new(ClosedOutputStream) as DynOutputStream);
        (input.unwrap(), output.unwrap())
    };
    for (of_input, of_output) in [(true, true), (true, false), (false, true)] {
        let (_connection, input, output) = secure(&mut store);
        let (plain_input, plain_output) = plain(&mut store);
        let input = if of_input { input } else { plain_input };
        let output = if of_output { output } else { plain_output };
        let future = begin_on(&mut store, "a.example", input, output);
        let told = told(&mut store, &future);
        let expected = "the connection already uses TLS";
        assert_eq!(told.as_deref(), Some(expected));
    }
    // A stream that has got the number of one that has gone is not taken for it.
    let (connection, input, output) = secure(&mut store);
    store.data_mut().table.delete(input).unwrap();
    store.data_mut().table.delete(output).unwrap();
    let connection = Resource::new_own(connection.rep());
    HostClientConnection::drop(&mut crate::ctx::tls(store.data_mut()), connection).unwrap();
    let future = begin(&mut store, "a.example");
    assert_eq!(told(&mut store, &future), None);
}

/// A connection that has TLS on it, as far as a component can tell.
fn secure(store: &mut Run) -> Streams {
    let tls = crate::ctx::tls(store.data_mut());
    let (config, _) = tls.client.for_server("a.example").unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    let session = Session::new(
        connection,
        Box::new(Silent),
        Box::new(Silent),
        Held::nothing(),
    );
    let shared = Shared::new(session, tls.client.clone());
    let mut tls = crate::ctx::tls(store.data_mut());
    tls.give(shared).unwrap()
}

#[tokio::test]
async fn what_is_on_this_machine_is_told_to_the_embedder_and_not_to_the_component() {
    let secret = "/nonexistent/home/of/somebody/authorities.pem";
    let errors = Arc::new(std::sync::Mutex::new(Vec::new()));
    let config = {
        let errors = errors.clone();
        let observer =
            move |error: &crate::tls::TlsError| errors.lock().unwrap().push(error.to_string());
        TlsConfig::new()
            .system_file(secret)
            .observe_failures(observer)
    };
    let mut store = store_with(&Limits::default(), config);
    let future = begin(&mut store, "a.example");
    store
        .data_mut()
        .table
        .get_mut(&future)
        .unwrap()
        .ready()
        .await;
    let told = told(&mut store, &future);
    assert_eq!(
        told.as_deref(),
        Some("this runtime has no trusted certificate authorities")
    );
    let errors = errors.lock().unwrap();
    assert!(
        errors.len() == 1 && errors[0].contains(secret),
        "{errors:?}"
    );
    // Nor is anything of an empty store of authorities.
    let config = TlsConfig::new().roots(RootCertStore::empty());
    let mut store = store_with(&Limits::default(), config);
    let future = begin(&mut store, "a.example");
    assert!(self::told(&mut store, &future).is_some());
}
