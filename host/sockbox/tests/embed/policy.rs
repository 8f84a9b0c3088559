//! Grants and denials.

use crate::peer::{Peer, response};
use crate::{MOMENT, granted, instance};
use sockbox::policy::Target;
use sockbox::{AuditEvent, Error, Policy, Request, Sandbox, Stage, origin_of};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn nothing_arrives_without_a_grant() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other_port = SocketAddr::new(address.ip(), address.port() ^ 1);

    let url = format!("http://{address}/");
    let named = format!("http://localhost:{}/", address.port());
    let by_name = |error: &Error| {
        matches!(
            error,
            Error::Denied {
                target: Target::Resolve(_),
                ..
            }
        )
    };
    let by_address = |error: &Error| matches!(error, Error::Denied { target: Target::Connect(to), .. } if *to == address);
    type Check<'a> = &'a dyn Fn(&Error) -> bool;
    let table: [(Policy, &str, Check<'_>); 5] = [
        (Policy::new(), &url, &by_address),
        (Policy::new().allow_connect(other_port), &url, &by_address),
        (Policy::new().allow_listen(address), &url, &by_address),
        (Policy::new(), &named, &by_name),
        // The address is granted, and its name isn't.
        (Policy::new().allow_connect(address), &named, &by_name),
    ];
    for (policy, url, expected) in table {
        let mut instance = instance(policy.clone()).await;
        let error = instance
            .fetch(Request::get(url))
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(expected(&error), "{policy:?} {url}: {error:?}");
        assert!(error.to_string().contains("(allow-"), "{error}");
    }
    // Connections are accepted in the order that they arrived in: ours is the first.
    let ours = TcpStream::connect(address).unwrap();
    let (_, first) = listener.accept().unwrap();
    assert_eq!(first, ours.local_addr().unwrap(), "a connection arrived");

    // With a grant a connection arrives, which proves that the check above can fail.
    let mut granted = granted(&url).await;
    let fetch = granted.fetch(Request::get(&url).first_byte_timeout(MOMENT));
    let failed = fetch.await.map(|_| ());
    assert!(
        matches!(
            failed,
            Err(Error::Timeout {
                stage: Stage::FirstByte,
                ..
            })
        ),
        "{failed:?}"
    );
    listener.accept().unwrap();
}

#[tokio::test]
async fn a_granted_name_is_looked_up_and_connected_to() {
    let peer = Peer::answering(response(b"hello"));
    let url = format!("http://localhost:{}/", peer.address.port());
    let decisions = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let decisions = decisions.clone();
        move |event: &AuditEvent| decisions.lock().unwrap().push(event.clone())
    };
    let sandbox = Sandbox::new().unwrap();
    let mut instance = sandbox
        .instance()
        .policy(Policy::new().allow_origin(origin_of(&url).unwrap()))
        .audit(sink)
        .build()
        .await
        .unwrap();
    let run = instance.run_id();
    let response = instance.fetch(Request::get(&url)).await.unwrap();
    assert_eq!(response.remote_address(), peer.address);
    drop(response);
    peer.request();

    let decisions = decisions.lock().unwrap();
    assert!(!decisions.is_empty());
    for event in decisions.iter() {
        assert!(!event.is_denial(), "{event}");
        assert_eq!(event.run, run);
    }
    let told: Vec<_> = decisions.iter().map(|event| event.to_string()).collect();
    assert!(
        told[0].starts_with("allowed: resolve localhost, by: allow-connect localhost:"),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|line| line.contains("(localhost), by: allow-connect localhost:")),
        "{told:?}"
    );
}
