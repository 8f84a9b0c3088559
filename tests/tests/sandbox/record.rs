//! The audit record of a run, the output of a dry run, and the same policy as a file.

use serde_json::{Value, json};
use sockbox_tests::{Finished, Foreign, Internet, Peer, Program, RawPeer, Tripwire};
use std::fs;
use std::path::Path;

fn tries(flags: &[&str], attempts: &str) -> Finished {
    Foreign::Rust.run(flags, attempts).run()
}

fn answering_peer() -> RawPeer {
    RawPeer::start(|peer: &mut Peer| {
        peer.read_bytes(4)?;
        peer.send("pong!")
    })
}

/// The events of a record, without what differs each time.
fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| {
            let mut event: Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            let members = event.as_object_mut().expect("an object");
            assert!(members.remove("time").is_some_and(|time| time.is_number()));
            assert!(members.remove("run").is_some_and(|run| run.is_number()));
            members.remove("seconds");
            event
        })
        .collect()
}

#[test]
fn every_decision_and_every_byte_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let peer = answering_peer();
    let tripwire = Tripwire::new();
    let (address, denied) = (peer.address().to_string(), tripwire.address().to_string());
    let port = peer.address().port();
    let (by_name, audit_path) = (format!("localhost:{port}"), audit.to_str().unwrap());
    let flags = [
        ["--audit", audit_path],
        ["--allow-connect", &by_name],
        ["--allow-listen", "127.0.0.1:0"],
    ];
    let attempts = format!(
        "connect-name localhost {port} then connect {denied} then connect {address} then resolve a.example"
    );
    let finished = tries(flags.as_flattened(), &attempts);
    finished.assert_code(1);
    tripwire.assert_untouched();

    let events = events(&fs::read_to_string(&audit).unwrap());
    let decisions: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "decision")
        .collect();
    let rule = format!("allow-connect {by_name}");
    let allowed = |operation: &str, target: &str| {
        json!({"event": "decision", "operation": operation, "target": target, "verdict": "allowed",
            "by": rule})
    };
    let mut connect = allowed("connect", &address);
    connect["name"] = json!("localhost");
    let refused = |operation: &str, target: &str, hint: String| {
        json!({"event": "decision", "operation": operation, "target": target, "verdict": "denied",
            "reason": "no rule grants it", "hint": hint})
    };
    // Its address is an address of localhost, so the record names it localhost.
    let flag = format!("allow-connect localhost:{}", tripwire.address().port());
    let mut other = refused("connect", &denied, flag);
    other["name"] = json!("localhost");
    // Where localhost is two addresses, the other one may have been tried before.
    let last = decisions.len();
    assert_eq!(decisions[0], &allowed("resolve", "localhost"));
    assert_eq!(
        decisions[last - 3..],
        [
            &connect,
            &other,
            &refused("resolve", "a.example", "allow-resolve a.example".to_owned()),
        ]
    );
    // What was done twice is counted.
    let mut again = connect.clone();
    again["event"] = json!("repeated");
    again["of"] = json!("decision");
    again["count"] = json!(1);
    assert!(events.contains(&again), "{again} is not in {events:#?}");
    let resolved = events.iter().find(|event| event["event"] == "resolved");
    let resolved = resolved.expect("what localhost resolved to");
    assert_eq!(resolved["name"], "localhost");
    assert!(
        resolved["addresses"]
            .as_array()
            .unwrap()
            .contains(&json!("127.0.0.1"))
    );
    let total = json!({"event": "traffic", "operation": "connect", "target": address, "name": "localhost",
        "connections": 2, "received": 10, "sent": 8});
    assert!(events.contains(&total), "{total} is not in {events:#?}");
    assert_eq!(events.last(), Some(&json!({"event": "ended"})));
}

