//! The log of `sockbox serve` and the component's own one, under `wasmtime run`: a program that reads one
//! can read the other.

use sockbox_guest::hello;
use sockbox_guest::net::NetError;
use sockbox_tests::{HelloClient, Json, Program, Serving, Signal, Wasi};
use std::collections::BTreeMap;

/// The options of both.
const OPTIONS: &[&str] = &[
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--log",
    "json",
    "--framing",
    "line",
    "--max-message",
    "10",
    "--max-connections",
    "2",
    "--refuse-when-full",
    "--drain-timeout",
    "1.5",
];

/// Clients that end in several ways.
fn visit(server: &Serving) {
    let ended = |count: usize| {
        server
            .process()
            .wait_for_stderr("that a client has gone", |log| {
                (log.matches("\"closed\"").count() >= count).then_some(())
            });
    };
    server.client().send("exit\n").expect_end();
    ended(1);
    server.client().send("a\n").end_sending().read_to_end();
    ended(2);
    let mut long = server.client();
    long.send("a long message\n").read_to_end();
    drop(long);
    ended(3);
    let mut reset = server.client();
    reset.ask("a\n", "Hello, a!\n");
    reset.reset();
    ended(4);
    let mut pair = [server.client(), server.client()];
    for client in &mut pair {
        client.ask("a\n", "Hello, a!\n");
    }
    assert_eq!(server.client().read_to_end(), b"too many connections\n");
    server.wait_for_log(&["refused"]);
    for (number, client) in (5..).zip(pair) {
        drop(client);
        ended(number);
    }
}

/// The events of a log, each with its fields and what they say; of what differs from run to run, that it
/// is there.
fn events(log: &str) -> Vec<BTreeMap<String, String>> {
    log.lines().map(|line| fields(&Json::parse(line))).collect()
}

fn fields(line: &Json) -> BTreeMap<String, String> {
    let changing = ["time", "local", "remote", "seconds", "uptime_seconds"];
    line.fields()
        .map(|(name, value)| {
            let said = match changing.contains(&name) {
                true => String::new(),
                false => value,
            };
            (name.to_owned(), said)
        })
        .collect()
}

#[test]
fn one_reads_like_the_other() {
    let host = Serving::started(Program::sockbox([] as [&str; 0]).args(OPTIONS), 1);
    visit(&host);
    let mut open = host.client();
    open.ask("a\n", "Hello, a!\n");
    host.wait_for_log(&["opened", "\"id\":7"]);
    host.process().signal(Signal::TERM);
    let host = host.into_process().wait();
    host.assert_code(0);

    let options = OPTIONS.iter().chain(&["--stop-on-eof"]);
    let program = Program::wasmtime_run(&["-S", "inherit-network"], options).with_stdin();
    let component = Serving::started(program, 1);
    visit(&component);
    let mut open = component.client();
    open.ask("a\n", "Hello, a!\n");
    component.wait_for_log(&["opened", "\"id\":7"]);
    let mut component = component.into_process();
    drop(component.stdin());
    let component = component.wait();
    component.assert_code(0);

    let [host, component] = [host.stderr(), component.stderr()].map(events);
    assert_eq!(host, component);
    let told = |name: &str| {
        host.iter()
            .filter(|event| event["event"] == format!("{name:?}"))
            .count()
    };
    let counts = ["opened", "closed", "refused", "stopping", "stopped"].map(told);
    assert_eq!(counts, [7, 7, 1, 1, 1], "{host:?}");
}

/// As [`NetError`] is handed to the host.
fn as_the_host_has_it(error: NetError) -> Option<sockbox::NetworkError> {
    use sockbox::NetworkError as Host;
    Some(match error {
        NetError::ConnectionRefused => Host::ConnectionRefused,
        NetError::ConnectionReset => Host::ConnectionReset,
        NetError::ConnectionAborted => Host::ConnectionAborted,
        NetError::Unreachable => Host::Unreachable,
        NetError::TimedOut => Host::TimedOut,
        NetError::NameUnresolvable => Host::NameUnresolvable,
        NetError::TemporaryResolverFailure => Host::TemporaryResolverFailure,
        NetError::PermanentResolverFailure => Host::PermanentResolverFailure,
        NetError::AddressInUse => Host::AddressInUse,
        NetError::AddressNotBindable => Host::AddressNotBindable,
        NetError::NoSocketsLeft => Host::NoSocketsLeft,
        NetError::NotSupported => Host::NotSupported,
        NetError::Other => Host::Other,
        // These do not occur in the log: a denial has its own text, and no server here uses TLS.
        NetError::Denied | NetError::Truncated => return None,
    })
}

#[test]
fn every_reason_has_one_text() {
    for error in [
        NetError::Denied,
        NetError::ConnectionRefused,
        NetError::ConnectionReset,
        NetError::Truncated,
        NetError::ConnectionAborted,
        NetError::Unreachable,
        NetError::TimedOut,
        NetError::NameUnresolvable,
        NetError::TemporaryResolverFailure,
        NetError::PermanentResolverFailure,
        NetError::AddressInUse,
        NetError::AddressNotBindable,
        NetError::NoSocketsLeft,
        NetError::NotSupported,
        NetError::Other,
    ] {
        if let Some(host) = as_the_host_has_it(error) {
            assert_eq!(error.to_string(), host.to_string(), "{error:?}");
        }
    }
    use hello::CloseReason as Component;
    use sockbox::CloseReason as Host;
    for (component, host) in [
        (Component::EndOfInput, Host::EndOfInput),
        (Component::Exit, Host::Exit),
        (Component::MessageTooLong, Host::MessageTooLong),
        (Component::IdleTimeout, Host::IdleTimeout),
        (Component::WriteTimeout, Host::WriteTimeout),
        (Component::Overloaded, Host::Overloaded),
        (Component::Stopped, Host::Stopped),
    ] {
        assert_eq!(component.to_string(), host.to_string());
    }
    for (component, host) in [
        (hello::RefuseReason::Full, sockbox::RefuseReason::Full),
        (
            hello::RefuseReason::PeerLimit,
            sockbox::RefuseReason::PeerLimit,
        ),
    ] {
        assert_eq!(component.to_string(), host.to_string());
    }
}

#[test]
fn a_connection_that_a_limit_ends_is_logged_with_the_limit() {
    for (options, limit) in [
        (["--max-sent", "30"], "--max-sent"),
        (["--max-received", "15"], "--max-received"),
    ] {
        let server = Serving::started(Serving::program(Wasi::V0_2, &options), 1);
        let mut client = HelloClient::connect(server.address());
        client.ask("Michael\n", "Hello, Michael!\n");
        client.send(b"a message with a longer answer\n");
        let expected = format!(": the limit {limit} is reached; ");
        server
            .process()
            .wait_for_stderr("the limit", |log| log.contains(&expected).then_some(()));
    }
}
