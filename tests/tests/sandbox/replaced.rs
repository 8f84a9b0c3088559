//! A policy that is replaced while a component runs, on both versions of WASI.

use sockbox::audit::AuditEvent;
use sockbox::policy::{PrivateLoopback, Target};
use sockbox::{Grant, GrantHandle, Output, Policy, Sandbox};
use sockbox_tests::{Foreign, RawPeer, Tripwire, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Run these attempts under this policy. `meanwhile` is passed the handle, and the targets that were allowed so far. Returns
/// what the component prints.
fn run(
    component: Foreign,
    attempts: &str,
    policy: Policy,
    meanwhile: impl FnOnce(&GrantHandle, &Mutex<Vec<Target>>),
) -> Vec<String> {
    let allowed = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let allowed = allowed.clone();
        move |event: &AuditEvent| {
            if let Some((target, verdict)) = event.decision()
                && verdict.is_allowed()
            {
                allowed.lock().unwrap().push(target.clone());
            }
        }
    };
    let sandbox = Sandbox::new().unwrap();
    let program = sandbox.program_file(component.component()).unwrap();
    let grant: Grant = sandbox.grant().policy(policy).audit(sink);
    let (grant, handle) = grant.replaceable();
    let (output, captured) = Output::captured(10_000);
    let command = program
        .command()
        .grant(grant)
        .arg("tries")
        .args(attempts.split_whitespace())
        .stdout(output);
    let running = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(command.run()).unwrap()
    });
    meanwhile(&handle, &allowed);
    assert_eq!(running.join().unwrap(), 1, "{}", captured.text());
    let text = captured.text();
    let is_progress = |line: &str| line.starts_with("listening ") || line.starts_with("accepted ");
    let results = text.lines().filter(|line| !is_progress(line));
    results.map(str::to_owned).collect()
}

fn to(address: SocketAddr) -> Policy {
    Policy::new().allow_connect(address)
}

/// Assert that the component was told of a connection that broke. The one for WASI 0.2 does not ask how.
fn assert_reset(component: Foreign, line: &str) {
    let expected = match component {
        Foreign::Rust => "failed at ",
        _ => "connection-reset at ",
    };
    assert!(line.starts_with(expected), "{component:?}: {line}");
}

#[test]
fn a_connection_that_is_no_longer_granted_ends() {
    for component in [Foreign::Rust, Foreign::RustOn0_3] {
        let peer = RawPeer::start(|peer| peer.wait_for_close());
        let address = peer.address();
        let attempts = format!("receive {address} 10 then connect {address}");
        let lines = run(component, &attempts, to(address), |handle, _| {
            eventually("the connection", || (peer.connections() == 1).then_some(()));
            handle.replace(Policy::new());
        });
        assert_reset(component, &lines[0]);
        assert!(lines[1].starts_with("access-denied"), "{lines:?}");
        assert_eq!(peer.connections(), 1);
    }
}

#[test]
fn what_is_still_granted_goes_on() {
    for component in [Foreign::Rust, Foreign::RustOn0_3] {
        let (sender, replaced) = std::sync::mpsc::channel::<()>();
        let replaced = Mutex::new(replaced);
        let kept = RawPeer::start(move |peer| {
            replaced.lock().unwrap().recv().unwrap();
            peer.send("later")
        });
        let untouched = Tripwire::new();
        let (address, other) = (kept.address(), untouched.address());
        let attempts = format!("wait-for {address} then connect {other}");
        let lines = run(
            component,
            &attempts,
            to(address).and(to(other)),
            |handle, _| {
                eventually("the connection", || (kept.connections() == 1).then_some(()));
                handle.replace(Policy::new().allow_connect_to("127.0.0.1").unwrap());
                handle.replace(to(address));
                sender.send(()).unwrap();
            },
        );
        assert_eq!(lines[0], "ok later", "{lines:?}");
        assert!(lines[1].starts_with("access-denied"), "{lines:?}");
        untouched.assert_untouched();
    }
}

#[test]
fn a_listener_that_is_no_longer_granted_serves_no_client() {
    for component in [Foreign::Rust, Foreign::RustOn0_3] {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let attempts = format!("listen {address} 2 then bind {address}");
        let policy = Policy::new().allow_listen(address);
        let lines = run(component, &attempts, policy, |handle, allowed| {
            let connected = || TcpStream::connect(address).ok();
            let mut served = eventually("the listener", connected);
            served.write_all(b"one").unwrap();
            let mut answer = [0; 3];
            served.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"one");
            drop(served);
            let mut waiting = eventually("the listener", connected);
            let client = Target::Accept(waiting.local_addr().unwrap());
            eventually("that it is accepted", || {
                allowed.lock().unwrap().contains(&client).then_some(())
            });
            // Another listener is granted now.
            let port = address.port() ^ 1;
            let other = Policy::new().allow_listen(SocketAddr::new(address.ip(), port));
            handle.replace(other.private_loopback(PrivateLoopback::Off));
            // Nothing that it sends is given back.
            let sent = waiting.write_all(b"two");
            let end = sent.and_then(|()| waiting.read(&mut [0; 1]));
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        });
        assert_reset(component, &lines[0]);
        assert!(lines[1].starts_with("access-denied"), "{lines:?}");
    }
}

#[test]
fn runs_that_begin_later_have_the_new_policy() {
    let peer = RawPeer::answering("pong");
    let address = peer.address();
    let sandbox = Sandbox::new().unwrap();
    let program = sandbox.program_file(Foreign::Rust.component()).unwrap();
    let (grant, handle) = sandbox.grant().policy(to(address)).replaceable();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (policy, expected) in [(None, 0), (Some(Policy::new()), 1), (Some(to(address)), 0)] {
        if let Some(policy) = policy {
            handle.replace(policy);
        }
        let command = program.command().grant(grant.clone()).arg("tries");
        let command = command.args(["connect".to_owned(), address.to_string()]);
        assert_eq!(runtime.block_on(command.run()).unwrap(), expected);
    }
}
