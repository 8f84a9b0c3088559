//! The example with a store, a linker and a world of its own does what it says.

#[allow(dead_code, reason = "its main function")]
#[path = "../examples/own_store.rs"]
mod own_store;

use sockbox_wasi::policy::Policy;
use std::net::TcpListener;

#[tokio::test]
async fn what_is_granted_works_and_what_is_not_is_refused_and_audited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();

    let granted = own_store::run(own_store::granting(port).unwrap(), port);
    let granted = granted.await.unwrap();
    assert!(granted.connected);
    listener.accept().unwrap();
    assert_eq!(granted.log, ["about to connect"]);
    let decision =
        format!("allowed: connect to 127.0.0.1:{port}, by: allow-connect 127.0.0.1:{port}");
    assert_eq!(granted.audit.first(), Some(&decision));
    assert_eq!(granted.audit.last().map(String::as_str), Some("ended"));

    let denied = own_store::run(Policy::new(), port).await.unwrap();
    assert!(!denied.connected);
    assert_eq!(denied.log, ["about to connect"]);
    let [decision, ended] = &denied.audit[..] else {
        panic!("{:?}", denied.audit);
    };
    assert!(
        decision.starts_with(&format!("denied: connect to 127.0.0.1:{port}")),
        "{decision}"
    );
    assert_eq!(ended, "ended");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "no second connection was made");
}
