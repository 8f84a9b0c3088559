//! The decider for operations that no rule decides.

use crate::peer::{Peer, response};
use sockbox::policy::{DenialReason, Target};
use sockbox::{Decision, Error, EventKind, Limits, Policy, Question, Request, Sandbox, origin_of};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Remembers its questions, and gives the same answer each time.
fn always(
    allow: bool,
    asked: &Arc<Mutex<Vec<Question>>>,
) -> impl Fn(Question) -> std::future::Ready<Decision> + Send + Sync + 'static {
    let asked = asked.clone();
    move |question| {
        asked.lock().unwrap().push(question);
        let reason = "as the test wants it".to_owned();
        std::future::ready(match allow {
            true => Decision::Allow { reason },
            false => Decision::Deny { reason },
        })
    }
}

#[tokio::test]
async fn what_it_allows_is_done_and_recorded() {
    let peer = Peer::answering(response(b"hello"));
    let address = peer.address;
    let url = format!("http://localhost:{}/", address.port());
    let asked = Arc::default();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let sink = recorded.clone();
    let sandbox = Sandbox::new().unwrap();
    let mut instance = sandbox
        .instance()
        .decider(always(true, &asked))
        .audit(move |event: &sockbox::AuditEvent| sink.lock().unwrap().push(event.clone()))
        .build()
        .await
        .unwrap();
    let mut response = instance.fetch(Request::get(&url)).await.unwrap();
    assert_eq!(
        response.chunk().await.unwrap().as_deref(),
        Some(&b"hello"[..])
    );
    drop(response);
    peer.request();

    let asked = asked.lock().unwrap();
    assert!(matches!(asked[0].target, Target::Resolve(_)), "{asked:?}");
    assert_eq!(asked[0].run, instance.run_id());
    let connect = asked
        .iter()
        .find(|question| question.target == Target::Connect(address))
        .unwrap();
    let name = connect.name.as_ref().map(ToString::to_string);
    assert_eq!(name.as_deref(), Some("localhost"));
    let recorded = recorded.lock().unwrap();
    let line = format!(
        "allowed: connect to {} (localhost), by: as the test wants it",
        address
    );
    assert!(
        recorded.iter().any(|event| event.to_string() == line),
        "{recorded:?}"
    );
    let told = |event: &sockbox::AuditEvent| matches!(event.what, EventKind::Resolved { .. });
    assert!(recorded.iter().any(told), "{recorded:?}");
}

#[tokio::test]
async fn what_it_refuses_is_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::default();
    let sandbox = Sandbox::new().unwrap();
    let builder = sandbox.instance().decider(always(false, &asked));
    let mut instance = builder.build().await.unwrap();
    let failed = instance.fetch(Request::get(&url)).await.map(|_| ());
    let Err(Error::Denied { target, reason, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(target, Target::Connect(listener.local_addr().unwrap()));
    let said = DenialReason::Decider {
        reason: "as the test wants it".to_owned(),
    };
    assert_eq!(reason, said);
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert!(listener.accept().is_err(), "a client connected");
}

#[tokio::test]
async fn it_is_not_asked_about_what_rules_decide() {
    let peer = Peer::answering(response(b"hello"));
    let asked = Arc::default();
    let policy = Policy::new()
        .allow_origin(origin_of(&peer.url).unwrap())
        .deny_connect("127.0.0.2")
        .unwrap();
    let sandbox = Sandbox::new().unwrap();
    let builder = sandbox
        .instance()
        .policy(policy)
        .decider(always(true, &asked));
    let mut instance = builder.build().await.unwrap();
    drop(instance.fetch(Request::get(&peer.url)).await.unwrap());
    peer.request();
    let denied = instance
        .fetch(Request::get("http://127.0.0.2:1/"))
        .await
        .map(|_| ());
    assert!(
        matches!(
            denied,
            Err(Error::Denied {
                reason: DenialReason::Rule { .. },
                ..
            })
        ),
        "{denied:?}"
    );
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_that_takes_its_time_is_given_up_with_the_run() {
    /// Reports when the question is dropped.
    struct Asked(tokio::sync::mpsc::UnboundedSender<()>);

    impl Drop for Asked {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    let (sender, mut dropped) = tokio::sync::mpsc::unbounded_channel();
    let sandbox = Sandbox::new().unwrap();
    let mut instance = sandbox
        .instance()
        .limits(Limits::default().wall_time(Some(Duration::from_millis(200))))
        .decider(move |_| {
            let asked = Asked(sender.clone());
            async move {
                let _asked = asked;
                std::future::pending().await
            }
        })
        .build()
        .await
        .unwrap();
    let failed = instance
        .fetch(Request::get("http://127.0.0.1:1/"))
        .await
        .map(|_| ());
    assert!(matches!(failed, Err(Error::WallTime { .. })), "{failed:?}");
    drop(instance);
    let gone = tokio::time::timeout(crate::DEADLINE, dropped.recv()).await;
    assert_eq!(gone, Ok(Some(())), "no task waits for it any more");
}
