//! Following redirects, and where they may lead.

use crate::peer::{Shared, response};
use crate::site::{Asked, Site, redirect};
use crate::{MOMENT, instance};
use sockbox::policy::Target;
use sockbox::{
    AuditEvent, Body, Error, Policy, Request, Response, Sandbox, Stage, TimeBound, origin_of,
};
use std::io::Cursor;
use std::sync::{Arc, Mutex};

/// Answers `/STATUS/LOCATION` with that redirect, `/hang` after a while, and any other path with a page
/// that names the path.
fn site() -> Site {
    Site::new(|asked: &Asked| {
        let (_, path) = asked.line().split_once(' ').unwrap();
        if path == "/hang" {
            std::thread::sleep(40 * MOMENT);
        }
        match path[1..].split_once('/') {
            Some((status, location)) if status.starts_with('3') => {
                redirect(status.parse().unwrap(), location)
            }
            _ => {
                let body = String::from_utf8_lossy(&asked.body);
                response(format!("{} {body}", asked.line()).as_bytes())
            }
        }
    })
}

fn typed(url: &str) -> Policy {
    Policy::new()
        .allow_origin(origin_of(url).unwrap())
        .allow_redirects()
}

async fn text(response: &mut Response<'_>) -> String {
    let output = Shared::default();
    response.write_to(output.clone()).await.unwrap();
    String::from_utf8(output.bytes()).unwrap()
}

