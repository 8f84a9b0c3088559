use super::*;
use sockbox::policy::{DenialReason, Target};
use sockbox::{CertificateProblem, NetworkError, ResponseLimit, Stage, TimeBound, TlsFailure};

fn proxy(problem: ProxyProblem) -> Error {
    Error::Proxy {
        host: "a.example".to_owned(),
        proxy: "proxy.example:3128".to_owned(),
        problem,
    }
}

#[test]
fn every_error_has_its_code() {
    let text = String::new;
    let reason = NetworkError::Other;
    let address = "127.0.0.1:80".parse().unwrap();
    let table = [
        (Error::UnsupportedScheme { scheme: text() }, 1),
        (Error::InvalidRequest { reason: text() }, 2),
        (Error::InvalidOptions { reason: text() }, 2),
        (
            Error::InvalidUrl {
                url: text(),
                reason: text(),
            },
            3,
        ),
        (
            Error::ResolveFailed {
                host: text(),
                reason,
            },
            6,
        ),
        (
            Error::ConnectFailed {
                host: text(),
                attempts: Vec::new(),
            },
            7,
        ),
        (proxy(ProxyProblem::NotResolved), 5),
        (
            proxy(ProxyProblem::NotConnected {
                kind: io::ErrorKind::ConnectionRefused,
            }),
            7,
        ),
        (proxy(ProxyProblem::Refused { status: 407 }), 56),
        (proxy(ProxyProblem::Closed), 56),
        (proxy(ProxyProblem::NotHttp), 56),
        (proxy(ProxyProblem::HeadSize), 56),
        (Error::Protocol { reason: text() }, 8),
        (
            Error::IncompleteBody {
                received: 0,
                expected: None,
            },
            18,
        ),
        (
            Error::Write {
                source: io::ErrorKind::StorageFull.into(),
            },
            23,
        ),
        (
            Error::Timeout {
                stage: Stage::Body,
                limit: Duration::ZERO,
                bound: TimeBound::Total,
                received: 0,
            },
            28,
        ),
        (Error::ListenFailed { address, reason }, 45),
        (Error::TooManyRedirects { limit: 30 }, 47),
        (Error::EmptyResponse, 52),
        (Error::SendFailed { reason }, 55),
        (Error::ReceiveFailed { reason }, 56),
        (
            Error::Tls(TlsError::Broken {
                reason: TlsFailure::CertificateRequired,
            }),
            56,
        ),
        (
            Error::Tls(TlsError::Handshake {
                host: text(),
                reason: TlsFailure::NotTls,
            }),
            35,
        ),
        (
            Error::Tls(TlsError::ClientCertificate {
                file: "a".into(),
                reason: text(),
            }),
            58,
        ),
        (
            Error::Tls(TlsError::CertificateRejected {
                host: text(),
                problem: CertificateProblem::Expired { certificate: None },
            }),
            60,
        ),
        (
            Error::Tls(TlsError::Trust {
                file: "a".into(),
                reason: text(),
            }),
            77,
        ),
        (Error::InsecureRedirect { url: text() }, 126),
        (Error::ContentEncoding { reason: text() }, 61),
        (
            Error::LimitExceeded {
                limit: ResponseLimit::BodySize,
            },
            63,
        ),
        (Error::MemoryLimit { limit: 0 }, 63),
        (
            Error::NeedsTooMuch {
                file: None,
                limit: sockbox::limits::Limit::Instances,
                needs: 2,
                allowed: 1,
            },
            63,
        ),
        (
            Error::CompileMemory {
                file: None,
                limit: 0,
            },
            63,
        ),
        (
            Error::CompileTime {
                file: None,
                limit: Duration::ZERO,
            },
            124,
        ),
        (
            Error::WallTime {
                limit: Duration::ZERO,
            },
            124,
        ),
        (
            Error::NotRunnable {
                file: None,
                problem: text(),
            },
            125,
        ),
        (
            Error::Read {
                file: "a".into(),
                source: io::ErrorKind::NotFound.into(),
            },
            125,
        ),
        (Error::Abandoned, 125),
        (Error::Internal { message: text() }, 125),
        (
            Error::Denied {
                target: Target::Connect(address),
                name: None,
                reason: DenialReason::NoRule,
            },
            126,
        ),
        (
            Error::Trapped {
                reason: text(),
                backtrace: None,
            },
            134,
        ),
    ];
    for (error, expected) in table {
        assert_eq!(code(&error), expected, "{error:?}");
        assert_eq!(Failure::from(error).code(), expected);
    }
    for (failure, expected) in [
        (Failure::output("a", io::ErrorKind::BrokenPipe.into()), 23),
        (
            Failure::Input {
                name: text(),
                source: io::ErrorKind::NotFound.into(),
            },
            26,
        ),
        (Failure::Usage { problem: text() }, 2),
        (Failure::NoName { url: text() }, 23),
        (
            Failure::Status {
                status: 404,
                reason: text(),
            },
            22,
        ),
        (
            Failure::NoRange {
                status: 404,
                reason: text(),
            },
            33,
        ),
        (Failure::InputIsGone, 65),
        (Failure::system(io::ErrorKind::Other.into()), 125),
        (Failure::MaxTime(Duration::ZERO), 28),
        (Failure::Signal(Signal::HANGUP), 129),
        (Failure::Signal(Signal::INTERRUPT), 130),
        (Failure::Signal(Signal::TERMINATE), 143),
        (Failure::ClosedPipe, 141),
    ] {
        assert_eq!(failure.code(), expected, "{failure:?}");
    }
}

#[test]
fn messages_are_short_and_complete() {
    let trapped = |backtrace: Option<&str>| {
        Failure::from(Error::Trapped {
            reason: "it aborted".to_owned(),
            backtrace: backtrace.map(str::to_owned),
        })
    };
    for (failure, verbose, expected) in [
        (
            Failure::from(Error::Read {
                file: "a.wasm".into(),
                source: io::ErrorKind::NotFound.into(),
            }),
            false,
            Some("could not read a.wasm: entity not found"),
        ),
        (
            Failure::output("page.html", io::ErrorKind::StorageFull.into()),
            false,
            Some("could not write page.html: no storage space"),
        ),
        (
            Failure::output("standard output", io::ErrorKind::BrokenPipe.into()),
            false,
            None,
        ),
        (
            Failure::Status {
                status: 404,
                reason: "Not \u{1b}[2JFound\t".to_owned(),
            },
            false,
            Some("the server answered 404 Not ?[2JFound"),
        ),
        (
            Failure::NoRange {
                status: 500,
                reason: String::new(),
            },
            false,
            Some("can't go on with the file: the server answered 500"),
        ),
        (Failure::Signal(Signal::INTERRUPT), true, None),
        (
            trapped(Some("frames")),
            false,
            Some("the component trapped: it aborted (-v tells where)"),
        ),
        (
            trapped(Some("frames")),
            true,
            Some("the component trapped: it aborted\nframes"),
        ),
        (
            trapped(None),
            false,
            Some("the component trapped: it aborted"),
        ),
    ] {
        assert_eq!(failure.message(verbose).as_deref(), expected, "{failure:?}");
    }
}