#[test]
fn a_limit_that_is_reached_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    for (flags, attempts, limit) in [
        (["--max-sockets", "2"], "sockets 3", "max-sockets"),
        (
            ["--max-resolutions", "0"],
            "resolve localhost",
            "max-resolutions",
        ),
        (["--max-cpu-time", "0.1"], "compute", "max-cpu-time"),
        (["--max-wall-time", "0.1"], "sleep 100", "max-wall-time"),
        (["--max-handles", "100"], "pollables 200", "max-handles"),
        (["--max-resources", "100"], "pollables 200", "max-resources"),
        (["--max-memory", "4000000"], "grow 8000000", "max-memory"),
        (
            ["--max-connects-per-second", "0"],
            "connect 127.0.0.1:1",
            "max-connects-per-second",
        ),
        (
            ["--max-hostcall-bytes", "1000"],
            "hand-over 2000",
            "max-hostcall-bytes",
        ),
    ] {
        let _ = fs::remove_file(&audit);
        let flags = [
            &["--allow-net", "--audit", audit.to_str().unwrap()],
            &flags[..],
        ]
        .concat();
        let finished = tries(&flags, attempts);
        assert_ne!(finished.code(), 0, "{attempts}");
        let events = events(&fs::read_to_string(&audit).unwrap());
        let told = events
            .iter()
            .any(|event| event["event"] == "limit" && event["limit"] == limit);
        assert!(told, "{limit} is not in {events:#?}");
    }
}

#[test]
fn a_record_is_added_to_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    for runs in 1..=2 {
        tries(&["--audit", audit.to_str().unwrap()], "connect 127.0.0.1:1").assert_code(1);
        let events = events(&fs::read_to_string(&audit).unwrap());
        assert_eq!(
            events
                .iter()
                .filter(|event| event["event"] == "ended")
                .count(),
            runs
        );
    }
}

#[test]
fn a_record_that_others_could_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let audit = audit.to_str().unwrap();
    let tripwire = Tripwire::new();
    let attempts = format!("connect {}", tripwire.address());
    // The component has the standard streams,
    for name in [
        "-",
        "/dev/stdout",
        "/dev/stderr",
        "/dev/fd/1",
        "/proc/self/fd/2",
    ] {
        let finished = tries(&["--allow-net", "--audit", name], &attempts);
        finished
            .assert_failure(2, &[name, "the component", "--audit FILE"])
            .assert_stdout(b"");
    }
    // and what is in a directory in which it may write.
    let dir = format!("{}::/data", folder.path().display());
    let finished = tries(&["--allow-net", "--audit", audit, "--dir", &dir], &attempts);
    finished.assert_failure(2, &[audit, ":ro"]);
    assert!(!Path::new(audit).exists());
    tripwire.assert_untouched();
    let read_only = format!("{dir}:ro");
    tries(&["--audit", audit, "--dir", &read_only], "env").assert_code(0);
    // A page goes to standard output.
    for name in ["-", "/dev/stdout"] {
        let url = format!("http://{}/", tripwire.address());
        let program = Program::sockbox(["fetch", "--audit", name, &url]);
        program
            .run()
            .assert_failure(2, &[name, "the response body", "--audit FILE"]);
    }
    tripwire.assert_untouched();
}

#[test]
fn what_is_done_again_and_again_takes_one_line_and_a_count() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let peer = RawPeer::start(Peer::wait_for_close);
    let address = peer.address().to_string();
    let flags = ["--allow-net", "--audit", audit.to_str().unwrap()];
    tries(&flags, &format!("connect-often {address} 300")).assert_code(0);
    let events = events(&fs::read_to_string(&audit).unwrap());
    let of_it: Vec<&Value> = events
        .iter()
        .filter(|event| event["operation"] == "connect" && event["event"] != "traffic")
        .collect();
    // On a slow machine they are recorded again each minute.
    let first = of_it.first().expect("it was recorded");
    assert_eq!(first["event"], "decision");
    assert!(of_it.len() < 30, "{of_it:?}");
    let lines = of_it.iter().filter(|event| event["event"] == "decision");
    assert_eq!(lines.count() as u64 + event_count(&of_it), 300);
}

/// How often the record says that an event was repeated.
fn event_count(events: &[&Value]) -> u64 {
    let counts = events.iter().map(|event| &event["count"]);
    counts.filter_map(Value::as_u64).sum()
}