fn failed(result: sockbox::Result<Response<'_>>) -> Error {
    result.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_response_tells_where_it_redirects_to() {
    let site = site();
    let here = |path: &str| site.url(path);
    let mut instance = instance(typed(&here("/"))).await;
    for (method, path, url, method_there, sends_body, cross_origin) in [
        ("GET", "/302//other", here("/other"), "GET", false, false),
        ("GET", "/301/other", here("/301/other"), "GET", false, false),
        ("GET", "/302/?q#f", here("/302/?q"), "GET", false, false),
        ("POST", "/302//other", here("/other"), "GET", false, false),
        ("PUT", "/302//other", here("/other"), "PUT", true, false),
        ("HEAD", "/303//other", here("/other"), "HEAD", false, false),
        ("PUT", "/303//other", here("/other"), "GET", false, false),
        ("POST", "/307//other", here("/other"), "POST", true, false),
        ("POST", "/308//other", here("/other"), "POST", true, false),
        (
            "GET",
            "/302/https://named.example/a",
            "https://named.example/a".to_owned(),
            "GET",
            false,
            true,
        ),
    ] {
        let mut request = Request::new(method, here(path));
        if ["POST", "PUT"].contains(&method) {
            request = request.body("a body");
        }
        let mut response = instance.fetch(request).await.unwrap();
        let redirect = response.redirect().await.unwrap().unwrap();
        let told = (
            redirect.url,
            redirect.method.as_str(),
            redirect.sends_body,
            redirect.cross_origin,
        );
        let expected = (url, method_there, sends_body, cross_origin);
        assert_eq!(told, expected, "{method} {path}");
        // A second call returns the same.
        assert!(response.redirect().await.unwrap().is_some());
    }
    for path in ["/", "/304//other", "/300//other"] {
        let mut response = instance.fetch(Request::get(here(path))).await.unwrap();
        assert_eq!(response.redirect().await.unwrap(), None, "{path}");
        let error = failed(response.follow(Body::empty()).await);
        assert!(
            matches!(&error, Error::InvalidRequest { reason } if reason.contains("redirect")),
            "{path}: {error:?}"
        );
    }
}

#[tokio::test]
async fn redirects_are_followed_one_by_one() {
    let site = site();
    let mut instance = instance(typed(&site.url("/"))).await;
    let request = Request::get(site.url("/302//301//last"));
    let mut response = instance.fetch(request).await.unwrap();
    let mut seen = Vec::new();
    while response.redirect().await.unwrap().is_some() {
        seen.push((response.status(), response.url().to_owned()));
        response = response.follow(Body::empty()).await.unwrap();
    }
    assert_eq!(
        seen,
        [
            (302, site.url("/302//301//last")),
            (301, site.url("/301//last"))
        ]
    );
    assert_eq!(response.status(), 200);
    assert_eq!(response.url(), site.url("/last"));
    assert_eq!(response.remote_address(), site.address);
    assert!(response.reused());
    assert_eq!(text(&mut response).await, "GET /last ");
    drop(response);
    assert_eq!(
        site.lines(),
        ["GET /302//301//last", "GET /301//last", "GET /last"]
    );
    let connections: Vec<_> = site.asked().iter().map(|it| it.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn a_body_is_sent_again_where_it_should_be() {
    let site = site();
    let mut instance = instance(typed(&site.url("/"))).await;
    type Again = fn() -> Body;
    let table: [(u16, Again, &str); 5] = [
        (307, || Body::bytes(""), "POST / "),
        (307, || Body::bytes("again"), "POST / again"),
        (
            308,
            || Body::reader(Cursor::new("read again"), Some(10)),
            "POST / read again",
        ),
        (302, || Body::bytes("again"), "GET / "),
        (303, || Body::reader(Cursor::new("again"), None), "GET / "),
    ];
    for (status, again, expected) in table {
        let request = Request::new("POST", site.url(&format!("/{status}//"))).body("once");
        let response = instance.fetch(request).await.unwrap();
        assert_eq!(response.uploaded(), 4);
        let mut response = response.follow(again()).await.unwrap();
        assert_eq!(text(&mut response).await, expected, "{status}");
    }

    let request = Request::new("POST", site.url("/307//")).body("once");
    let response = instance.fetch(request).await.unwrap();
    let error = failed(response.follow(Body::empty()).await);
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error:?}");
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let (here, there) = (site(), site());
    let mut instance = instance(typed(&here.url("/"))).await;
    for (location, expected) in [(here.url("/"), Some("secret")), (there.url("/"), None)] {
        let request = Request::get(here.url(&format!("/302/{location}")))
            .header("Authorization", "secret")
            .header("X-Other", "kept");
        let response = instance.fetch(request).await.unwrap();
        response.follow(Body::empty()).await.unwrap();
        let asked = if expected.is_some() { &here } else { &there };
        let last = asked.asked().pop().unwrap();
        assert_eq!(last.header("authorization"), expected, "{location}");
        assert_eq!(last.header("x-other"), Some("kept"), "{location}");
    }
}

#[tokio::test]
async fn a_redirect_needs_its_grant() {
    let (here, there) = (site(), site());
    let to_there = here.url(&format!("/302/{}", there.url("/")));
    let only_here = Policy::new().allow_origin(origin_of(&here.url("/")).unwrap());
    for (policy, allowed) in [
        (only_here.clone(), false),
        // The user's own host, at another port.
        (only_here.clone().allow_redirects(), true),
        (only_here.clone().allow_connect(there.address), true),
        (
            only_here
                .allow_connect_to(&there.address.to_string())
                .unwrap(),
            true,
        ),
    ] {
        let before = there.lines().len();
        let mut instance = instance(policy.clone()).await;
        let response = instance.fetch(Request::get(&to_there)).await.unwrap();
        let followed = response.follow(Body::empty()).await.map(|_| ());
        match (followed, allowed) {
            (Ok(()), true) => {}
            (Err(Error::Denied { target, .. }), false) => {
                assert_eq!(target, Target::Connect(there.address));
            }
            (followed, _) => panic!("{policy:?}: {followed:?}"),
        }
        assert_eq!(
            there.lines().len() - before,
            usize::from(allowed),
            "{policy:?}"
        );
        // The grant of the redirect ends with it.
        let again = instance.fetch(Request::get(there.url("/"))).await;
        let granted = policy.rules().len() == 2;
        assert_eq!(again.is_ok(), granted, "{policy:?}");
    }
}

#[tokio::test]
async fn a_server_leads_nowhere_but_to_public_addresses() {
    let here = site();
    // No client connects here.
    let there = Site::on([127, 0, 0, 2].into(), |_| response(b"secret"));
    let port = there.address.port();
    let denials = Arc::new(Mutex::new(Vec::new()));
    let mut recorded = std::collections::HashSet::new();
    let sink = {
        let denials = denials.clone();
        move |event: &AuditEvent| {
            if event.is_denial() {
                denials.lock().unwrap().push(event.to_string());
            }
        }
    };
    let sandbox = Sandbox::new().unwrap();
    let builder = sandbox.instance().policy(typed(&here.url("/"))).audit(sink);
    let mut instance = builder.build().await.unwrap();
    for (host, refused, special, flag) in [
        ("127.0.0.2", "connect to 127.0.0.2", "loopback", "127.0.0.2"),
        (
            "2130706434",
            "connect to 127.0.0.2",
            "loopback",
            "127.0.0.2",
        ),
        ("0x7f.2", "connect to 127.0.0.2", "loopback", "127.0.0.2"),
        (
            "0177.0.0.2",
            "connect to 127.0.0.2",
            "loopback",
            "127.0.0.2",
        ),
        ("127.0.2", "connect to 127.0.0.2", "loopback", "127.0.0.2"),
        (
            "%31%32%37.0.0.2",
            "connect to 127.0.0.2",
            "loopback",
            "127.0.0.2",
        ),
        (
            "me:secret@127.0.0.2",
            "connect to 127.0.0.2",
            "loopback",
            "127.0.0.2",
        ),
        ("0.0.0.0", "connect to 0.0.0.0", "unspecified", "0.0.0.0"),
        ("[::1]", "connect to [::1]", "loopback", "[::1]"),
        (
            "169.254.169.254",
            "connect to 169.254.169.254",
            "cloud metadata",
            "169.254.169.254",
        ),
        (
            "[64:ff9b::7f00:2]",
            "connect to [64:ff9b::7f00:2]",
            "loopback",
            "[64:ff9b::7f00:2]",
        ),
        (
            "[2002:7f00:2::]",
            "connect to [2002:7f00:2::]",
            "6to4",
            "[2002:7f00:2::]",
        ),
        (
            "[::127.0.0.2]",
            "connect to [::7f00:2]",
            "IPv4-compatible",
            "[::7f00:2]",
        ),
        (
            "[::ffff:127.0.0.2]",
            "connect to 127.0.0.2",
            "loopback",
            "127.0.0.2",
        ),
        ("localhost", "resolve localhost", "loopback", "localhost"),
        ("LOCALHOST.", "resolve localhost", "loopback", "localhost"),
    ] {
        denials.lock().unwrap().clear();
        let url = here.url(&format!("/302/http://{host}:{port}/"));
        let response = instance.fetch(Request::get(url)).await.unwrap();
        let error = failed(response.follow(Body::empty()).await);
        let Error::Denied { target, reason, .. } = &error else {
            panic!("{host}: {error:?}");
        };
        let (target, flag) = match target {
            Target::Resolve(_) => (refused.to_owned(), format!("{flag}:{port}")),
            _ => (format!("{refused}:{port}"), format!("{flag}:{port}")),
        };
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("not allowed to {target}: ")),
            "{message}"
        );
        assert!(message.contains(special), "{message}");
        assert!(
            message.ends_with(&format!(" (allow-connect {flag} would allow it)")),
            "{message}"
        );
        assert!(reason.to_string().contains("public"), "{reason}");
        let denied = format!("denied: {}", &message["not allowed to ".len()..]);
        // The same denial under another spelling is counted as a repetition.
        let expected = match recorded.insert(denied.clone()) {
            true => vec![denied],
            false => Vec::new(),
        };
        assert_eq!(*denials.lock().unwrap(), expected);
        // And its value does.
        Policy::new().allow_connect_to(&flag).unwrap();
    }
    assert_eq!(there.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn a_server_leads_where_a_flag_says() {
    let here = site();
    let there = Site::on([127, 0, 0, 2].into(), |_| response(b"hello"));
    let port = there.address.port();
    for (granted, host, pinned) in [
        (format!("127.0.0.2:{port}"), "127.0.0.2", false),
        ("127.0.0.2".to_owned(), "127.0.0.2", false),
        ("127.0.0.2/31".to_owned(), "2130706434", false),
        // The name is the server's, and its address the user's.
        ("127.0.0.2".to_owned(), "named.example", true),
    ] {
        let policy = typed(&here.url("/")).allow_connect_to(&granted).unwrap();
        let mut instance = instance(policy).await;
        let url = here.url(&format!("/302/{}", there.url_at(host, "/")));
        let mut request = Request::get(url);
        if pinned {
            request = request.static_host("NAMED.example", port, [there.address.ip()]);
        }
        let response = instance.fetch(request).await.unwrap();
        let mut response = response.follow(Body::empty()).await.unwrap();
        assert_eq!(text(&mut response).await, "hello", "{granted}");
    }
}

#[tokio::test]
async fn a_flag_grants_a_name_wherever_it_is() {
    let (here, there) = (site(), site());
    let port = there.address.port();
    let policy = typed(&here.url("/"))
        .allow_connect_to(&format!("localhost:{port}"))
        .unwrap();
    let mut instance = instance(policy).await;
    for (port, granted) in [(port, true), (here.address.port(), false)] {
        let url = here.url(&format!("/302/http://localhost:{port}/"));
        let response = instance.fetch(Request::get(url)).await.unwrap();
        let followed = response.follow(Body::empty()).await.map(|_| ());
        match (followed, granted) {
            (Ok(()), true) => {}
            (Err(Error::Denied { target, reason, .. }), false) => assert_eq!(
                reason.hint(&target, None).map(|hint| hint.to_string()),
                Some(format!("allow-connect localhost:{port}"))
            ),
            (followed, _) => panic!("{followed:?}"),
        }
    }
    assert_eq!(there.lines(), ["GET /"]);
}

#[tokio::test]
async fn a_redirect_is_granted_as_long_as_its_response_lives() {
    let (here, there) = (site(), site());
    let mut instance = instance(typed(&here.url("/"))).await;
    let to_there = here.url(&format!("/302/{}", there.url("/302//last")));
    let response = instance.fetch(Request::get(to_there)).await.unwrap();
    let response = response.follow(Body::empty()).await.unwrap();
    let response = response.follow(Body::empty()).await.unwrap();
    assert_eq!(response.url(), there.url("/last"));
    drop(response);
    // A new connection would be needed.
    let request = Request::get(there.url("/")).close_connection(true);
    let error = failed(instance.fetch(request).await);
    assert!(
        matches!(&error, Error::Denied { target: Target::Connect(to), .. } if *to == there.address),
        "{error:?}"
    );
    assert_eq!(there.lines(), ["GET /302//last", "GET /last"]);
}

#[tokio::test]
async fn a_name_of_the_users_is_followed_wherever_it_is() {
    let (here, there) = (site(), site());
    let typed_url = here.url_at(
        "localhost",
        &format!("/302/{}", there.url_at("LOCALHOST", "/")),
    );
    let mut instance = instance(typed(&typed_url)).await;
    let response = instance.fetch(Request::get(typed_url)).await.unwrap();
    let mut response = response.follow(Body::empty()).await.unwrap();
    assert_eq!(response.remote_address(), there.address);
    assert_eq!(text(&mut response).await, "GET / ");
}

#[tokio::test]
async fn a_loop_ends() {
    let site = Site::new(|_| redirect(302, "/"));
    for max in [0, 1, 3] {
        let before = site.lines().len();
        let mut instance = instance(typed(&site.url("/"))).await;
        let request = Request::get(site.url("/")).max_redirects(max);
        let mut response = instance.fetch(request).await.unwrap();
        for _ in 0..max {
            response = response.follow(Body::empty()).await.unwrap();
        }
        let error = failed(response.follow(Body::empty()).await);
        assert!(
            matches!(error, Error::TooManyRedirects { limit } if limit == max),
            "{error:?}"
        );
        assert_eq!(site.lines().len() - before, max as usize + 1);
    }
}

#[tokio::test]
async fn what_cannot_be_followed_is_told() {
    let site = site();
    let mut instance = instance(typed(&site.url("/"))).await;
    for (location, expected) in [
        ("ftp://127.0.0.1/", "UnsupportedScheme { scheme: \"ftp\" }"),
        (
            "file:///etc/passwd",
            "UnsupportedScheme { scheme: \"file\" }",
        ),
        ("http://a%20b/", "Protocol"),
    ] {
        let url = site.url(&format!("/302/{location}"));
        let response = instance.fetch(Request::get(url)).await.unwrap();
        let error = failed(response.follow(Body::empty()).await);
        assert!(
            format!("{error:?}").starts_with(expected),
            "{location}: {error:?}"
        );
        // The instance can still be used.
        instance.fetch(Request::get(site.url("/"))).await.unwrap();
    }
}

#[tokio::test]
async fn the_whole_time_is_that_of_all_redirects() {
    let site = site();
    let mut instance = instance(typed(&site.url("/"))).await;
    let limit = 10 * MOMENT;
    let request = Request::get(site.url("/302//hang")).total_timeout(limit);
    let response = instance.fetch(request).await.unwrap();
    tokio::time::sleep(MOMENT).await;
    let error = failed(response.follow(Body::empty()).await);
    assert!(
        matches!(
            error,
            Error::Timeout {
                stage: Stage::FirstByte,
                bound: TimeBound::Total,
                limit: found,
                received: 0,
                ..
            } if found == limit
        ),
        "{error:?}"
    );
}
