//! `sockbox fetch -L`: the targets that it follows, the fields that it sends there, and the targets
//! that it refuses.
//!
//! How methods and bodies change is compared with curl in `beside_curl.rs`.

use sockbox_tests::{
    BlackHole, Finished, Internet, Node, Peer, Program, RawPeer, Tripwire, has_ipv6,
};
use std::net::SocketAddr;

fn fetch(args: &[&str]) -> Finished {
    Program::sockbox(["fetch"]).args(args).run()
}

/// A peer that redirects every request there.
fn redirecting_to(location: &str) -> RawPeer {
    RawPeer::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn hello() -> RawPeer {
    RawPeer::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
}

/// All ways to write the address of this machine that no user has typed.
fn ways_to_say_loopback(port: u16) -> Vec<String> {
    let mut hosts = vec!["localhost", "127.0.0.2", "127.1.2.3", "0.0.0.0"];
    if has_ipv6() {
        hosts.extend(["[::1]", "[::ffff:127.0.0.2]", "[::]"]);
    }
    let urls = hosts
        .into_iter()
        .map(|host| format!("http://{host}:{port}/"));
    urls.collect()
}

#[test]
fn a_server_cannot_send_us_to_this_machine() {
    let tripwire = Tripwire::on("0.0.0.0:0");
    let port = tripwire.address().port();
    for url in ways_to_say_loopback(port) {
        eprintln!("redirected to {url}");
        let peer = redirecting_to(&url);
        // The denial, and the option that would allow it.
        fetch(&["-L", &peer.url("/")]).assert_failure(126, &["--allow-connect"]);
        tripwire.assert_untouched();
    }
}

/// `sockbox fetch` on an internet whose names change their addresses: its result, and the addresses that
/// it connected to.
#[track_caller]
fn fetch_on(internet: &Internet, args: &[&str]) -> (Finished, Vec<String>) {
    let (finished, seen) = internet.run(Program::sockbox(["fetch"]).args(args));
    eprintln!("{args:?}: {:?} {}", seen.packets, finished.stderr());
    (finished, seen.packets)
}

#[test]
fn a_typed_name_that_turns_to_the_inside_is_not_followed() {
    let Some(internet) = Internet::new() else {
        return;
    };
    for inside in [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        Internet::METADATA,
        Internet::NEIGHBOUR_V6,
    ] {
        let internet = Internet::default().name("evil.example", &[&["1.2.3.4"], &[inside]]);
        for args in [
            // To another port, to the same port, through another name, a second time, and after a
            // retry.
            &["-L", "http://evil.example/to?http://evil.example:81/"][..],
            &["-L", "http://evil.example/to?http://evil.example/"],
            &["-sS", "http://evil.example/", "http://EVIL.example./"],
            &[
                "--retry",
                "1",
                "--retry-delay",
                "0",
                "http://evil.example/busy",
            ],
        ] {
            let (finished, packets) = fetch_on(&internet, args);
            finished.assert_code(126);
            for word in ["evil.example", inside] {
                assert!(finished.stderr().contains(word), "{word}");
            }
            assert_eq!(packets, ["tcp 1.2.3.4:80"], "{args:?}");
        }
    }
    drop(internet);
}

#[test]
fn a_typed_name_of_the_inside_is_followed_there() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let internet = internet.name("inside.example", &[&["10.0.0.1"]]);
    let url = "http://inside.example/to?http://inside.example:81/";
    let (finished, packets) = fetch_on(&internet, &["-L", url]);
    finished
        .assert_quiet_success()
        .assert_stdout(b"hello from 10.0.0.1:81");
    assert_eq!(packets, ["tcp 10.0.0.1:80", "tcp 10.0.0.1:81"]);
    // A static address of the user stays valid.
    let pin = [
        "--resolve",
        "named.example:80:1.2.3.4",
        "--resolve",
        "named.example:81:10.0.0.9",
    ];
    let url = "http://named.example/to?http://named.example:81/";
    let args = [&["-L"], &pin[..], &[url]].concat();
    let (finished, _) = fetch_on(&internet, &args);
    finished
        .assert_quiet_success()
        .assert_stdout(b"hello from 10.0.0.9:81");
}

