//! What only handlers for WASI 0.2 can do.

use crate::client::{Response, exchange, get, got, request};
use sockbox_tests::{Foreign, Nginx};

#[test]
fn a_handler_that_keeps_its_response_does_not_hold_up_the_client() {
    let server = Foreign::Handler.serve(&["--max-instance-reuse", "3"]);
    let address = server.address();
    assert_eq!(got(address, "/leak"), (200, "kept\n".to_owned()));
    let response = get(address, "/nothing");
    assert_eq!(
        (response.status, response.body.as_str()),
        (500, "500 Internal Server Error\n")
    );
    server.wait_for_log(&["GET /nothing: 500, the component returned without a response"]);
    assert_eq!(got(address, "/hello").1, "Hello, world!\n");
}

#[test]
fn a_component_in_javascript_handles_requests() {
    let server = Foreign::JavaScriptHandler.serve(&["--max-compile-time", "1000"]);
    let address = server.address();
    let response = get(address, "/hello");
    assert_eq!(response.header("x-own"), Some("1"));
    assert_eq!(got(address, "/hello").1, "Hello from JavaScript!\n");
    let post = request("POST", "/echo", "Content-Length: 3\r\n") + "abc";
    let response = Response::parse(&exchange(address, post));
    assert_eq!(response.status, 201);
    assert!(response.body.contains("abc"), "{response:?}");
    let denied = got(address, "/fetch?http://127.0.0.1:1/");
    assert_eq!(denied.0, 502, "{denied:?}");
    server.wait_for_log(&["denied: send GET http://127.0.0.1:1/"]);
    server.terminate().assert_code(0);
}

#[test]
fn a_component_on_wstd_handles_requests() {
    if !Foreign::WstdHandler.has_compiler() {
        return;
    }
    let nginx = Nginx::start();
    let page = nginx.url("/page.html");
    let server = Foreign::WstdHandler.serve(&["--allow-http", &format!("GET {page}")]);
    let address = server.address();
    assert_eq!(
        got(address, "/hello"),
        (200, "Hello from wstd!\n".to_owned())
    );
    let post = request("POST", "/echo", "Content-Length: 3\r\n") + "abc";
    let response = Response::parse(&exchange(address, post));
    assert_eq!(response.status, 201);
    assert!(response.body.contains("abc"), "{response:?}");
    assert_eq!(
        got(address, &format!("/fetch?{page}")),
        (200, "200\n".to_owned())
    );
    let denied = got(address, "/fetch?http://127.0.0.1:1/");
    assert_eq!(denied, (502, "ErrorCode::HttpRequestDenied\n".to_owned()));
    server.wait_for_log(&["denied: send GET http://127.0.0.1:1/"]);
    server.terminate().assert_code(0);
}
