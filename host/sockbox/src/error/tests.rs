use super::*;
use sockbox_wasi::tls::{CertificateProblem, TlsFailure};

#[test]
fn no_text_of_an_error_can_steer_a_terminal() {
    let text = || "a\u{1b}[2J\u{9b}31m\u{202e}\u{e0041}\nsockbox: forged".to_owned();
    let file = || PathBuf::from(text());
    let (reason, source) = (NetworkError::Other, || io::ErrorKind::NotFound.into());
    let (url, host) = (text, text);
    let errors = [
        Error::InvalidUrl {
            url: url(),
            reason: text(),
        },
        Error::UnsupportedScheme { scheme: text() },
        Error::InvalidRequest { reason: text() },
        Error::InvalidOptions { reason: text() },
        Error::Denied {
            target: Target::Connect("192.0.2.1:80".parse().unwrap()),
            reason: DenialReason::Decider { reason: text() },
            name: None,
        },
        Error::InsecureRedirect { url: url() },
        Error::ResolveFailed {
            host: host(),
            reason,
        },
        Error::ConnectFailed {
            host: host(),
            attempts: Vec::new(),
        },
        Error::Tls(TlsError::Trust {
            file: file(),
            reason: text(),
        }),
        Error::Tls(TlsError::ClientCertificate {
            file: file(),
            reason: text(),
        }),
        Error::Tls(TlsError::CertificateRejected {
            host: host(),
            problem: CertificateProblem::Other {
                reason: text(),
                certificate: None,
            },
        }),
        Error::Tls(TlsError::Handshake {
            host: host(),
            reason: TlsFailure::Other { reason: text() },
        }),
        Error::Tls(TlsError::Handshake {
            host: host(),
            reason: TlsFailure::InvalidName { name: text() },
        }),
        Error::Tls(TlsError::Broken {
            reason: TlsFailure::Broken { reason: text() },
        }),
        Error::Tls(TlsError::Broken {
            reason: TlsFailure::Alert { name: text() },
        }),
        Error::Protocol { reason: text() },
        Error::ContentEncoding { reason: text() },
        Error::Read {
            file: file(),
            source: source(),
        },
    ];
    let hazard = |error: &String| error.contains(sockbox_printable::is_hazard);
    for error in errors {
        let shown = error.to_string();
        assert!(!hazard(&shown), "{shown:?}");
    }
    // These have lines of their own.
    for error in [
        Error::NotRunnable {
            file: Some(file()),
            problem: text(),
        },
        Error::Trapped {
            reason: text(),
            backtrace: None,
        },
        Error::Internal { message: text() },
    ] {
        let shown = error.to_string().replace('\n', "");
        assert!(!hazard(&shown), "{shown:?}");
    }
}

