use super::ip_name_lookup::{Host as _, HostResolveAddressStream as _};
use super::*;
use crate::Grant;
use crate::testing::{origin, refusal};
use sockbox_policy::audit::{AuditEvent, RunId};
use sockbox_policy::{Limits, Policy};
use std::net::SocketAddr;
use std::time::Duration;

/// Look `name` up as a component does, and give what it would get.
async fn ask(policy: Policy, limits: &Limits, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    ask_of(&network(policy, limits), name).await
}

fn network(policy: Policy, limits: &Limits) -> Arc<Authority> {
    let grant = Grant::new().policy(policy).limits(limits.clone());
    Arc::new(Authority::new(RunId::new(1), &grant))
}

/// wasmtime-wasi's handle, which can only be had from its own implementation.
fn handle(table: &mut ResourceTable) -> Resource<NetworkHandle> {
    use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
    use wasmtime_wasi::sockets::WasiSocketsView as _;
    struct View<'a>(&'a mut wasmtime_wasi::WasiCtx, &'a mut ResourceTable);
    impl wasmtime_wasi::WasiView for View<'_> {
        fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
            wasmtime_wasi::WasiCtxView {
                ctx: self.0,
                table: self.1,
            }
        }
    }
    let mut wasi = wasmtime_wasi::WasiCtxBuilder::new().build();
    let mut view = View(&mut wasi, table);
    view.sockets().instance_network().unwrap()
}

async fn ask_of(network: &Arc<Authority>, name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    let mut table = ResourceTable::new();
    let handle = handle(&mut table);
    let mut view = LookupView {
        authority: network,
        table: &mut table,
    };
    let stream = view.resolve_addresses(handle, name.to_owned()).unwrap()?;
    let rep = stream.rep();
    view.table.get_mut(&stream).unwrap().ready().await;
    let mut found = Vec::new();
    loop {
        let next = view.resolve_next_address(Resource::new_borrow(rep));
        match next.unwrap()? {
            Some(IpAddress::Ipv4((a, b, c, d))) => found.push(IpAddr::from([a, b, c, d])),
            Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h))) => {
                found.push(IpAddr::from([a, b, c, d, e, f, g, h]));
            }
            None => break,
        }
    }
    view.drop(stream).unwrap();
    Ok(found)
}

#[tokio::test]
async fn addresses_need_no_lookup_and_no_grant() {
    for (name, expected) in [
        ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        let answer = ask(Policy::new(), &Limits::default(), name).await;
        assert_eq!(answer, Ok(vec![expected.parse().unwrap()]), "{name}");
    }
}

#[tokio::test]
async fn names_that_are_not_granted_are_refused() {
    let policy = Policy::new().allow_origin(origin("http://example.com/"));
    for name in ["localhost", "www.example.com", "com"] {
        let answer = ask(policy.clone(), &Limits::default(), name).await;
        assert_eq!(answer, Err(ErrorCode::AccessDenied), "{name}");
    }
}

#[tokio::test]
async fn a_granted_name_is_found() {
    let policy = Policy::new().allow_origin(origin("http://localhost/"));
    let found = ask(policy, &Limits::default(), "LOCALHOST.").await.unwrap();
    assert!(!found.is_empty());
    assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
}

#[tokio::test]
async fn every_name_below_localhost_is_this_machine() {
    // No resolver knows most of these.
    for name in [
        "localhost",
        "app.localhost",
        "a.b.localhost",
        "APP.LocalHost.",
        "localhost.",
        "x--1.localhost",
    ] {
        let policy = Policy::new().allow_origin(origin(&format!("http://{name}/")));
        let found = ask(policy, &Limits::default(), name).await.unwrap();
        assert!(
            found.contains(&Ipv4Addr::LOCALHOST.into()),
            "{name}: {found:?}"
        );
        assert!(found.iter().all(IpAddr::is_loopback), "{name}: {found:?}");
    }
    // It is granted like any other name, and static addresses of it count.
    let other = Policy::new().allow_origin(origin("http://app.localhost/"));
    let answer = ask(other, &Limits::default(), "b.localhost").await;
    assert_eq!(answer, Err(ErrorCode::AccessDenied));
    let name: Name = "app.localhost".parse().unwrap();
    let pinned: IpAddr = "127.0.0.7".parse().unwrap();
    let network = Authority::new(
        RunId::new(1),
        &Grant::new()
            .policy(Policy::everything())
            .static_host(name, [pinned]),
    );
    let answer = ask_of(&Arc::new(network), "app.localhost").await;
    assert_eq!(answer, Ok(vec![pinned]));
}

