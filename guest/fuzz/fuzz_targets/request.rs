//! Whatever goes into a request, what comes out is one request, or none.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sockbox_fuzz::assert_one_request;
use sockbox_guest::http1::{Header, RequestFraming, RequestHead};
use sockbox_guest::url;

fuzz_target!(|input: &[u8]| {
    // The parts are cut by a byte that no text has.
    let mut parts = input.split(|&byte| byte == 0xff);
    let mut text = || {
        parts
            .next()
            .map(|part| String::from_utf8_lossy(part).into_owned())
    };
    let (Some(method), Some(address), Some(agent)) = (text(), text(), text()) else {
        return;
    };
    let mut headers = Vec::new();
    while let Some(name) = text() {
        let value = text().unwrap_or_default().into_bytes();
        headers.push(Header { name, value });
    }
    // What the URL is to be is read as a path as well, past the URL parser.
    let parsed = url::parse(&address);
    let targets = [
        parsed
            .as_ref()
            .ok()
            .map(|url| (&url.path[..], &url.authority[..])),
        Some((&address[..], "host.example")),
        Some(("/", &address[..])),
    ];
    for (target, host) in targets.into_iter().flatten() {
        let request = RequestHead {
            method: &method,
            target,
            host,
            user_agent: &agent,
            accept_encoding: Some("gzip"),
            headers: &headers,
            omit: &[],
            body: RequestFraming::Length(5),
            expect_continue: true,
            close: true,
        };
        let Ok(head) = request.encode() else { continue };
        let sets = |name: &str| headers.iter().any(|header| header.is(name));
        let ours = ["Host", "User-Agent", "Accept", "Accept-Encoding"];
        let ours = ours.iter().filter(|name| !sets(name)).count();
        // Connection, Content-Length and Expect, which nobody else may set.
        assert_one_request(&head, &method, headers.len() + ours + 3);
    }
    // What the URL parser makes of anything can be asked for.
    if let Ok(url) = parsed {
        let request = RequestHead {
            method: "GET",
            target: &url.path,
            host: &url.authority,
            user_agent: "x",
            accept_encoding: None,
            headers: &[],
            omit: &[],
            body: RequestFraming::None,
            expect_continue: false,
            close: false,
        };
        let head = request.encode().expect("a URL can be asked for");
        assert_one_request(&head, "GET", 3);
    }
});
