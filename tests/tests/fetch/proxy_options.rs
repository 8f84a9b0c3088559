//! What names the proxies of `sockbox fetch`: options, variables and policy files.

use crate::proxy::{OK, STATIC, fetch, url, with_env};
use sockbox_tests::{ConnectProxy, Program, RawPeer, Tripwire};
use std::fs;

#[test]
fn variables_count_as_with_curl() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([("192.0.2.1:80", plain.address())]);
    let at = url(&proxy);
    let page = [&STATIC[..], &["http://a.example/"]].concat();
    for variable in ["http_proxy", "all_proxy", "ALL_PROXY"] {
        let finished = with_env(&page, &[(variable, &at)]);
        finished.assert_quiet_success().assert_stdout(b"hello");
    }
    assert_eq!(proxy.asked().len(), 3);
    // -x comes before them, and they need not be proxies that can be used then.
    let typed = [&page[..], &["-x", &at]].concat();
    let env = [("http_proxy", "socks5://a"), ("no_proxy", "b.example")];
    with_env(&typed, &env).assert_quiet_success();
    assert_eq!(proxy.asked().len(), 4);
    let tripwire = Tripwire::new();
    let trap = format!("http://{}", tripwire.address());
    let port = plain.address().port();
    let direct = format!("http://a.example:{port}/");
    let direct = ["--resolve", "a.example:127.0.0.1", &direct];
    for env in [
        &[("HTTP_PROXY", trap.as_str())][..],
        &[("https_proxy", &trap), ("HTTPS_PROXY", "socks5://a")],
        &[("http_proxy", &trap), ("NO_PROXY", "example")],
        &[("http_proxy", "")],
    ] {
        with_env(&direct, env).assert_quiet_success();
    }
    for (args, env) in [
        (&["-x", ""][..], &[("http_proxy", trap.as_str())][..]),
        (&["--noproxy", "*"], &[("http_proxy", &trap)]),
        (&["-x", &trap], &[("no_proxy", "a.example")]),
    ] {
        with_env(&[&direct[..], args].concat(), env).assert_quiet_success();
    }
    tripwire.assert_untouched();
    // --noproxy takes the place of the variable.
    let other = ["--noproxy", "b.example"];
    let env = [("http_proxy", at.as_str()), ("no_proxy", "a.example")];
    with_env(&[&page[..], &other].concat(), &env).assert_quiet_success();
    assert_eq!(proxy.asked().len(), 5);
    let finished = with_env(&page, &[("ALL_PROXY", "socks5h://u:hunter2@a")]);
    finished.assert_failure(
        2,
        &["the environment variable `ALL_PROXY` can't be used: a proxy is reached with http, and not with `socks5h`"],
    );
    // It is not needed for this machine.
    let local = plain.url("/");
    with_env(&[&local], &[("ALL_PROXY", "socks5h://a")]).assert_quiet_success();
    let finished = with_env(&["-L", &local], &[("ALL_PROXY", "socks5h://a")]);
    finished.assert_failure(2, &["`ALL_PROXY`"]);
}

