//! The library on WASI 0.3: the same policy, limits and events.

use crate::DEADLINE;
use crate::serve::{ask, loopback};
use sockbox::limits::Limit;
use sockbox::policy::Target;
use sockbox::{
    AuditEvent, CloseReason, Error, Event, EventKind, InstanceBuilder, Limits, NetworkError,
    Policy, Request, Sandbox, ServeOptions, Wasi,
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
        assert_eq!(handle.stats().await.unwrap().accepted, round);
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
    assert_eq!(handle.stats().await.unwrap().sockets, 2);
    let client = TcpStream::connect(server.addresses()[1]).unwrap();
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Opened(_))
    ));
    let now = handle.stats().await.unwrap();
    assert_eq!((now.open, now.sockets), (1, 3));
    drop(client);
    assert!(matches!(
        server.next().await.unwrap(),
        Some(Event::Closed(_))
    ));
    handle.stop(Duration::ZERO);
    assert_eq!(server.finish().await.unwrap().sockets, 0);

    // As many connections as there are sockets left, and one at least.
    assert_eq!(serve(1).await.unwrap().max_connections(), 3);
    assert_eq!(serve(3).await.unwrap().max_connections(), 1);
    let error = serve(4).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::InvalidOptions { .. }), "{error:?}");
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

/// The result of a server with these limits.
async fn outcome(limits: &Limits) -> Result<(), Error> {
    let policy = Policy::new().allow_listen(loopback());
    let builder = instance().limits(limits.clone()).policy(policy);
    let options = ServeOptions::new().listen(loopback());
    let mut server = builder.build().await?.serve(options).await?;
    let client = TcpStream::connect(server.addresses()[0]).unwrap();
    server.next().await?;
    drop(client);
    server.next().await?;
    Ok(())
}

#[tokio::test]
async fn every_limit_is_held_or_refused() {
    for limit in Limit::all() {
        let mut limits = Limits::default();
        if !limit.holds_on(Wasi::V0_3) {
            assert!(limit.holds_on(Wasi::V0_2));
            limits.set(limit, "100").unwrap();
            let error = instance().limits(limits.clone()).build().await;
            let error = error.map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::InvalidOptions { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains(limit.key()), "{message}");
            // None at all is none.
            limits.set(limit, "none").unwrap();
            instance().limits(limits).build().await.unwrap();
            continue;
        }
        // The values are far too low. Some limits do not matter: the server resolves no name, opens no file, and
        // is already compiled.
        let too_little = match limit {
            Limit::Memory
            | Limit::TableElements
            | Limit::Instances
            | Limit::CpuTime
            | Limit::WallTime
            | Limit::Sockets
            | Limit::Handles
            | Limit::Resources
            | Limit::HostcallBytes => true,
            Limit::Resolutions
            | Limit::ResolutionsAtOnce
            | Limit::ResolveTimeout
            | Limit::Files => false,
            limit if limit.is_for_loading() => false,
            other => panic!("is {other:?} held on WASI 0.3, or refused?"),
        };
        limits.set(limit, "0").unwrap();
        let outcome = outcome(&limits).await;
        assert_eq!(outcome.is_err(), too_little, "{limit:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn whom_it_may_not_accept_it_does_not_see() {
    let policy = Policy::new()
        .allow_listen(loopback())
        .deny(sockbox::policy::Deny::Accept {
            from: "127.0.0.2/32".parse().unwrap(),
        });
    let started = instance().policy(policy).build().await.unwrap();
    let options = ServeOptions::new().listen(loopback());
    let mut server = started.serve(options).await.unwrap();
    let address = server.addresses()[0];
    let from = |ip: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        let local = std::net::SocketAddr::new(ip.parse().unwrap(), 0);
        socket.bind(local).unwrap();
        socket.connect(address)
    };
    let _denied = from("127.0.0.2").await;
    let allowed = from("127.0.0.3").await.unwrap();
    let Some(Event::Opened(opened)) = server.next().await.unwrap() else {
        panic!("not opened");
    };
    assert_eq!(opened.remote, allowed.local_addr().unwrap());
}

#[tokio::test]
async fn a_record_says_that_bytes_are_not_counted() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let started = instance()
        .policy(Policy::new().allow_listen(loopback()))
        .audit(move |event: &AuditEvent| sink.lock().unwrap().push(event.what.clone()));
    let options = ServeOptions::new().listen(loopback());
    let server = started.build().await.unwrap().serve(options).await.unwrap();
    server.handle().stop(Duration::ZERO);
    server.finish().await.unwrap();
    let ends = |told: &[EventKind]| told.ends_with(&[EventKind::NotCounted, EventKind::Ended]);
    let deadline = std::time::Instant::now() + DEADLINE;
    while !ends(&told.lock().unwrap()) {
        assert!(std::time::Instant::now() < deadline, "{told:?}");
        tokio::task::yield_now().await;
    }
}