#[test]
fn a_server_cannot_send_us_into_a_network_of_our_own() {
    let Some(internet) = Internet::new() else {
        return;
    };
    let own = [
        Internet::OWN_V4.to_owned(),
        Internet::NEIGHBOUR_V4.to_owned(),
        format!("[{}]", Internet::OWN_V6),
        format!("[{}]", Internet::NEIGHBOUR_V6),
    ];
    for host in own.iter().map(String::as_str).chain(["own.example"]) {
        let internet = Internet::default()
            .name("a.example", &[&["1.2.3.4"]])
            .name("own.example", &[&[Internet::NEIGHBOUR_V4]]);
        let url = format!("http://a.example/to?http://{host}:81/");
        let (finished, packets) = fetch_on(&internet, &["-L", &url]);
        finished.assert_failure(126, &["this machine", "--allow-connect"]);
        assert_eq!(packets, ["tcp 1.2.3.4:80"], "{host}");
        // The user may go there.
        let url = format!("http://{host}/");
        let (finished, packets) = fetch_on(&internet, &[&url]);
        finished.assert_quiet_success();
        assert_eq!(packets.len(), 1, "{host}");
    }
    drop(internet);
}

#[test]
fn names_below_localhost_are_this_machine() {
    let peer = hello();
    let port = peer.address().port();
    for host in ["app.localhost", "a.b.localhost", "APP.LOCALHOST."] {
        fetch(&[&format!("http://{host}:{port}/")])
            .assert_quiet_success()
            .assert_stdout(b"hello");
    }
    // An option of the user overrides this.
    let two = RawPeer::start_on(&format!("127.0.0.2:{port}"), |peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
    });
    let pin = format!("app.localhost:{port}:127.0.0.2");
    fetch(&["--resolve", &pin, &format!("http://app.localhost:{port}/")])
        .assert_quiet_success()
        .assert_stdout(b"two");
    drop(two);
    // A server may not redirect there.
    let tripwire = Tripwire::new();
    let port = tripwire.address().port();
    let location = format!("http://app.localhost:{port}/");
    let flag = format!("--allow-connect app.localhost:{port}");
    fetch(&["-L", &redirecting_to(&location).url("/")]).assert_failure(126, &[&flag]);
    tripwire.assert_untouched();
}

#[test]
fn a_flag_allows_what_the_server_names() {
    let aim = hello();
    let port = aim.address().port();
    let peer = redirecting_to(&format!("http://localhost:{port}/"));
    for rule in [
        format!("localhost:{port}"),
        "localhost".to_owned(),
        format!("localhost:{}-{port}", port - 1),
    ] {
        fetch(&["-L", "--allow-connect", &rule, &peer.url("/")])
            .assert_quiet_success()
            .assert_stdout(b"hello");
    }
    // By its address, too, where an address is what the server names.
    let peer = redirecting_to(&format!("http://127.0.0.2:{port}/"));
    let two = RawPeer::start_on(&format!("127.0.0.2:{port}"), |peer: &mut Peer| {
        peer.read_request()?;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
    });
    for rule in [two.address().to_string(), "127.0.0.0/8".to_owned()] {
        fetch(&["-L", "--allow-connect", &rule, &peer.url("/")])
            .assert_quiet_success()
            .assert_stdout(b"two");
    }
    // Another port is another target.
    let other = format!("localhost:{}", port.wrapping_add(1).max(1));
    let peer = redirecting_to(&format!("http://localhost:{port}/"));
    let before = aim.connections();
    fetch(&["-L", "--allow-connect", &other, &peer.url("/")]).assert_failure(126, &["localhost"]);
    assert_eq!(aim.connections(), before);
}

#[test]
fn rules_that_cannot_be_read() {
    for rule in [
        "http://localhost/",
        "localhost:99999",
        "localhost:90-80",
        "127.0.0.1/8",
        "::1:80",
        "",
    ] {
        let finished = fetch(&["--allow-connect", rule, "http://127.0.0.1:1/"]);
        finished.assert_code(2).assert_stdout(b"");
        assert!(
            finished.stderr().contains("--allow-connect"),
            "{rule:?}: the flag isn't named"
        );
    }
}

