//! Text from a server, a component, a certificate or a file name can't control the terminal.
//!
//! All shown text is escaped by one crate, `printable`. These tests put hostile text into every place
//! that shows text.

use sockbox_printable::is_hazard;
use sockbox_tests::{Authority, Finished, Json, Program, RawPeer, TlsPeer, TlsSettings};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Something of each kind: C0 and C1 control characters, direction overrides, what isn't visible, tags.
const HOSTILE: &str = "x\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{202e}\u{200b}\u{2028}\u{feff}\u{e0041}y";

/// The same, and bytes that aren't UTF-8 but control characters to terminals that read one byte as one
/// character: CSI.
fn hostile_bytes() -> Vec<u8> {
    [HOSTILE.as_bytes(), b"\x9b2J\x85"].concat()
}

/// A response with it in its reason phrase, and in two fields.
fn hostile_response(status: &str) -> Vec<u8> {
    let text = hostile_bytes();
    [
        b"HTTP/1.1 ".as_slice(),
        status.as_bytes(),
        b" ",
        &text,
        b"\r\nContent-Type: text/",
        &text,
        b"\r\nX-A: ",
        &text,
        b"\r\nContent-Length: 4\r\n\r\npage",
    ]
    .concat()
}

/// Assert that it is valid UTF-8 without control characters.
#[track_caller]
fn assert_harmless(what: &str, shown: &[u8]) {
    let text = String::from_utf8(shown.to_vec());
    let text = text.unwrap_or_else(|_| panic!("{what}: {}", shown.escape_ascii()));
    // A terminal makes CR LF of each LF, also of that of a CR LF.
    let found = text.replace("\r\r\n", "").replace("\r\n", "");
    let found = found.replace(['\n', '\t'], "");
    let found = found.chars().find(|c| is_hazard(*c));
    assert_eq!(found, None, "{what}: {text:?}");
}

/// Assert that the text is shown, and that the shown text is harmless.
#[track_caller]
fn assert_shown(what: &str, shown: &[u8]) {
    assert_harmless(what, shown);
    let shown = String::from_utf8_lossy(shown);
    assert!(
        shown.contains("x?[2J")
            || shown.contains("x\\u001b[2J")
            || shown.contains("x\\u{1b}[2J")
            || shown.contains("x\\x1b[2J"),
        "{what}: nothing of it is shown: {shown:?}"
    );
}

fn on_a_terminal(args: &[&str]) -> Finished {
    Program::sockbox(args).on_a_terminal().run()
}

#[test]
fn heads_are_shown_on_a_terminal_without_what_steers_it() {
    let peer = RawPeer::answering(hostile_response("200"));
    let url = peer.url("/");
    for args in [
        &["-o", "/dev/null"][..],
        &["-i"],
        &["-I"],
        &["-v", "-s", "-o", "/dev/null"],
        &["-s", "-o", "/dev/null", "-D", "-"],
        &["-s", "-o", "/dev/null", "-D", "/dev/tty"],
        &["-s", "-i", "-o", "/dev/tty"],
        &[
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%header{x-a} %{content_type}",
        ],
        &["-s", "-o", "/dev/null", "-w", "%{stderr}%header{x-a}"],
        &["-s", "-o", "/dev/null", "-w", "%{header_json}"],
        &["-s", "-o", "/dev/null", "-w", "%{json}"],
        &["-s", "-o", "/dev/null", "--json"],
    ] {
        let finished = on_a_terminal(&[&["fetch"], args, &[&url]].concat());
        finished.assert_code(0);
        assert_shown(&format!("{args:?}"), finished.stdout());
    }
}

#[test]
fn heads_are_data_in_a_file_and_in_a_pipe() {
    let response = hostile_response("200");
    let peer = RawPeer::answering(response.clone());
    let head = &response[..response.len() - "page".len()];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("head");
    let name = file.to_str().unwrap();
    for args in [
        &["-o", "/dev/null"][..],
        &["-s", "-D", "-", "-o", "/dev/null"],
        &["-I"],
    ] {
        let finished = Program::sockbox(["fetch"])
            .args(args)
            .args([peer.url("/")])
            .run();
        finished.assert_code(0).assert_stdout(head);
    }
    let args = ["fetch", "-s", "-D", name, &peer.url("/")];
    Program::sockbox(args)
        .run()
        .assert_code(0)
        .assert_stdout(b"page");
    assert_eq!(fs::read(&file).unwrap(), head);
    let args = [
        "fetch",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%header{x-a}",
        &peer.url("/"),
    ];
    Program::sockbox(args)
        .run()
        .assert_code(0)
        .assert_stdout(&hostile_bytes());
}

