//! The library on WASI 0.3: the same policy, limits and events.

use crate::DEADLINE;
use crate::serve::{ask, loopback};
use sockbox::limits::Limit;
use sockbox::policy::Target;
use sockbox::{
    AuditEvent, CloseReason, Error, Event, InstanceBuilder, Limits, NetworkError, Policy, Request,
    Sandbox, ServeOptions, Wasi,
};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn instance() -> InstanceBuilder {
    let sandbox = Sandbox::builder().wasi(Wasi::V0_3).build();
    sandbox.unwrap().instance()
}

#[tokio::test]
async fn a_server_answers_and_tells_of_it() {
    let decisions = Arc::new(Mutex::new(Vec::new()));
    let sink = decisions.clone();
    let instance = instance()
        .policy(Policy::new().allow_listen(loopback()))
        .audit(move |event: &AuditEvent| {
            if let Some((target, verdict)) = event.decision() {
                let decision = (target.clone(), verdict.is_allowed());
                sink.lock().unwrap().push(decision);
            }
        });
    let options = ServeOptions::new().listen(loopback());
    let mut server = instance
        .build()
        .await
        .unwrap()
        .serve(options)
        .await
        .unwrap();
    let address = server.addresses()[0];
    let handle = server.handle();
    for round in 1..=3 {
        let client = ask(address, "Michael\nTracy\nexit\n");
        let Some(Event::Opened(opened)) = server.next().await.unwrap() else {
            panic!("not opened");
        };
        assert_eq!((opened.id, opened.local), (round, address));
        // A question in the middle of a conversation.
        assert_eq!(handle.summary().await.unwrap().accepted, round);
        let Some(Event::Closed(closed)) = server.next().await.unwrap() else {
            panic!("not closed");
        };
        assert_eq!((closed.id, closed.remote), (round, opened.remote));
        assert_eq!(closed.reason, CloseReason::Exit);
        assert_eq!(closed.messages, 2);
        let answer = client.join().unwrap().unwrap();
        assert_eq!(answer, "Hello, Michael!\nHello, Tracy!\n");
        assert_eq!(closed.bytes_sent, answer.len() as u64);
    }
    handle.stop(DEADLINE);
    let last = server.finish().await.unwrap();
    assert_eq!((last.accepted, last.open, last.messages), (3, 0, 6));
    TcpStream::connect(address).unwrap_err();

    let decisions = decisions.lock().unwrap();
    assert!(decisions.contains(&(Target::Listen(address), true)));
    let accepted = decisions
        .iter()
        .filter(|(target, allowed)| *allowed && matches!(target, Target::Accept(_)));
    assert_eq!(accepted.count(), 3);
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_what_cannot_be_had_is_told() {
    let listen = async |policy: Policy, address| {
        let instance = instance().policy(policy).build().await.unwrap();
        let options = ServeOptions::new().listen(address);
        instance.serve(options).await.map(|_| ()).unwrap_err()
    };
    let error = listen(Policy::new(), loopback()).await;
    assert!(
        matches!(&error, Error::Denied { target: Target::Listen(at), .. } if *at == loopback()),
        "{error:?}"
    );

    let taken = TcpListener::bind(loopback()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = listen(Policy::new().allow_listen(address), address).await;
    assert!(
        matches!(error, Error::ListenFailed { address: at, reason: NetworkError::AddressInUse } if at == address),
        "{error:?}"
    );
}

#[tokio::test]
async fn its_limits_hold() {
    let mut limits = Limits::default();
    limits.memory_bytes = 0;
    let error = instance().limits(limits).build().await.map(|_| ());
    assert!(
        matches!(error, Err(Error::MemoryLimit { limit: 0 })),
        "{error:?}"
    );

    let mut limits = Limits::default();
    limits.wall_time = Some(Duration::from_millis(200));
    let policy = Policy::new().allow_listen(loopback());
    let instance = instance().limits(limits).policy(policy).build();
    let options = ServeOptions::new().listen(loopback());
    let mut server = instance.await.unwrap().serve(options).await.unwrap();
    let error = server.next().await.unwrap_err();
    assert!(matches!(error, Error::WallTime { .. }), "{error:?}");

    let mut limits = Limits::default();
    limits.handles = 80;
    let instance = |limits: &Limits| {
        let policy = Policy::new().allow_listen(loopback());
        self::instance().limits(limits.clone()).policy(policy)
    };
    let options = ServeOptions::new()
        .listen(loopback())
        .refuse_when_full(true);
    let started = instance(&limits).build().await.unwrap();
    let mut server = started.serve(options.clone()).await.unwrap();
    assert_eq!(server.max_connections(), 10);
    let address = server.addresses()[0];
    let clients: Vec<_> = (0..13).map(|_| TcpStream::connect(address)).collect();
    let mut events = Vec::new();
    for _ in &clients {
        events.push(server.next().await.unwrap().expect("it hasn't stopped"));
    }
    assert!(
        matches!(&events[9..11], [Event::Opened(_), Event::Refused(_)]),
        "{events:?}"
    );
    drop(clients);

    // Far too few to do anything with.
    limits.handles = 2;
    let started = instance(&limits).build().await;
    let error = match started {
        Ok(instance) => instance.serve(options).await.map(|_| ()).unwrap_err(),
        Err(error) => error,
    };
    assert!(
        matches!(
            error,
            Error::Exhausted {
                limit: Limit::Handles
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_only_wasi_0_2_has_is_refused() {
    let listener = TcpListener::bind(loopback()).unwrap();
    let policy = Policy::new().allow_listen(listener.local_addr().unwrap());
    let instance = instance().policy(policy).build().await.unwrap();
    let options = ServeOptions::new().listener(listener);
    let error = instance.serve(options).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::InvalidOptions { .. }), "{error:?}");
}

#[tokio::test]
async fn sockets_are_counted_and_one_too_many_is_refused() {
    let policy = Policy::new().allow_listen(loopback());
    let mut limits = Limits::default();
    limits.sockets = 4;
    let serve = async |count| {
        let instance = instance().policy(policy.clone()).limits(limits.clone());
        let options = (0..count).fold(ServeOptions::new(), |options, _| options.listen(loopback()));
        instance.build().await.unwrap().serve(options).await
    };
    let mut server = serve(2).await.unwrap();
    let handle = server.handle();
    assert_eq!(handle.summary().await.unwrap().sockets, 2);
    let client = TcpStream::connect(server.addresses()[1]).unwrap();
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Opened(_))
    ));
    let now = handle.summary().await.unwrap();
    assert_eq!((now.open, now.sockets), (1, 3));
    drop(client);
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Closed(_))
    ));
    handle.stop(Duration::ZERO);
    assert_eq!(server.finish().await.unwrap().sockets, 0);

    serve(4).await.unwrap();
    let error = serve(5).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(&error, Error::ListenFailed { reason, .. } if *reason == NetworkError::NoSocketsLeft),
        "{error:?}"
    );
}

#[tokio::test]
async fn there_is_no_client() {
    let mut instance = instance().build().await.unwrap();
    for _ in 0..2 {
        let error = instance.fetch(Request::get("http://127.0.0.1/")).await;
        let error = error.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::InvalidOptions { .. }), "{error:?}");
    }
}
