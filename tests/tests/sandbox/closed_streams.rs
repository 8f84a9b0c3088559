//! Standard input, output and error that are closed, or lead to no reader.

use crate::standard_streams::{Components, PIPE, endless, null, zeros};
use sockbox_tests::{
    Finished, HelloClient, Program, RawPeer, Serving, Signal, Tripwire, Wasi, eventually,
};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

fn from_a_shell(args: &[&str], redirections: &str) -> Finished {
    Program::sockbox(args).from_a_shell("", redirections).run()
}

#[test]
fn closed_streams_are_noticed() {
    let components = Components::new();
    let cat = components.cat();
    let cat = cat.to_str().unwrap();
    let to_stderr = components.cat_to_stderr();
    let to_stderr = to_stderr.to_str().unwrap();
    let page = RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let tripwire = Tripwire::new();
    let (url, to) = (page.url("/"), format!("http://{}/", tripwire.address()));
    for (args, redirections, code) in [
        (&["fetch", &url][..], ">&-", 23),
        (
            &["fetch", "-o", "/dev/null", "-w", "%{http_code}", &url],
            ">&-",
            23,
        ),
        (&["fetch", "-s", "-o", "/dev/null", &url], ">&-", 0),
        (&["fetch", &url], "2>&-", 0),
        (&["fetch", "-T", "-", &to], "<&-", 26),
        (&["fetch", "-d", "@-", &to], "<&-", 26),
        (&["component", "-o", "-"], ">&-", 23),
        (&["run", cat], ">&- </dev/zero", 1),
        (&["run", to_stderr], "2>&- </dev/zero", 1),
        (&["run", cat], "<&-", 1),
        (&["run", "-"], "<&-", 125),
        // The null device isn't a closed stream, however it was opened.
        (&["fetch", &url], ">/dev/null", 0),
        (&["fetch", &url], "<>/dev/null >&0", 0),
        (&["run", cat], "<>/dev/null >&0 2>&0", 0),
    ] {
        let finished = from_a_shell(args, redirections);
        assert_eq!(finished.code(), code, "{args:?} {redirections}");
    }
    tripwire.assert_untouched();
}

#[test]
fn a_server_without_streams_serves() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let process = Program::sockbox(["serve", "--listen", &address.to_string()])
        .from_a_shell("", "<&- >&- 2>&-")
        .start();
    eventually("it to listen", || {
        std::net::TcpStream::connect(address).ok()
    });
    HelloClient::connect(address).ask("Michael\n", "Hello, Michael!\n");
    process.signal(Signal::TERM);
    process.wait().assert_code(0);
}

#[test]
fn a_pipe_that_is_closed_ends_a_run_quietly() {
    let components = Components::new();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let closed = || OwnedFd::from(writer.try_clone().unwrap());
    let run = |component: &PathBuf| {
        Program::sockbox(["run"])
            .args([component])
            .from_a_shell("trap - PIPE", "")
            .stdin(zeros())
    };
    let finished = run(&components.cat()).stdout(closed()).run();
    finished.assert_code(141);
    assert_eq!(finished.stderr(), "");
    let finished = run(&components.cat_to_stderr()).stderr(closed()).run();
    finished.assert_code(141);

    // In the middle, as `head` does it.
    let (process, mut reader) = run(&components.cat()).start_with_pipe();
    reader.read_exact(&mut [0; 3 * PIPE]).unwrap();
    drop(reader);
    let finished = process.wait();
    finished.assert_code(141);
    assert_eq!(finished.stderr(), "");

    // If SIGPIPE is ignored, the component gets the error. This one fails.
    let finished = Program::sockbox(["run"])
        .args([components.cat()])
        .from_a_shell("trap '' PIPE", "")
        .stdin(zeros())
        .stdout(closed())
        .run();
    finished.assert_code(1);
}

#[test]
fn a_pipe_that_is_closed_ends_a_fetch_quietly_and_no_server() {
    let peer = endless();
    let (process, mut reader) = Program::sockbox(["fetch", &peer.url("/")]).start_with_pipe();
    reader.read_exact(&mut [0; 3 * PIPE]).unwrap();
    drop(reader);
    process.wait().assert_quiet(23);

    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let server = Serving::started(
        Serving::program(Wasi::V0_2, &["-v"]).stderr(OwnedFd::from(writer)),
        1,
    );
    for _ in 0..5 {
        server.client().ask("Michael\n", "Hello, Michael!\n");
    }
    server.terminate().assert_code(0);
}

#[test]
fn the_null_device_takes_everything() {
    let components = Components::new();
    let finished = Program::sockbox(["run"])
        .args([components.cat()])
        .stdin(File::open(components.cat()).unwrap())
        .stdout(null())
        .run();
    finished.assert_quiet_success();
}