#[test]
fn json_has_it_escaped_wherever_it_goes() {
    let peer = RawPeer::answering(hostile_response("200"));
    for args in [
        &["--json"][..],
        &["-w", "%{header_json}"],
        &["-w", "%{json}"],
    ] {
        let finished = Program::sockbox(["fetch", "-s", "-o", "/dev/null"])
            .args(args)
            .args([peer.url("/")])
            .run();
        finished.assert_code(0);
        assert_shown(&format!("{args:?}"), finished.stdout());
        // Nothing is lost there.
        let text = finished.stdout_text();
        assert!(
            text.contains(r"\u009b31m\u202e\u200b\u2028\ufeff\udb40\udc41y"),
            "{text}"
        );
        Json::parse(text.trim_end());
    }
}

#[test]
fn errors_show_nothing_that_steers() {
    let folder = tempfile::tempdir().unwrap();
    let url = "http://127.0.0.1:1/";
    let hostile_file = format!("/nobody/{HOSTILE}\nsockbox: forged");
    let not_found = RawPeer::answering(hostile_response("404"));
    let partial = RawPeer::answering(hostile_response("500"));
    let line = |text: &str| [text.as_bytes(), &hostile_bytes(), b"\r\n\r\n"].concat();
    let no_status = RawPeer::answering(line("HTTP/1.1 "));
    let no_field = RawPeer::answering(line("HTTP/1.1 200 OK\r\n"));
    let coded = RawPeer::answering(line("HTTP/1.1 200 OK\r\nContent-Encoding: "));
    let length = RawPeer::answering(line("HTTP/1.1 200 OK\r\nContent-Length: "));
    let moved = RawPeer::answering(line("HTTP/1.1 302 Found\r\nLocation: http://"));
    let scheme = RawPeer::answering(line("HTTP/1.1 302 Found\r\nLocation: "));
    let kept = folder.path().join("kept");
    fs::write(&kept, "what there is").unwrap();
    let kept = kept.to_str().unwrap();
    for args in [
        &["-f", &not_found.url("/")][..],
        &["-C", "-", "-o", kept, &partial.url("/")],
        &[&no_status.url("/")],
        &[&no_field.url("/")],
        &["--compressed", &coded.url("/")],
        &[&length.url("/")],
        &["-L", &moved.url("/")],
        &["-L", &scheme.url("/")],
        &["-o", &hostile_file, url],
        &["-T", &hostile_file, url],
        &["-D", &hostile_file, url],
        &["-d", &format!("@{hostile_file}"), url],
        &["-H", &format!("@{hostile_file}"), url],
        &["-H", HOSTILE, url],
        &["-X", HOSTILE, url],
        &["-H", &format!("{HOSTILE}: a"), url],
        &["-w", &format!("@{hostile_file}"), url],
        &["-w", &format!("%{{{HOSTILE}}}"), url],
        &["--audit", &hostile_file, url],
        &["--policy", &hostile_file, url],
        &["--cacert", &hostile_file, "https://127.0.0.1:1/"],
        &["--capath", &hostile_file, "https://127.0.0.1:1/"],
        &["--cert", &hostile_file, "https://127.0.0.1:1/"],
        &[&format!("{HOSTILE}://a/")],
        &[&format!("http://{HOSTILE}/")],
        &["--allow-connect", HOSTILE, url],
        &["--max-time", HOSTILE, url],
        &[&format!("--{HOSTILE}")],
    ] {
        for sandbox in [false, true] {
            let finished = match sandbox {
                false => Program::sockbox(["fetch"]).args(args).run(),
                true => on_a_terminal(&[&["fetch"], args].concat()),
            };
            let shown = match sandbox {
                false => finished.stderr().as_bytes(),
                true => finished.stdout(),
            };
            let what = format!("{args:?}");
            assert_harmless(&what, shown);
            let text = String::from_utf8_lossy(shown);
            // The hostile text adds no line.
            assert!(
                !text.lines().any(|line| line.starts_with("sockbox: forged")),
                "{what}: {text}"
            );
        }
    }
}

