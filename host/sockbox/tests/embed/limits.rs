//! The limits of a run, and their errors and events.

use crate::peer::{Peer, response};
use crate::run::command;
use crate::serve::loopback;
use crate::site::Site;
use crate::{DEADLINE, MOMENT};
use sockbox::audit::Traffic;
use sockbox::limits::Limit;
use sockbox::{
    AuditEvent, Error, Event, EventKind, Instance, InstanceBuilder, Limits, NetworkError, Policy,
    Request, Sandbox, ServeOptions, origin_of,
};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a run has recorded.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Vec<EventKind>>>);

impl Record {
    pub fn sink(&self) -> impl Fn(&AuditEvent) + Send + Sync + 'static {
        let record = self.0.clone();
        move |event| record.lock().unwrap().push(event.what.clone())
    }

    pub fn reached(&self) -> Vec<Limit> {
        let record = self.0.lock().unwrap();
        let reached = record.iter().filter_map(|what| match what {
            EventKind::Limit { limit, .. } => Some(*limit),
            _ => None,
        });
        reached.collect()
    }

    pub fn totals(&self) -> Vec<Traffic> {
        let record = self.0.lock().unwrap();
        let totals = record.iter().filter_map(|what| match what {
            EventKind::Traffic(traffic) => Some(traffic.clone()),
            _ => None,
        });
        totals.collect()
    }

    pub fn has_ended(&self) -> bool {
        let record = self.0.lock().unwrap();
        let ended = record
            .iter()
            .filter(|what| **what == EventKind::Ended)
            .count();
        assert!(ended <= 1, "{record:?}");
        let is_last = record.last() == Some(&EventKind::Ended);
        assert_eq!(ended == 1, is_last, "{record:?}");
        is_last
    }
}

pub fn builder(policy: Policy, limits: Limits, record: &Record) -> InstanceBuilder {
    let sandbox = Sandbox::new().unwrap();
    let instance = sandbox.instance().policy(policy).limits(limits);
    instance.audit(record.sink())
}

pub async fn instance(url: &str, limits: Limits, record: &Record) -> Instance {
    let policy = Policy::new().allow_origin(origin_of(url).unwrap());
    builder(policy, limits, record).build().await.unwrap()
}

/// Fetch a page into a file, and tell how many bytes of it there are.
pub async fn fetch(url: &str, limits: Limits, record: &Record) -> sockbox::Result<u64> {
    let mut instance = instance(url, limits, record).await;
    let mut response = instance.fetch(Request::get(url)).await?;
    response
        .write_to_file(tempfile::tempfile().unwrap(), |_| ())
        .await
}

pub fn is_exhausted<T>(result: &sockbox::Result<T>, expected: Limit) -> bool {
    matches!(result, Err(Error::Exhausted { limit }) if *limit == expected)
}