#[test]
fn a_typed_host_is_followed_to_any_port() {
    let aim = hello();
    let peer = redirecting_to(&aim.url("/"));
    fetch(&["-L", &peer.url("/")])
        .assert_quiet_success()
        .assert_stdout(b"hello");
    // A name that the user gave is granted too, at any address.
    let by_name = |address: SocketAddr| format!("http://localhost:{}/", address.port());
    let peer = redirecting_to(&by_name(aim.address()));
    fetch(&["-L", &by_name(peer.address())])
        .assert_quiet_success()
        .assert_stdout(b"hello");
    // But a name is not its address, nor the other way round.
    let peer = redirecting_to(&aim.url("/"));
    let before = aim.connections();
    fetch(&["-L", &by_name(peer.address())]).assert_failure(126, &["127.0.0.1"]);
    assert_eq!(aim.connections(), before);
}

/// Assert how a fetch ends that a server redirects to each of these hosts: on a network of its own, whose
/// packets go nowhere.
fn assert_redirected(hole: &BlackHole, hosts: &[&str], code: i32) {
    for host in hosts {
        eprintln!("redirected to {host}");
        let url = format!("http://{}/to?http://{host}/", BlackHole::GOOD_V4);
        let (finished, asked) = hole.run(Program::sockbox(["fetch", "-L", "-m", "20", &url]));
        finished.assert_code(code);
        if code == 126 {
            finished.assert_failure(126, &["--allow-connect"]);
        }
        assert_eq!(asked, [BlackHole::GOOD_V4], "{host}");
    }
}

#[test]
fn a_server_cannot_send_us_into_this_network() {
    let Some(hole) = BlackHole::new() else { return };
    let special = [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "203.0.113.3",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::1]",
        // The same address, written as old programs read it.
        "0xa000001",
        "012.0.0.1",
        // A name whose addresses are for documentation (RFC 5737, RFC 3849).
        BlackHole::SIX_FIRST,
        "localhost",
    ];
    assert_redirected(&hole, &special, 126);
}

#[test]
fn the_public_network_is_open_to_redirects() {
    let Some(hole) = BlackHole::new() else { return };
    // Allowed, but there is no route.
    let public = ["198.41.0.4", "198.41.0.4:8080", "[2001:503:ba3e::2:30]"];
    assert_redirected(&hole, &public, 7);
    // A host that the user gave is reached again, at any address.
    let url = format!("http://{0}/to?http://{0}/", BlackHole::GOOD_V4);
    let (finished, asked) = hole.run(Program::sockbox(["fetch", "-L", &url]));
    finished.assert_quiet_success().assert_stdout(b"hello");
    assert_eq!(asked, [BlackHole::GOOD_V4; 2]);
}

/// The values of a field in a request.
fn values(request: &str, name: &str) -> Vec<String> {
    let lines = request.split("\r\n").skip(1);
    let fields = lines.filter_map(|line| line.split_once(": "));
    fields
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[test]
fn secrets_stay_with_their_origin_and_do_not_come_back() {
    // From this server to another one and back: the other server may have written the URL that leads
    // back.
    let there = RawPeer::start(|peer: &mut Peer| {
        let request = peer.read_request()?;
        let request = String::from_utf8_lossy(&request).into_owned();
        let back = values(&request, "X-Back").concat();
        peer.send(format!(
            "HTTP/1.1 302 Found\r\nLocation: {back}\r\nContent-Length: 0\r\n\r\n"
        ))
    });
    let away = there.url("/there");
    let here = RawPeer::start(move |peer: &mut Peer| {
        let request = peer.read_request()?;
        if request.starts_with(b"GET /back ") {
            return peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
        peer.send(format!(
            "HTTP/1.1 302 Found\r\nLocation: {away}\r\nContent-Length: 0\r\n\r\n"
        ))
    });
    let back = format!("X-Back: {}", here.url("/back"));
    let args = ["-L", "-u", "me:secret", "-H", "Cookie: a=b", "-H", &back];
    fetch(&[&args[..], &[&here.url("/")]].concat())
        .assert_quiet_success()
        .assert_stdout(b"hello");
    let requests = [here.requests(), there.requests()].concat();
    let [first, back, there] = &requests[..] else {
        panic!("{} requests, not 3", requests.len())
    };
    assert_eq!(values(first, "Authorization"), ["Basic bWU6c2VjcmV0"]);
    assert_eq!(values(first, "Cookie"), ["a=b"]);
    for later in [there, back] {
        assert_eq!(values(later, "Authorization"), [""; 0]);
        assert_eq!(values(later, "Cookie"), [""; 0]);
        assert_eq!(
            values(later, "X-Back").len(),
            1,
            "what is no secret goes along"
        );
    }
}

#[test]
fn passwords_of_urls_are_for_those_urls() {
    let aim = hello();
    let with_password = format!("http://you:yours@{}/", aim.address());
    for (location, expected) in [
        (aim.url("/"), vec![]),
        (with_password, vec!["Basic eW91OnlvdXJz"]),
    ] {
        let peer = redirecting_to(&location);
        let url = format!("http://me:mine@{}/", peer.address());
        fetch(&["-L", &url]).assert_quiet_success();
        assert_eq!(
            values(&peer.requests()[0], "Authorization"),
            ["Basic bWU6bWluZQ=="]
        );
        let requests = aim.requests();
        let last = requests.last().expect("a request");
        assert_eq!(values(last, "Authorization"), expected, "{location}");
    }
}

#[test]
fn only_the_last_page_is_saved() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page");
    fetch(&[
        "-L",
        "-s",
        "-o",
        file.to_str().unwrap(),
        &node.url("/hops/3"),
    ])
    .assert_quiet_success();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "arrived\n");
}

