//! Whatever is typed behind `-H`, no request gets more fields than that one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sockbox_fuzz::assert_one_request;
use sockbox_grammar::header::{Line, parse};
use sockbox_guest::http1::{Header, RequestFraming, RequestHead};

fuzz_target!(|input: &[u8]| {
    let (headers, omit) = match parse(input) {
        Ok(Line::Send { name, value }) => (vec![Header { name, value }], Vec::new()),
        Ok(Line::Omit { name }) => (Vec::new(), vec![name]),
        Err(error) => {
            let why = error.to_string();
            return assert!(!why.chars().any(char::is_control), "{why:?}");
        }
    };
    let request = RequestHead {
        method: "GET",
        target: "/",
        host: "host.example",
        user_agent: "x",
        accept_encoding: None,
        headers: &headers,
        omit: &omit,
        body: RequestFraming::None,
        expect_continue: false,
        close: false,
    };
    if let Ok(head) = request.encode() {
        let told = |name: &&&str| {
            let omitted = omit
                .iter()
                .any(|omitted| omitted.eq_ignore_ascii_case(name));
            omitted || headers.iter().any(|header| header.is(name))
        };
        let ours = ["Host", "User-Agent", "Accept"];
        let told = ours.iter().filter(told).count();
        assert_one_request(&head, "GET", headers.len() + ours.len() - told);
    }
});