/// A component that may wait for time to pass. `body` has `now`, `later` (a pollable of this many
/// nanoseconds), `block` (until a pollable is ready), and `poll`.
fn waiting(body: &str) -> String {
    format!(
        r#"(component
            (import "wasi:io/poll@0.2.0" (instance $poll
                (export "pollable" (type $pollable (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
                (export "poll"
                    (func (param "in" (list (borrow $pollable))) (result (list u32))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (export "pollable" (type $p (eq $pollable)))
                (export "now" (func (result u64)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
            (core module $libc
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 32768))
            (core instance $libc (instantiate $libc))
            (core func $now (canon lower (func $clock "now")))
            (core func $later (canon lower (func $clock "subscribe-duration")))
            (core func $block (canon lower (func $poll "[method]pollable.block")))
            (core func $poll (canon lower (func $poll "poll")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core module $module
                (import "host" "now" (func $now (result i64)))
                (import "host" "later" (func $later (param i64) (result i32)))
                (import "host" "block" (func $block (param i32)))
                (import "host" "poll" (func $poll (param i32 i32 i32)))
                (import "libc" "memory" (memory 1))
                (func (export "run") (result i32) (local $i i32) {body}))
            (core instance $core (instantiate $module
                (with "libc" (instance $libc))
                (with "host" (instance
                    (export "now" (func $now))
                    (export "later" (func $later))
                    (export "block" (func $block))
                    (export "poll" (func $poll))))))
            (func $run (result (result)) (canon lift (core func $core "run")))
            (instance $export (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $export)))"#
    )
}

async fn run(text: &str, limits: Limits, record: &Record) -> sockbox::Result<i32> {
    let program = Sandbox::new().unwrap().program(text).unwrap();
    let command = program.command().limits(limits).audit(record.sink());
    command.run().await
}

#[tokio::test]
async fn computing_ends_with_its_time_and_waiting_does_not() {
    let limits = || Limits::default().cpu_time(Some(MOMENT));
    for body in [
        "(loop (br 0)) unreachable",
        "(loop (drop (call $now)) (br 0)) unreachable",
    ] {
        let record = Record::default();
        let error = run(&waiting(body), limits(), &record).await.unwrap_err();
        assert!(
            matches!(error, Error::CpuTime { limit } if limit == MOMENT),
            "{error:?}"
        );
        assert_eq!(record.reached(), [Limit::CpuTime]);
        assert!(record.has_ended());
    }
    // Waiting longer than the CPU time limit is permitted.
    let body = "(call $block (call $later (i64.const 150000000))) i32.const 0";
    let record = Record::default();
    assert_eq!(run(&waiting(body), limits(), &record).await.unwrap(), 0);
    assert_eq!(record.reached(), []);
    assert!(record.has_ended());
}

#[tokio::test]
async fn computing_is_added_up_over_all_calls() {
    let record = Record::default();
    let none = Limits::default().cpu_time(Some(Duration::ZERO));
    let started = builder(Policy::new(), none, &record).build().await;
    let error = started.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::CpuTime { .. }), "{error:?}");
    assert_eq!(record.reached(), [Limit::CpuTime]);

    let site = Site::new(|_| response(b"hello"));
    let limits = Limits::default().cpu_time(Some(MOMENT));
    let record = Record::default();
    let mut instance = instance(&site.url("/"), limits.clone(), &record).await;
    let give_up = Instant::now() + DEADLINE;
    let error = loop {
        assert!(Instant::now() < give_up, "it computes for ever");
        if let Err(error) = page_of(&mut instance, &site.url("/")).await {
            break error;
        }
    };
    assert!(matches!(error, Error::CpuTime { .. }), "{error:?}");
    let error = page_of(&mut instance, &site.url("/")).await.unwrap_err();
    assert!(matches!(error, Error::Abandoned), "{error:?}");
    assert_eq!(record.reached(), [Limit::CpuTime]);

    let record = Record::default();
    let policy = Policy::new().allow_listen(loopback());
    let instance = builder(policy, limits, &record).build().await.unwrap();
    let options = ServeOptions::new().listen(loopback());
    let mut server = instance.serve(options).await.unwrap();
    let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
    let writing = std::thread::spawn(move || {
        let mut reader = client.try_clone().unwrap();
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        while client.write_all(&b"hello\n".repeat(1000)).is_ok() {}
    });
    let error = loop {
        match server.next().await {
            Ok(event) => assert!(event.is_some()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::CpuTime { .. }), "{error:?}");
    writing.join().unwrap();
}

pub async fn page_of(instance: &mut Instance, url: &str) -> sockbox::Result<u64> {
    let mut response = instance.fetch(Request::get(url)).await?;
    response.write_to(std::io::sink()).await
}

#[tokio::test]
async fn limits_that_end_a_run_are_recorded() {
    let record = Record::default();
    let limits = Limits::default().wall_time(Some(MOMENT));
    let ended = run(&command("(loop (br 0)) unreachable"), limits, &record).await;
    assert!(matches!(ended, Err(Error::WallTime { .. })), "{ended:?}");
    assert_eq!(record.reached(), [Limit::WallTime]);
    assert!(record.has_ended());

    let record = Record::default();
    let limits = Limits::default().memory_bytes(65535);
    let ended = run(&command("i32.const 0"), limits, &record).await;
    assert!(matches!(ended, Err(Error::MemoryLimit { .. })), "{ended:?}");
    assert_eq!(record.reached(), [Limit::Memory]);
    assert!(record.has_ended());
}

/// Most of these wasmtime errors can be recognized only by their text.
#[tokio::test]
async fn traps_that_are_limits_are_told_as_limits() {
    // Two pollables at once, each with what it waits for.
    let two = "(drop (call $later (i64.const 1))) (drop (call $later (i64.const 1))) i32.const 0";
    // Three times the same pollable, each of which is this large where it is handed over.
    const LIST: usize = 3 * 12;
    let asking = "(local.set $i (call $later (i64.const 1)))
        (i32.store (i32.const 0) (local.get $i))
        (i32.store (i32.const 4) (local.get $i))
        (i32.store (i32.const 8) (local.get $i))
        (call $poll (i32.const 0) (i32.const 3) (i32.const 16))
        i32.const 0";
    let table = |size: u32| {
        let text = command("i32.const 0");
        text.replace("(memory ", &format!("(table {size} funcref) (memory "))
    };
    let growing = command(
        "(if (i32.eq (table.grow (ref.null func) (i32.const 5)) (i32.const -1)) (then unreachable))
        i32.const 0",
    );
    let growing = growing.replace("(memory ", "(table 5 funcref) (memory ");
    let ignoring = command("(drop (table.grow (ref.null func) (i32.const 5))) i32.const 0");
    let ignoring = ignoring.replace("(memory ", "(table 5 funcref) (memory ");
    let limits = Limits::default;
    type Row<'a> = (&'a str, String, &'a dyn Fn(usize) -> Limits, usize, Limit);
    let table: [Row<'_>; 7] = [
        (
            "resources",
            waiting(two),
            &|n| limits().resources(n),
            4,
            Limit::Resources,
        ),
        (
            "handles",
            waiting(two),
            &|n| limits().handles(n),
            2,
            Limit::Handles,
        ),
        (
            "hostcall bytes",
            waiting(asking),
            &|n| limits().hostcall_bytes(n),
            LIST,
            Limit::HostcallBytes,
        ),
        (
            "instances",
            waiting(two),
            &|n| limits().instances(n),
            2,
            Limit::Instances,
        ),
        (
            "a table's size",
            table(10),
            &|n| limits().table_elements(n as u64),
            10,
            Limit::TableElements,
        ),
        (
            "a table's growth",
            growing,
            &|n| limits().table_elements(n as u64),
            10,
            Limit::TableElements,
        ),
        (
            "one memory and one instance",
            command("i32.const 0"),
            &|n| limits().instances(n),
            1,
            Limit::Instances,
        ),
    ];
    for (name, text, limits, needed, limit) in table {
        for (allowed, enough) in [(needed - 1, false), (needed, true), (needed + 1, true)] {
            let record = Record::default();
            let ended = run(&text, limits(allowed), &record).await;
            match enough {
                true => assert_eq!(ended.unwrap(), 0, "{name}: {allowed}"),
                false => assert!(is_exhausted(&ended, limit), "{name}: {allowed}: {ended:?}"),
            }
            let reached: &[Limit] = if enough { &[] } else { &[limit] };
            assert_eq!(record.reached(), reached, "{name}: {allowed}");
            assert!(record.has_ended());
        }
    }
    // A component that handles the refusal continues to run.
    let record = Record::default();
    let ended = run(&ignoring, limits().table_elements(9), &record).await;
    assert_eq!(ended.unwrap(), 0);
}

#[tokio::test]
async fn rates_and_lookups_are_told_of_by_the_limit_behind() {
    let site = Site::new(|_| response(b"hello"));
    let record = Record::default();
    let limits = Limits::default().connects_per_second(Some(0));
    let fetched = fetch(&site.url("/"), limits, &record).await;
    assert!(
        is_exhausted(&fetched, Limit::ConnectsPerSecond),
        "{fetched:?}"
    );
    assert_eq!(record.reached(), [Limit::ConnectsPerSecond]);
    let limits = Limits::default().connects_per_second(Some(1));
    let fetched = fetch(&site.url("/"), limits, &Record::default()).await;
    assert_eq!(fetched.unwrap(), 5);

    let named = site.url_at("localhost", "/");
    let pinned = site.url_at("pinned.example", "/");
    let record = Record::default();
    let none = Limits::default().resolutions(Some(0));
    let fetched = fetch(&named, none.clone(), &record).await;
    assert!(is_exhausted(&fetched, Limit::Resolutions), "{fetched:?}");
    assert_eq!(record.reached(), [Limit::Resolutions]);
    let policy = Policy::new().allow_origin(origin_of(&pinned).unwrap());
    let instance = builder(policy, none, &record);
    let instance = instance.resolve("pinned.example", [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let mut instance = instance.unwrap().build().await.unwrap();
    assert_eq!(page_of(&mut instance, &pinned).await.unwrap(), 5);

    let record = Record::default();
    let policy = Policy::new().allow_listen(loopback());
    let limits = Limits::default().accepts_per_second(Some(0));
    let instance = builder(policy, limits, &record).build().await.unwrap();
    let options = ServeOptions::new().listen(loopback());
    let mut server = instance.serve(options).await.unwrap();
    let _client = TcpStream::connect(server.addresses()[0]).unwrap();
    let Some(Event::AcceptFailed(failed)) = server.next().await.unwrap() else {
        panic!("it was accepted");
    };
    assert_eq!(failed.reason, NetworkError::NoSocketsLeft);
    assert_eq!(record.reached(), [Limit::AcceptsPerSecond]);
}

#[tokio::test]
async fn a_run_that_is_dropped_in_the_middle_of_a_call_has_an_end_too() {
    let peer = Peer::doing(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
        // Until it is closed.
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let record = Record::default();
    let mut instance = instance(&peer.url, Limits::default(), &record).await;
    let page = page_of(&mut instance, &peer.url);
    assert!(tokio::time::timeout(MOMENT, page).await.is_err());
    assert!(!record.has_ended());
    drop(instance);
    assert!(record.has_ended());
    assert_eq!(record.totals().len(), 1);
    peer.request();
}

/// Wait until something is so.
pub async fn until(so: impl Fn() -> bool) {
    let give_up = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < give_up, "it never is");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Begin a call that does not end, and drop it.
#[cfg(target_os = "linux")]
async fn hangs(instance: &mut Instance, request: Request) {
    let call = tokio::time::timeout(MOMENT, instance.fetch(request)).await;
    assert!(call.is_err(), "it had an end");
}

/// A separate process, so that only this test's files and tasks are counted.
#[test]
#[cfg(target_os = "linux")]
fn nothing_of_a_run_survives_it() {
    let test = std::env::current_exe().unwrap();
    let alone = std::process::Command::new(test)
        .args(["--exact", "limits::alone", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success(), "{alone:?}");
    assert!(told.contains("1 passed"), "{told}");
}

#[tokio::test]
#[ignore = "it has to be alone in its process: nothing_of_a_run_survives_it runs it"]
#[cfg(target_os = "linux")]
async fn alone() {
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let sandbox = Sandbox::new().unwrap();
    let mut before = None;
    // The first run makes some things that later runs share.
    for _ in 0..2 {
        let silent = TcpListener::bind(loopback()).unwrap();
        let address = silent.local_addr().unwrap();
        let url = format!("http://{address}/");

        // An upload that the server does not read, in the middle of a call.
        let policy = Policy::new().allow_origin(origin_of(&url).unwrap());
        let mut uploading = sandbox.instance().policy(policy).build().await.unwrap();
        let request = Request::new("POST", &url).body_reader(tokio::io::repeat(7), Some(1 << 30));
        hangs(&mut uploading, request).await;
        let (peer, _) = silent.accept().unwrap();

        // A lookup that waits for its turn.
        let named = "http://localhost:1/";
        let limits = Limits::default().resolutions_at_once(0);
        let instance = sandbox.instance().limits(limits);
        let instance = instance.policy(Policy::new().allow_origin(origin_of(named).unwrap()));
        let mut asking = instance.build().await.unwrap();
        hangs(&mut asking, Request::get(named)).await;

        // A server whose client reads no answers.
        let policy = Policy::new().allow_listen(loopback());
        let instance = sandbox.instance().policy(policy).build().await.unwrap();
        let options = ServeOptions::new().listen(loopback());
        let mut server = instance.serve(options).await.unwrap();
        let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
        client.set_nonblocking(true).unwrap();
        while client
            .write(&b"this answer is not read\n".repeat(1000))
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
        assert!(matches!(server.next().await, Ok(Some(Event::Opened(_)))));

        drop((uploading, asking, server));
        client.set_nonblocking(false).unwrap();
        for mut stream in [peer, client] {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            // Bytes sent before may still arrive. Then the connection ends, orderly or with a
            // reset.
            let reading = std::thread::spawn(move || {
                let end = std::io::copy(&mut stream, &mut std::io::sink());
                let still_open = |error: &std::io::Error| {
                    use std::io::ErrorKind::{TimedOut, WouldBlock};
                    matches!(error.kind(), TimedOut | WouldBlock)
                };
                assert!(!end.as_ref().is_err_and(still_open), "{end:?}");
            });
            until(|| reading.is_finished()).await;
            reading.join().unwrap();
        }
        drop(silent);
        let now = || (files(), tasks());
        match before {
            None => {
                tokio::time::sleep(MOMENT).await;
                before = Some(now());
            }
            Some((files, tasks)) => until(|| now().0 <= files && now().1 <= tasks).await,
        }
    }
}