#[test]
fn redirects_that_cannot_be_followed() {
    for (location, code, words) in [
        ("ftp://127.0.0.1/", 1, &["ftp"][..]),
        ("file:///etc/passwd", 1, &["file"]),
        ("http://127.0.0.1:99999/", 8, &["Location"]),
        ("http://", 8, &["Location"]),
        ("/a\r\nLocation: /b", 8, &["Location"]),
    ] {
        eprintln!("redirected to {location}");
        let peer = redirecting_to(location);
        fetch(&["-L", &peer.url("/")]).assert_failure(code, words);
        // Without -L none of this matters.
        fetch(&[&peer.url("/")]).assert_quiet_success();
        assert_eq!(peer.requests().len(), 2);
    }
}

#[test]
fn odd_locations_that_lead_somewhere() {
    for (location, target) in [
        ("d", "/a/d"),
        ("/d", "/d"),
        ("?d", "/a/b?d"),
        ("#d", "/a/b?c"),
        ("./../d", "/d"),
        ("d e", "/a/d%20e"),
        ("\u{e4}", "/a/%C3%A4"),
        ("/%ff", "/%ff"),
        ("  /d  ", "/d"),
        ("/d\r\nLocation: /d", "/d"),
        ("HTTP://127.0.0.1:{port}/d", "/d"),
    ] {
        eprintln!("redirected to {location:?}");
        let peer = RawPeer::start(move |peer: &mut Peer| {
            peer.read_request()?;
            if peer.number() > 1 {
                return peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
            let port = peer.local_port()?.to_string();
            let location = location.replace("{port}", &port);
            peer.send(format!(
                "HTTP/1.1 302 Found\r\nLocation: {location}\r\nConnection: close\r\n\r\n"
            ))
        });
        fetch(&["-L", &peer.url("/a/b?c")])
            .assert_quiet_success()
            .assert_stdout(b"hello");
        let requests = peer.requests();
        let second = requests[1].split("\r\n").next();
        assert_eq!(second, Some(format!("GET {target} HTTP/1.1").as_str()));
    }
}

#[test]
fn a_loop_ends_and_says_so() {
    let node = Node::start();
    let finished = fetch(&[
        "-L",
        "-o",
        "/dev/null",
        "--max-redirs",
        "5",
        &node.url("/loop"),
    ]);
    finished.assert_failure(47, &["5", "redirect"]);
    // There is a default limit.
    let finished = fetch(&["-L", "-o", "/dev/null", &node.url("/loop")]);
    finished.assert_failure(47, &["30", "redirect"]);
}

#[test]
fn time_is_up_for_all_hops_together() {
    // Each hop is quick enough by itself.
    let peer = RawPeer::start(|peer: &mut Peer| {
        while peer.read_request().is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(100));
            peer.send("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    fetch(&["-L", "--max-redirs", "1000", "-m", "0.5", &peer.url("/")])
        .assert_failure(28, &["500ms"]);
}