#[tokio::test]
async fn a_redirect_below_localhost_is_refused() {
    for host in ["app.localhost", "APP.localhost.", "localhost."] {
        let policy = Policy::new()
            .allow_origin(origin("http://example.com/"))
            .allow_redirects();
        let network = network(policy, &Limits::default());
        network
            .redirected(Some(&origin(&format!("http://{host}:81/"))))
            .unwrap();
        let answer = ask_of(&network, host).await;
        assert_eq!(answer, Err(ErrorCode::AccessDenied), "{host}");
        let reported = Target::Resolve(host.parse().unwrap());
        let refusal = refusal(&network, &reported).unwrap();
        assert!(
            matches!(
                refusal.reason,
                sockbox_policy::DenialReason::NotPublic { .. }
            ),
            "{refusal:?}"
        );
    }
}

#[tokio::test]
async fn a_name_of_the_servers_is_not_told_what_is_not_public() {
    let policy = Policy::new()
        .allow_origin(origin("http://example.com/"))
        .allow_redirects();
    let network = network(policy, &Limits::default());
    network
        .redirected(Some(&origin("http://localhost:81/")))
        .unwrap();
    let answer = ask_of(&network, "localhost").await;
    assert_eq!(answer, Err(ErrorCode::AccessDenied));
    let reported = Target::Resolve("localhost".parse().unwrap());
    let refusal = refusal(&network, &reported).unwrap();
    assert_eq!(refusal.target.to_string(), "resolve localhost");
    assert_eq!(
        refusal
            .reason
            .hint(&refusal.target, None)
            .map(|hint| hint.to_string())
            .as_deref(),
        Some("allow-connect localhost:81")
    );

    // The same name, where the user named it.
    let policy = Policy::new()
        .allow_origin(origin("http://localhost/"))
        .allow_redirects();
    let network = self::network(policy, &Limits::default());
    network
        .redirected(Some(&origin("http://localhost:81/")))
        .unwrap();
    let found = ask_of(&network, "localhost").await.unwrap();
    assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    assert!(network.allows(Target::Connect(SocketAddr::new(found[0], 81))));
    assert!(network.allows(Target::Connect(SocketAddr::new(found[0], 80))));
    assert!(!network.allows(Target::Connect(SocketAddr::new(found[0], 82))));
}

#[tokio::test]
async fn what_is_no_name_is_an_invalid_argument() {
    for name in ["", "a b", "http://example.com", "[::1"] {
        let answer = ask(Policy::everything(), &Limits::default(), name).await;
        assert_eq!(answer, Err(ErrorCode::InvalidArgument), "{name:?}");
    }
}

/// A name of so many bytes, in labels of 63 at most.
fn long_name(bytes: usize) -> String {
    (0..bytes)
        .map(|at| if at % 64 == 63 { '.' } else { 'a' })
        .collect()
}

#[tokio::test]
async fn a_name_has_at_most_253_bytes() {
    for (name, expected) in [
        (long_name(253), ErrorCode::AccessDenied),
        (format!("{}.", long_name(253)), ErrorCode::AccessDenied),
        (long_name(254), ErrorCode::InvalidArgument),
        ("a".repeat(63), ErrorCode::AccessDenied),
        ("a".repeat(64), ErrorCode::InvalidArgument),
        ("ä.".repeat(30), ErrorCode::AccessDenied),
        ("ä".repeat(100), ErrorCode::InvalidArgument),
        ("a".repeat(100 * 1024 * 1024), ErrorCode::InvalidArgument),
    ] {
        let network = network(Policy::new(), &Limits::default());
        let answer = ask_of(&network, &name).await;
        assert_eq!(answer, Err(expected), "{} bytes", name.len());
    }
}

proptest::proptest! {
    #[test]
    fn no_name_is_recorded_that_is_longer(
        piece in proptest::prelude::any::<String>(),
        times in 0_usize..5_000,
    ) {
        let events = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = {
            let events = events.clone();
            move |event: &AuditEvent| events.lock().unwrap().push(event.to_string())
        };
        let network = Arc::new(Authority::new(
            RunId::new(1),
            &Grant::new().audit(sink),
        ));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _ = runtime.block_on(ask_of(&network, &piece.repeat(times)));
        for event in &*events.lock().unwrap() {
            // The name, and the flag that would allow it.
            proptest::prop_assert!(event.len() < 1024, "{}", event.len());
        }
    }
}