#[test]
fn certificates_show_nothing_that_steers() {
    let authority = Authority::named(HOSTILE);
    let identity = authority.server_with(&["127.0.0.1"], |params| {
        let name = &mut params.distinguished_name;
        name.push(rcgen::DnType::OrganizationName, HOSTILE);
    });
    let peer = TlsPeer::start(&identity, TlsSettings::default(), "HTTP/1.1 204 No\r\n\r\n");
    let file = authority.file();
    let trusted = ["fetch", "-v", "--cacert", file.to_str().unwrap()];
    for (args, code) in [
        ([&trusted[..], &[&peer.url()]].concat(), 0),
        (vec!["fetch", &peer.url()], 60),
        (vec!["fetch", "-k", "-v", &peer.url()], 0),
    ] {
        let finished = on_a_terminal(&args);
        finished.assert_code(code);
        assert_harmless(&format!("{args:?}"), finished.stdout());
        let shown = finished.stdout_text();
        assert!(shown.contains("31m"), "nothing of it is shown: {shown:?}");
        let finished = Program::sockbox(&args).run();
        finished.assert_code(code);
        assert_harmless(&format!("{args:?}"), finished.stderr().as_bytes());
    }
}

#[test]
fn a_components_own_names_steer_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let quoted: String = HOSTILE
        .bytes()
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    // It traps, in functions with such names.
    let text = format!(
        r#"(component
          (core module $m (@name "{quoted}")
            (func (@name "{quoted}\0asockbox: forged") (export "run") (result i32) unreachable))
          (core instance $i (instantiate $m))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (component $c
            (import "f" (func $f (result (result))))
            (export "run" (func $f)))
          (instance $run (instantiate $c (with "f" (func $run))))
          (export "wasi:cli/run@0.2.0" (instance $run)))"#
    );
    let file = folder.path().join(format!("{HOSTILE}.wat"));
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for args in [
        &["run", "--no-cache", "-v", file][..],
        &["run", "--no-cache", file],
    ] {
        let finished = Program::sockbox(args).run();
        // With a backtrace, where it was asked for.
        assert_eq!(finished.code(), 134, "{}", finished.stderr());
        assert_harmless(&format!("{args:?}"), finished.stderr().as_bytes());
        let forged = finished
            .stderr()
            .lines()
            .any(|line| line.starts_with("sockbox: forged"));
        assert!(!forged, "{}", finished.stderr());
    }
    let shown = Program::sockbox(["run", "--no-cache", "-v", file]).run();
    assert_shown("a backtrace", shown.stderr().as_bytes());
    let missing = format!("{file}.missing");
    for args in [
        &["inspect", file][..],
        &["inspect", "--json", file],
        &["inspect", "-v", file],
        &["inspect", &missing],
        &["run", &missing],
        &["compile", "-o", "/dev/null", &missing],
        &["policy", "check", &missing],
        &["policy", "explain", &missing, "a:1"],
    ] {
        let finished = Program::sockbox(args).run();
        let what = format!("{args:?}");
        assert_harmless(&what, finished.stdout());
        assert_harmless(&what, finished.stderr().as_bytes());
        let all = [finished.stdout(), finished.stderr().as_bytes()].concat();
        assert_shown(&what, &all);
    }
}

#[test]
fn policies_show_nothing_that_steers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{HOSTILE}.toml"));
    // TOML may have these in strings; a profile's name is one.
    let text: String = HOSTILE.chars().filter(|c| !c.is_ascii_control()).collect();
    let good = format!(
        "dir = [\"{text}\"]\nenv = [\"{text}=1\"]\n[profile.\"{text}\"]\nallow-net = true\n"
    );
    let wrong = format!("{good}[{HOSTILE}]\n");
    for (content, args) in [
        (&good, &["check"][..]),
        (&good, &["explain", "--profile", HOSTILE]),
        (&good, &["explain", "--profile", &text]),
        (&wrong, &["check"]),
        (&format!("allow-connect = [\"{text}\"]"), &["check"]),
        (&format!("{HOSTILE} = 1"), &["check"]),
    ] {
        fs::write(&file, content).unwrap();
        let target: &[&str] = if args[0] == "explain" {
            &["a.example:1"]
        } else {
            &[]
        };
        let program = Program::sockbox(["policy"])
            .args(args)
            .args([&file])
            .args(target);
        let finished = program.run();
        let what = format!("{content:?} {args:?}");
        assert_harmless(&what, finished.stdout());
        assert_harmless(&what, finished.stderr().as_bytes());
    }
}