#[test]
fn errors_can_be_read_by_people() {
    let refused = |address: &str| {
        ConnectFailure::new(address.parse().unwrap(), NetworkError::ConnectionRefused)
    };
    let table = [
        (
            Error::ConnectFailed {
                host: "0.0.0.0".to_owned(),
                attempts: vec![refused("0.0.0.0:81"), refused("[::]:81")],
            },
            "could not connect to 0.0.0.0: 0.0.0.0:81: this address can only be listened on \
             (to reach this machine, connect to 127.0.0.1); [::]:81: this address can only be \
             listened on (to reach this machine, connect to [::1])",
        ),
        (
            Error::ConnectFailed {
                host: "localhost".to_owned(),
                attempts: vec![refused("[::1]:81"), refused("127.0.0.1:81")],
            },
            "could not connect to localhost: [::1]:81: connection refused; \
             127.0.0.1:81: connection refused",
        ),
        (
            Error::Denied {
                target: Target::Connect("192.0.2.1:80".parse().unwrap()),
                name: None,
                reason: DenialReason::NoRule,
            },
            "not allowed to connect to 192.0.2.1:80: no rule grants it (allow-connect \
             192.0.2.1:80 would)",
        ),
        (
            Error::Denied {
                target: Target::Connect("192.0.2.1:80".parse().unwrap()),
                name: Some("example.com".parse().unwrap()),
                reason: DenialReason::NoRule,
            },
            "not allowed to connect to 192.0.2.1:80 (example.com): no rule grants it \
             (allow-connect example.com:80 would)",
        ),
        (
            Error::IncompleteBody {
                received: 10,
                expected: Some(20),
            },
            "the server closed the connection too early: 10 of 20 bytes received",
        ),
        (
            Error::IncompleteBody {
                received: 10,
                expected: None,
            },
            "the server closed the connection too early: 10 bytes received",
        ),
        (
            Error::Timeout {
                stage: Stage::Connect,
                bound: TimeBound::Stage,
                limit: Duration::from_millis(1500),
                received: 0,
            },
            "connecting took longer than 1.5s, 0 bytes of the body received",
        ),
        (
            Error::Timeout {
                stage: Stage::Body,
                bound: TimeBound::Total,
                limit: Duration::from_secs(2),
                received: 7,
            },
            "receiving the body took longer than 2s (the limit for the whole request), \
             7 bytes of the body received",
        ),
        (
            Error::Timeout {
                stage: Stage::Send,
                bound: TimeBound::Speed,
                limit: Duration::from_secs(30),
                received: 0,
            },
            "sending the request was too slow for 30s, 0 bytes of the body received",
        ),
        (
            Error::TooManyRedirects { limit: 30 },
            "the server redirects more than 30 times",
        ),
        (
            Error::ContentEncoding {
                reason: "`zstd` is not known".to_owned(),
            },
            "could not decode the response body: `zstd` is not known",
        ),
        (
            Error::NotRunnable {
                file: Some("a.wasm".into()),
                problem: "it is empty".to_owned(),
            },
            "a.wasm: it is empty",
        ),
        (
            Error::NeedsTooMuch {
                file: Some("a.wasm".into()),
                limit: Limit::Memory,
                needs: 131_072,
                allowed: 65_536,
            },
            "a.wasm: the component needs at least 131072 bytes of memory to start, but its limit is 65536 bytes \
             of memory (max-memory sets the limit)",
        ),
        (
            Error::CompileTime {
                file: None,
                limit: Duration::from_secs(60),
            },
            "compiling the component took longer than its limit of 60s (max-compile-time sets the limit)",
        ),
    ];
    for (error, expected) in table {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_error_says_who_must_act_and_what_stands_behind_it() {
    let limit = Duration::from_secs(1);
    let target = Target::Connect("192.0.2.1:80".parse().unwrap());
    let rule = || {
        crate::policy::Policy::new()
            .deny_connect("192.0.2.1")
            .unwrap()
    };
    let reason = DenialReason::Rule {
        rule: rule().denials()[0].clone(),
    };
    let name = Some("a.example".parse::<Name>().unwrap());
    let denied = Error::Denied {
        target: target.clone(),
        name: name.clone(),
        reason: reason.clone(),
    };
    let Some(sockbox_wasi::Incident::Denied(refusal)) = denied.incident() else {
        panic!("{:?}", denied.incident());
    };
    assert_eq!(refusal, Refusal::new(target, name, reason));
    assert_eq!(denied.hint(), None, "nothing but the denial would help");
    for (error, kind, is_denied, is_timeout, hint) in [
        (denied, ErrorKind::Policy, true, false, None),
        (
            Error::InsecureRedirect { url: String::new() },
            ErrorKind::Policy,
            true,
            false,
            Some("allow-downgrade"),
        ),
        (
            Error::WallTime { limit },
            ErrorKind::Time,
            false,
            true,
            Some("max-wall-time"),
        ),
        (
            Error::CpuTime { limit },
            ErrorKind::Time,
            false,
            true,
            Some("max-cpu-time"),
        ),
        (
            Error::PoolTimeout {
                instances: 1,
                limit,
            },
            ErrorKind::Time,
            false,
            true,
            None,
        ),
        (
            Error::MemoryLimit { limit: 1 },
            ErrorKind::Limit,
            false,
            false,
            Some("max-memory"),
        ),
        (Error::Abandoned, ErrorKind::Caller, false, false, None),
        (Error::EmptyResponse, ErrorKind::Peer, false, false, None),
        (
            Error::internal("a"),
            ErrorKind::Internal,
            false,
            false,
            None,
        ),
    ] {
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(error.is_denied(), is_denied, "{error:?}");
        assert_eq!(error.is_timeout(), is_timeout, "{error:?}");
        let told = error.hint().map(|hint| hint.to_string());
        assert_eq!(told.as_deref(), hint, "{error:?}");
    }
}

#[test]
fn the_exports_in_a_text_are_few_and_short() {
    let error = |exports: Vec<String>| Error::NoSuchFunction {
        name: "a".to_owned(),
        exports,
    };
    let long = "\u{e4}".repeat(300);
    let names: Vec<String> = (0..12).map(|number| format!("f{number}")).collect();
    for (exports, expected) in [
        (vec![], "the component exports no function".to_owned()),
        (
            vec!["b\u{1b}".to_owned(), "c".to_owned()],
            "the component exports `b?`, `c`".to_owned(),
        ),
        (
            vec![long.clone()],
            format!("the component exports `{}`", &long[..200]),
        ),
        (
            names.clone(),
            format!(
                "the component exports `{}` and 2 more",
                names[..10].join("`, `")
            ),
        ),
    ] {
        let start = "`a` is not the name of exactly one exported function: ";
        assert_eq!(error(exports).to_string(), format!("{start}{expected}"));
    }
}