#[test]
fn a_record_has_a_size() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let flags = ["--audit", audit.to_str().unwrap(), "--audit-max", "300"];
    let finished = tries(&flags, "connect 127.0.0.1:1 then connect 127.0.0.1:2");
    finished.assert_code(1);
    for words in ["--audit-max", "lost"] {
        assert!(finished.stderr().contains(words), "{words:?} isn't told");
    }
    let text = fs::read_to_string(&audit).unwrap();
    assert_eq!(text.lines().last(), Some(r#"{"event":"full"}"#));
    let before = text.len() - r#"{"event":"full"}"#.len() - 1;
    assert!(before <= 300, "{text}");
    let program = Program::sockbox(["run", "--audit-max", "300", "program.wasm"]);
    program.run().assert_code(2);
}

#[test]
fn keys_of_a_policy_file_that_would_have_no_effect_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let tripwire = Tripwire::new();
    let url = format!("http://{}/", tripwire.address());
    for (content, key) in [
        ("dir = [\".::/data\"]", "dir"),
        ("env = [\"A=1\"]", "env"),
        ("inherit-env = true", "inherit-env"),
        ("listen-as = [\"0.0.0.0:80=127.0.0.1:8080\"]", "listen-as"),
    ] {
        fs::write(&file, content).unwrap();
        let file = file.to_str().unwrap();
        for words in [
            &["fetch", &url, "--policy", file][..],
            &["serve", "--listen", "127.0.0.1:0", "--policy", file],
        ] {
            let finished = Program::sockbox(words.iter().copied()).run();
            finished.assert_failure(2, &[key, "sockbox run"]);
        }
    }
    tripwire.assert_untouched();
}

#[test]
fn a_record_that_cannot_be_written_keeps_no_run_from_its_work() {
    let full = Path::new("/dev/full");
    assert!(full.exists(), "a system without /dev/full");
    let peer = answering_peer();
    let attempts = format!("connect {}", peer.address());
    let finished = tries(&["--allow-net", "--audit", "/dev/full"], &attempts);
    finished.assert_code(0).assert_stdout(b"ok pong!\n");
    for words in ["/dev/full", "lost"] {
        assert!(finished.stderr().contains(words), "{words:?} isn't told");
    }
    // An error of opening is reported before anything else happens.
    let tripwire = Tripwire::new();
    let attempts = format!("connect {}", tripwire.address());
    let finished = tries(&["--allow-net", "--audit", "/nonexistent/audit"], &attempts);
    finished.assert_failure(23, &["/nonexistent/audit"]);
    tripwire.assert_untouched();
}

/// The options that a dry run tells, word by word.
fn options_told(finished: &Finished) -> Vec<String> {
    let lines = finished.stderr().lines();
    let options = lines.filter_map(|line| line.strip_prefix("  --"));
    options
        .flat_map(|option| {
            let (name, value) = option.split_once(' ').unwrap_or((option, ""));
            let words = [format!("--{name}"), value.to_owned()];
            words.into_iter().filter(|word| !word.is_empty())
        })
        .collect()
}

/// The policy file that a dry run tells.
fn file_told(finished: &Finished) -> String {
    let (_, file) = finished
        .stderr()
        .split_once("as a policy file:\n")
        .expect("a policy file");
    file.lines()
        .map(|line| format!("{}\n", line.trim_start_matches("  ")))
        .collect()
}

#[test]
fn a_dry_run_tells_what_is_needed_and_no_more() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet
        .name("a.example", &[&[Internet::PUBLIC_V4]])
        .name("inside.example", &[&["10.0.0.1"]]);
    let folder = tempfile::tempdir().unwrap();
    for attempts in [
        "connect 5.6.7.8:80",
        "connect-name a.example 80",
        "connect-name a.example 80 then connect-name a.example 81 then connect [2a00::1]:80",
        "connect-name inside.example 80",
        "resolve a.example",
        "connect-name localhost 80",
        "bind 127.0.0.1:0 then bind 127.0.0.1:99",
        "udp-ask 5.6.7.8:80",
        "udp-bind 127.0.0.1:99",
        "resolve a.example then udp-ask 1.2.3.4:81",
    ] {
        // Without a loopback of its own a run needs a grant for that too.
        let strict = "--no-private-loopback";
        let (finished, seen) = internet.run(Foreign::Rust.run(&["--dry-run", strict], attempts));
        finished.assert_code(0);
        let (stdout, options) = (finished.stdout_text(), options_told(&finished));
        assert!(
            !options.is_empty() && !options.contains(&"--allow-net".to_owned()),
            "{options:?}"
        );

        // It is enough,
        let words: Vec<&str> = options.iter().map(String::as_str).collect();
        let all = [&[strict], &words[..]].concat();
        let (again, seen_again) = internet.run(Foreign::Rust.run(&all, attempts));
        again.assert_code(0);
        if !attempts.contains("bind") {
            assert_eq!(again.stdout_text(), stdout);
        }
        assert_eq!(seen_again.packets, seen.packets);
        // as a file, too,
        let file = folder.path().join("policy.toml");
        fs::write(&file, file_told(&finished)).unwrap();
        let flags = [strict, "--policy", file.to_str().unwrap()];
        let (by_file, _) = internet.run(Foreign::Rust.run(&flags, attempts));
        by_file.assert_code(0);
        // and without any one of them it isn't.
        let starts: Vec<usize> = (0..words.len())
            .filter(|at| words[*at].starts_with("--"))
            .collect();
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(words.len());
            let fewer = [&[strict], &words[..*start], &words[end..]].concat();
            let (without, _) = internet.run(Foreign::Rust.run(&fewer, attempts));
            assert_eq!(
                without.code(),
                1,
                "{attempts}: {fewer:?} would have been enough"
            );
        }
    }
}