#[test]
fn credentials_are_for_the_proxy_alone_and_shown_nowhere() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start_for(
        Some("Basic dXNlcjpodW50ZXIy"),
        [("192.0.2.1:80", plain.address())],
    );
    let at = proxy.address();
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let (bare, with) = (format!("{at}"), format!("http://user:hunt%65r2@{at}"));
    let page = [
        &STATIC[..],
        &[
            "-v",
            "--audit",
            audit.to_str().unwrap(),
            "http://a.example/",
        ],
    ]
    .concat();
    for credentials in [
        &["-x", with.as_str()][..],
        &["-x", &bare, "-U", "user:hunter2"],
        &["-x", &bare, "--proxy-user", "user:hunter2"],
        // As with curl, the credentials of the URL win.
        &["-x", &with, "-U", "other:pass"],
    ] {
        let finished = fetch(&[&page[..], credentials].concat());
        finished.assert_code(0).assert_stdout(b"hello");
        let record = fs::read_to_string(&audit).unwrap();
        for text in [&record, finished.stderr()] {
            assert!(
                !text.contains("hunter2") && !text.contains("dXNlcjpodW50ZXIy"),
                "{text}"
            );
        }
    }
    for head in plain.requests() {
        assert!(!head.contains("roxy"), "{head}");
    }
    let wrong = format!("http://user:hunter3@{at}");
    for (what, args) in [("none", ["-x", &bare]), ("wrong", ["-x", &wrong])] {
        let addresses = [
            "--resolve",
            "b.example:192.0.2.1,192.0.2.2",
            "http://b.example/",
        ];
        let before = proxy.asked().len();
        let finished = fetch(&[&args[..], &addresses, &["-w", "%{http_connect}"]].concat());
        finished.assert_code(56).assert_stdout(b"407");
        let told = format!(
            "sockbox: (56) no connection to b.example through the proxy {at}: it answered 407 (it wants other credentials: -U USER:PASSWORD gives them)\n"
        );
        assert_eq!(finished.stderr(), told, "{what}");
        // Another address changes nothing.
        assert_eq!(proxy.asked().len(), before + 1);
    }
    for (args, expected) in [
        (
            &["-x", "https://u:hunter2@a"][..],
            "--proxy: a proxy is reached with http, and not with `https`",
        ),
        (
            &["-x", "socks5://u:hunter2@a"],
            "--proxy: a proxy is reached with http, and not with `socks5`",
        ),
        (&["-x", "http://u:hunter2@a:x"], "--proxy: the proxy's port"),
        (
            &["-x", "a", "-U", "u:hunter2\n"],
            "--proxy-user: the proxy's user or password can't be sent",
        ),
    ] {
        let finished = fetch(&[args, &["http://a.example/"]].concat());
        finished.assert_failure(2, &[expected]);
        assert!(
            !finished.stderr().contains("hunter2"),
            "{}",
            finished.stderr()
        );
    }
}

#[test]
fn a_user_without_a_password_is_wrong_usage() {
    let finished = fetch(&["-x", "a", "-U", "hunter2", "http://a.example/"]);
    finished.assert_code(2);
    let expected = "error: --proxy-user: expected USER:PASSWORD, with a colon between them\n";
    assert!(
        finished.stderr().starts_with(expected),
        "{}",
        finished.stderr()
    );
    assert!(
        !finished.stderr().contains("hunter2"),
        "{}",
        finished.stderr()
    );
}

#[test]
fn a_policy_file_names_the_proxy_too() {
    let plain = RawPeer::answering(OK);
    let proxy = ConnectProxy::start([("a.example:80", plain.address())]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let text = format!(
        "proxy = \"http://u:hunter2@{}\"\nnoproxy = [\"b.example\"]\nallow-proxy-resolve = true\n",
        proxy.address()
    );
    fs::write(&file, text).unwrap();
    let policy = ["--policy", file.to_str().unwrap()];
    // It comes before the environment.
    let page = [&policy[..], &["http://a.example/"]].concat();
    let finished = with_env(&page, &[("http_proxy", "http://127.0.0.1:1")]);
    finished.assert_quiet_success().assert_stdout(b"hello");
    let port = plain.address().port();
    let direct = format!("http://b.example:{port}/");
    let direct = ["--resolve", "b.example:127.0.0.1", &direct];
    fetch(&[&policy[..], &direct].concat()).assert_quiet_success();
    assert_eq!(proxy.asked(), ["a.example:80"]);
    let finished = Program::sockbox(["serve", "--policy", file.to_str().unwrap()]).run();
    finished.assert_failure(2, &["`proxy`, `proxy-env`, `noproxy` and `allow-proxy-resolve` have no effect on `sockbox serve`"]);
}
