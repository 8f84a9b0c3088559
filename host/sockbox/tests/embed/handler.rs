//! Handling HTTP requests from Rust. What needs a real component is in the end-to-end tests.

use http::Request;
use http_body_util::Empty;
use sockbox::audit::{AuditEvent, EventKind};
use sockbox::{Error, Handler, HttpOptions, HttpServer, Limits, ResponseProblem, Sandbox};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A handler that does this with its two handles, the request's and the one for the response.
fn text(body: &str) -> String {
    format!(
        r#"
        (component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            (core module $module (func (export "handle") (param i32 i32) {body}))
            (core instance $core (instantiate $module))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $core "handle")))
            (instance $export (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $export)))
        "#
    )
}

fn handler(body: &str, limits: Limits) -> Handler {
    let program = Sandbox::new().unwrap().program(text(body)).unwrap();
    assert!(program.is_handler() && !program.is_command());
    let builder = program.handler().unwrap();
    builder.grant(|grant| grant.limits(limits)).build().unwrap()
}

fn request(url: &str) -> Request<Empty<bytes::Bytes>> {
    Request::get(url).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn what_goes_wrong_is_an_error_of_the_request() {
    let quick = Limits::default()
        .cpu_time(Some(Duration::from_millis(50)))
        .wall_time(Some(Duration::from_secs(60)));
    for (body, limits, url, expected) in [
        (
            "",
            quick.clone(),
            "http://a/",
            "Response { problem: NotSet }",
        ),
        (
            "unreachable",
            quick.clone(),
            "http://a/",
            "Trapped { reason: \"it aborted (wasm `unreachable` instruction executed)\"",
        ),
        (
            "(loop (br 0))",
            quick.clone(),
            "http://a/",
            "CpuTime { limit: 50ms }",
        ),
        (
            "",
            Limits::default().memory_bytes(1000),
            "http://a/",
            "MemoryLimit { limit: 1000 }",
        ),
        (
            "",
            quick,
            "/",
            "InvalidRequest { reason: \"it has no authority",
        ),
    ] {
        let handler = handler(body, limits);
        for _ in 0..2 {
            let error = handler.handle(request(url)).await.unwrap_err();
            let error = format!("{error:?}");
            assert!(error.starts_with(expected), "{body}: {error}");
        }
    }
}

#[tokio::test]
async fn a_component_of_another_kind_is_not_runnable() {
    let sandbox = Sandbox::new().unwrap();
    let program = sandbox.program(text("")).unwrap();
    let Err(Error::NotRunnable { problem, .. }) = program.command().run().await else {
        panic!("a handler is no command");
    };
    assert!(problem.starts_with("it is not a command"), "{problem}");
    let command = sockbox::Sandbox::component(sockbox::Wasi::V0_2);
    let program = sandbox.program(command).unwrap();
    let Err(Error::NotRunnable { problem, .. }) = program.handler() else {
        panic!("a command is no handler");
    };
    assert!(problem.starts_with("it is not a handler"), "{problem}");
}

/// The response to a GET request, and the end of the connection.
async fn get(server: &HttpServer) -> String {
    let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
    let request = b"GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn a_server_tells_what_happens_and_ends_when_it_is_stopped() {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let sink = recorded.clone();
    let sink = move |event: &AuditEvent| sink.lock().unwrap().push(event.clone());
    let program = Sandbox::new().unwrap().program(text("")).unwrap();
    let handler = program
        .handler()
        .unwrap()
        .grant(|grant| grant.audit(sink))
        .reuse(NonZeroU32::new(2).unwrap())
        .build()
        .unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let observed = events.clone();
    let options = HttpOptions::new()
        .listen("127.0.0.1:0".parse().unwrap())
        .observer(move |event| observed.lock().unwrap().push(format!("{event:?}")));
    let mut server = handler.serve(options).unwrap();
    for _ in 0..3 {
        let response = get(&server).await;
        assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    }
    server.handle().stop(Duration::from_secs(60));
    let stats = server.ended().await.unwrap();
    assert_eq!(server.ended().await.unwrap(), stats);
    assert_eq!((stats.accepted, stats.requests, stats.failed), (3, 3, 3));
    assert_eq!((stats.open, stats.active), (0, 0));
    assert_eq!(events.lock().unwrap().len(), 3);
    let recorded = recorded.lock().unwrap();
    let handled: Vec<_> = recorded
        .iter()
        .filter_map(|event| match &event.what {
            EventKind::Handled(request) => Some((event.run.get(), request.path.clone())),
            _ => None,
        })
        .collect();
    // The server is run 1. An instance without a response has not failed, so that it is used again.
    let path = || "/a".to_owned();
    assert_eq!(handled, [(2, path()), (2, path()), (3, path())]);
    let last = recorded.last().unwrap();
    assert_eq!((last.run.get(), &last.what), (1, &EventKind::Ended));
    drop(recorded);
    let problem = Error::Response {
        problem: ResponseProblem::NotSet,
    };
    assert_eq!(
        problem.to_string(),
        "the component returned without a response"
    );
}

#[tokio::test]
async fn dropping_the_server_ends_it() {
    let options = HttpOptions::new().listen("127.0.0.1:0".parse().unwrap());
    let server = handler("(loop (br 0))", Limits::default())
        .serve(options)
        .unwrap();
    let address = server.addresses()[0];
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    while server.handle().stats().active == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(server);
    let mut rest = Vec::new();
    // The connection ends, in order or not.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
