//! The decider for operations that no rule decides.

use crate::peer::{Peer, read_head, response};
use sockbox::policy::{DenialReason, Target};
use sockbox::{Decision, Error, EventKind, Limits, Policy, Question, Request, Sandbox, origin_of};
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
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

/// A command that sends the request `GET http://AUTHORITY/PATH` twice, and succeeds if both have a response.
fn sender(authority: &str, path: &str) -> String {
    include_str!("request.wat")
        .replace("{authority}", authority)
        .replace("{authority-bytes}", &authority.len().to_string())
        .replace("{path}", path)
        .replace("{path-bytes}", &(path.len() + 1).to_string())
}

/// Answer two requests on connections of their own. Returns their heads.
fn answer_two(listener: TcpListener) -> JoinHandle<Vec<String>> {
    listener.set_nonblocking(false).unwrap();
    std::thread::spawn(move || {
        let answer = || {
            let (mut stream, _) = listener.accept().unwrap();
            let head = read_head(&mut stream).unwrap();
            stream.write_all(&response(b"hello")).unwrap();
            String::from_utf8(head).unwrap()
        };
        vec![answer(), answer()]
    })
}

#[tokio::test]
async fn it_is_asked_once_about_each_http_request_and_about_nothing_below_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
    let url = format!("http://{authority}/b");
    let sandbox = Sandbox::new().unwrap();
    let program = sandbox.program(sender(&authority, "a/../b?c")).unwrap();
    let run = async |allow: bool, code: i32, verdict: String| {
        let asked = Arc::default();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let sink = recorded.clone();
        let sink = move |event: &sockbox::AuditEvent| sink.lock().unwrap().push(event.to_string());
        let command = program.command().decider(always(allow, &asked)).audit(sink);
        assert_eq!(command.run().await.unwrap(), code);
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), 2, "{asked:?}");
        for question in &*asked {
            let Target::Http(request) = &question.target else {
                panic!("{question:?}");
            };
            assert_eq!(request.method.as_str(), "GET");
            assert_eq!(request.url.to_string(), url);
            assert_eq!(question.name, None);
        }
        let recorded = recorded.lock().unwrap();
        assert!(recorded.contains(&verdict), "{recorded:?}");
    };
    let denied = format!("denied: send GET {url}: as the test wants it");
    run(false, 1, denied).await;
    assert!(listener.accept().is_err(), "a client connected");
    let server = answer_two(listener);
    let allowed = format!("allowed: send GET {url}, by: as the test wants it");
    run(true, 0, allowed).await;
    for head in server.join().unwrap() {
        assert!(head.starts_with("GET /b?c HTTP/1.1\r\n"), "{head}");
    }
}

#[tokio::test]
async fn it_is_not_asked_about_an_http_request_that_a_rule_decides() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
    let sandbox = Sandbox::new().unwrap();
    let program = sandbox.program(sender(&authority, "b")).unwrap();
    let run = async |policy: Policy, allow: bool, code: i32| {
        let asked = Arc::default();
        let command = program.command().policy(policy);
        let command = command.decider(always(allow, &asked));
        assert_eq!(command.run().await.unwrap(), code);
        assert_eq!(asked.lock().unwrap().len(), 0);
    };
    let denied = Policy::new().deny_http(&format!("* http://{authority}/*"));
    run(denied.unwrap(), true, 1).await;
    assert!(listener.accept().is_err(), "a client connected");
    let server = answer_two(listener);
    let granted = Policy::new().allow_http(&format!("GET http://{authority}/b"));
    run(granted.unwrap(), false, 0).await;
    assert_eq!(server.join().unwrap().len(), 2);
}