#[test]
fn file_names_that_are_no_text_steer_nothing() {
    let name = OsString::from_vec([b"/nobody/".to_vec(), hostile_bytes()].concat());
    for args in [
        ["fetch", "-o"],
        ["fetch", "--policy"],
        ["fetch", "--cacert"],
    ] {
        let finished = Program::sockbox(args)
            .args([&name])
            .args(["https://127.0.0.1:1/"])
            .run();
        assert_shown(&format!("{args:?}"), finished.stderr().as_bytes());
    }
    let finished = Program::sockbox(["run"]).args([Path::new(&name)]).run();
    assert_shown("run", finished.stderr().as_bytes());
}

#[test]
fn audit_records_and_logs_steer_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit");
    let peer = RawPeer::answering(hostile_response("200"));
    let audit = [
        "fetch",
        "-s",
        "-v",
        "--audit",
        file.to_str().unwrap(),
        &peer.url("/"),
    ];
    let finished = Program::sockbox(audit).run();
    finished.assert_code(0);
    assert_shown("-v", finished.stderr().as_bytes());
    let record = fs::read(&file).unwrap();
    assert_harmless("an audit record", &record);
    assert!(!record.is_empty());
    for log in ["text", "json"] {
        let finished = Program::sockbox(["serve", "--log", log, "--policy", HOSTILE]).run();
        assert_shown("serve", finished.stderr().as_bytes());
        // The parser of the command line takes whole escape sequences out by itself.
        let unknown = Program::sockbox(["serve", "--log", log, "--listen", HOSTILE]).run();
        assert_harmless("serve --listen", unknown.stderr().as_bytes());
        assert!(unknown.stderr().contains("31m"), "{}", unknown.stderr());
    }
}

#[test]
fn the_component_alone_shows_nothing_that_steers() {
    const NETWORK: &[&str] = &["-S", "inherit-network", "-S", "allow-ip-name-lookup"];
    let folder = tempfile::tempdir().unwrap();
    let mapped = format!("{}::.", folder.path().display());
    let flags = [NETWORK, &["--dir", &mapped]].concat();
    let response = hostile_response("200");
    let peer = RawPeer::answering(response.clone());
    let url = peer.url("/");
    for (number, args) in [&["-o"][..], &["-v", "-s", "-o"], &["-i", "-v", "-o"]]
        .iter()
        .enumerate()
    {
        let name = number.to_string();
        let args = [&["fetch"], *args, &[&name, &url]].concat();
        let program = Program::wasmtime_run_compiled(&flags, &args).on_a_terminal();
        let finished = program.run();
        finished.assert_code(0);
        assert_shown(&format!("{args:?}"), finished.stdout());
    }
    let finished = Program::wasmtime_run_compiled(NETWORK, ["fetch", "-I", &url])
        .on_a_terminal()
        .run();
    assert_shown("-I", finished.stdout());
    // Data in a pipe.
    let finished = Program::wasmtime_run_compiled(NETWORK, ["fetch", "-I", &url]).run();
    finished
        .assert_code(0)
        .assert_stdout(&response[..response.len() - 4]);
    let hostile_header = format!("{HOSTILE}: a");
    for args in [
        &["fetch", HOSTILE][..],
        &["fetch", "-X", HOSTILE, &url],
        &["fetch", "-H", &hostile_header, &url],
        &["fetch", "-o", &format!("missing/{HOSTILE}"), &url],
        &["fetch", &format!("http://{HOSTILE}/")],
        &["serve", "--listen", HOSTILE],
        &[HOSTILE],
    ] {
        let finished = Program::wasmtime_run_compiled(&flags, args).run();
        assert_harmless(&format!("{args:?}"), finished.stderr().as_bytes());
        assert_ne!(finished.code(), 0, "{args:?}");
    }
}
