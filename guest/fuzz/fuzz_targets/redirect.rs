//! Wherever a `Location` leads, it is a URL, and one that can be asked for if it is `http`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sockbox_fuzz::assert_one_request;
use sockbox_guest::fetch::{FetchError, Redirect};
use sockbox_guest::http1::{Header, RequestFraming, RequestHead, ResponseHead};
use sockbox_guest::url::{self, Url};

const BASES: [&str; 4] = [
    "http://host.example/dir/sub/page?query",
    "http://127.0.0.1:8080/",
    "http://[::1]/a//b/../c",
    "http://xn--mnchen-3ya.example/%ff?%",
];

fuzz_target!(|input: &[u8]| {
    let [base, location @ ..] = input else { return };
    let base = BASES[usize::from(*base) % BASES.len()];
    let head = ResponseHead {
        minor_version: 1,
        status: 307,
        reason: String::new(),
        headers: vec![Header {
            name: "Location".to_owned(),
            value: location.to_vec(),
        }],
        raw: Vec::new(),
    };
    let redirect = match Redirect::of("POST", base, true, &head) {
        Ok(Some(redirect)) => redirect,
        Ok(None) => return assert!(location.is_empty()),
        Err(error) => return assert!(matches!(error, FetchError::Protocol(_)), "{error:?}"),
    };
    let to = Url::parse(&redirect.url).expect("a URL");
    assert_eq!(
        to.as_str(),
        redirect.url,
        "written as the standard writes it"
    );
    assert!(redirect.url.is_ascii() && to.fragment().is_none());
    assert!(!redirect.url.bytes().any(|byte| byte.is_ascii_control()));
    let from = Url::parse(base).expect("a URL");
    let same = (to.scheme(), to.host_str(), to.port_or_known_default())
        == (from.scheme(), from.host_str(), from.port_or_known_default());
    assert_eq!(redirect.cross_origin, !same, "{}", redirect.url);
    if to.scheme() == "http" {
        let target = url::parse(&redirect.url).expect("what was checked");
        let request = RequestHead {
            method: "POST",
            target: &target.path,
            host: &target.authority,
            user_agent: "x",
            accept_encoding: None,
            headers: &[],
            omit: &[],
            body: RequestFraming::Length(0),
            expect_continue: false,
            close: false,
        };
        let head = request.encode().expect("a URL can be asked for");
        assert_one_request(&head, "POST", 4);
    }
});