#[tokio::test]
async fn a_lookup_that_gets_no_turn_ends_in_its_timeout() {
    let limits = Limits::default()
        .resolutions_at_once(0)
        .resolve_timeout(Duration::from_millis(5));
    let network = network(Policy::everything(), &limits);
    let answer = ask_of(&network, "localhost").await;
    assert_eq!(answer, Err(ErrorCode::TemporaryResolverFailure));
    assert!(network.has_reached(Limit::ResolutionsAtOnce));
    assert!(network.has_reached(Limit::ResolveTimeout));
}

#[tokio::test]
async fn a_timeout_is_told_of_its_own_lookup_alone() {
    let limits = Limits::default()
        .resolutions_at_once(1)
        .resolve_timeout(Duration::from_millis(5));
    let network = network(Policy::everything(), &limits);
    let turn = network
        .quotas
        .lookups
        .clone()
        .acquire_owned()
        .await
        .unwrap();
    let localhost = "localhost".parse().unwrap();
    let timed_out = look_up(&network, &localhost).await;
    assert_eq!(timed_out, Err(Unresolved::TimedOut));
    drop(turn);
    // The next failure has another reason.
    let limits = Limits::default().resolutions(Some(0));
    let network = self::network(Policy::everything(), &limits);
    network.reached(Limit::ResolveTimeout, None);
    let failed = look_up(&network, &localhost).await;
    let code = ErrorCode::TemporaryResolverFailure;
    assert_eq!(failed, Err(Unresolved::Failed(code)));
}

#[tokio::test]
async fn as_many_lookups_are_made_as_may_be() {
    for (limit, made) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)] {
        let limits = Limits::default().resolutions(Some(limit));
        let network = network(Policy::everything(), &limits);
        let mut found = 0;
        for _ in 0..3 {
            match ask_of(&network, "localhost").await {
                Ok(_) => found += 1,
                Err(code) => assert_eq!(code, ErrorCode::TemporaryResolverFailure),
            }
            // What is an address needs no lookup.
            ask_of(&network, "127.0.0.1").await.unwrap();
        }
        assert_eq!(found, made, "{limit}");
        assert_eq!(
            network.has_reached(Limit::Resolutions),
            limit < 3,
            "{limit}"
        );
    }
}

#[test]
fn failures_are_told_apart() {
    let text =
        |text: &str| io::Error::other(format!("failed to lookup address information: {text}"));
    for (error, expected) in [
        (
            text("Name or service not known"),
            ErrorCode::NameUnresolvable,
        ),
        (
            text("No address associated with hostname"),
            ErrorCode::NameUnresolvable,
        ),
        (text("Name does not resolve"), ErrorCode::NameUnresolvable),
        (
            text("Temporary failure in name resolution"),
            ErrorCode::TemporaryResolverFailure,
        ),
        (text("Try again"), ErrorCode::TemporaryResolverFailure),
        (
            text("Non-recoverable failure in name resolution"),
            ErrorCode::PermanentResolverFailure,
        ),
    ] {
        assert_eq!(classify(&error), expected, "{error}");
    }
}

/// A component that never waits does not let the runtime run, so aborted tasks would not be freed.
#[tokio::test]
async fn nothing_is_left_of_lookups_that_are_dropped() {
    let policy = Policy::new().allow_origin(origin("http://one.localhost/"));
    let undecided = |_: crate::Question| std::future::pending::<crate::Decision>();
    let by_rules = Grant::new().policy(policy);
    for grant in [by_rules, Grant::new().decider(undecided)] {
        let network = Arc::new(Authority::new(RunId::new(1), &grant));
        let mut table = ResourceTable::new();
        let handle = handle(&mut table);
        let mut view = LookupView {
            authority: &network,
            table: &mut table,
        };
        for _ in 0..1000 {
            let handle = Resource::new_borrow(handle.rep());
            let name = "one.localhost".to_owned();
            let stream = view.resolve_addresses(handle, name).unwrap().unwrap();
            view.drop(stream).unwrap();
        }
        let metrics = tokio::runtime::Handle::current().metrics();
        assert_eq!(metrics.num_alive_tasks(), 0);
    }
}