#[test]
fn a_dry_run_of_nothing() {
    let finished = tries(&["--dry-run"], "env");
    finished.assert_code(0);
    assert!(
        finished.stderr().contains("nothing"),
        "the warning is missing"
    );
    assert_eq!(options_told(&finished), [""; 0]);
}

#[test]
fn a_dry_run_denies_what_is_denied() {
    let tripwire = Tripwire::new();
    let attempts = format!("connect {}", tripwire.address());
    tries(&["--dry-run", "--deny-connect", "127.0.0.0/8"], &attempts).assert_code(1);
    tripwire.assert_untouched();
}

#[test]
fn a_policy_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pages")).unwrap();
    fs::write(folder.path().join("pages/a"), "page").unwrap();
    let peer = answering_peer();
    let tripwire = Tripwire::new();
    let (address, other) = (peer.address(), tripwire.address());
    let file = folder.path().join("policy.toml");
    let content = format!(
        "allow-connect = [\"{address}\"]\n\
         env = [\"A=1\"]\n\
         [limits]\n\
         max-sockets = 3\n\
         [profile.more]\n\
         allow-connect = [\"{other}\"]\n\
         dir = [\"pages::/data:ro\"]\n\
         [profile.less]\n\
         deny-connect = [\"127.0.0.0/8\"]\n"
    );
    fs::write(&file, content).unwrap();
    let file = file.to_str().unwrap();
    let attempts = format!("connect {address} then env then sockets 4 then connect {other}");
    let finished = tries(&["--policy", file], &attempts);
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..2], ["ok pong!", "ok A=1"]);
    assert!(
        lines[2].starts_with("new-socket-limit at create after 3"),
        "{stdout}"
    );
    assert!(!lines[3].starts_with("ok"), "{stdout}");
    tripwire.assert_untouched();

    // A profile adds to what is in none, and an option to both.
    let more = ["--policy", file, "--profile", "more", "--env", "B=2"];
    let finished = tries(
        &more,
        &format!("connect {address} then env then read /data/a"),
    );
    finished
        .assert_quiet_success()
        .assert_stdout(b"ok pong!\nok A=1 B=2\nok page\n");
    // What is denied anywhere is denied.
    for flags in [
        &["--policy", file, "--profile", "less", "--allow-net"][..],
        &[
            "--policy",
            file,
            "--profile",
            "more",
            "--deny-connect",
            "127.0.0.0/8",
        ],
    ] {
        let finished = tries(flags, &format!("connect {address} then connect {other}"));
        finished.assert_code(1);
        assert!(!finished.stdout_text().contains("ok"));
        tripwire.assert_untouched();
    }
}

#[test]
fn a_policy_file_that_cannot_be_used_lets_nothing_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let path = file.to_str().unwrap();
    for (content, words) in [
        ("allow-conect = [\"a:80\"]", &["allow-conect"][..]),
        ("deny-connect = [\"example.com\"]", &["example.com"]),
        ("allow-connect = [\"10.0.0.1/8\"]", &["10.0.0.0/8"]),
        ("[limits]\nmax-socks = 1", &["max-socks"]),
        ("[limits]\nmax-sockets = -1", &[]),
        ("this is no TOML", &[]),
    ] {
        fs::write(&file, content).unwrap();
        let finished = tries(&["--policy", path], "env");
        finished.assert_code(2).assert_stdout(b"");
        for word in [&[path], words].concat() {
            assert!(
                finished.stderr().contains(word),
                "{word:?} isn't told of {content:?}"
            );
        }
    }
    fs::write(&file, "[profile.one]\n").unwrap();
    let finished = tries(&["--policy", path, "--profile", "two"], "env");
    finished.assert_code(2).assert_stdout(b"");
    assert!(finished.stderr().contains("two") && finished.stderr().contains("one"));
    let finished = tries(&["--policy", "/nonexistent/policy.toml"], "env");
    assert_ne!(finished.code(), 0);
    finished.assert_stdout(b"");
}
