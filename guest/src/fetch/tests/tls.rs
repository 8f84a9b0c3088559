//! `https`, with TLS handshakes in memory that do not change the bytes.

use super::*;
use crate::net::TlsError;

const SECURE: &str = "127.0.0.1:443";
const SECURE_URL: &str = "https://127.0.0.1/";

fn ok_response(text: &str) -> Step {
    let length = text.len();
    send(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}"
    ))
}

fn redirect(to: &str) -> Step {
    send(&format!(
        "HTTP/1.1 302 x\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// A network whose server at `127.0.0.1` has TLS.
fn secure_net() -> MemoryNet {
    let net = MemoryNet::default();
    net.has_tls("127.0.0.1");
    net
}

#[test]
fn a_body_over_tls() {
    let net = secure_net();
    let log = play(&net, SECURE, vec![vec![Step::Read(0), ok_response("page")]]);
    net.run(async {
        let mut response = fetch(&net, request(SECURE_URL)).await.expect("a head");
        assert_eq!(read_all(&mut response).await, Ok("page".to_owned()));
        assert_eq!(response.info().url, SECURE_URL);
    });
    assert!(log.requests()[0].contains("Host: 127.0.0.1\r\n"));
}

#[test]
fn the_server_is_named_as_certificates_name_it() {
    for (url, at, expected) in [
        ("https://a.test/", "127.0.0.1:443", "a.test"),
        ("https://A.test.:8443/", "127.0.0.1:8443", "a.test"),
        ("https://127.1/", "127.0.0.1:443", "127.0.0.1"),
        ("https://[::1]/", "[::1]:443", "::1"),
    ] {
        let net = MemoryNet::default();
        net.name("a.test", Ok(vec![ip("127.0.0.1")]));
        net.name("a.test.", Ok(vec![ip("127.0.0.1")]));
        net.has_tls(expected);
        play(&net, at, vec![vec![Step::Read(0), ok_response("")]]);
        let result = net.run(fetch(&net, request(url)));
        assert!(result.is_ok(), "{url}: {:?}", result.err());
    }
}

#[test]
fn what_tls_says_is_passed_on() {
    for (error, expected) in [
        (
            TlsError::Failed("why".to_owned()),
            FetchError::TlsFailed("why".to_owned()),
        ),
        (
            TlsError::Rejected("why".to_owned()),
            FetchError::CertificateRejected("why".to_owned()),
        ),
    ] {
        let net = MemoryNet::default();
        net.fail_tls("127.0.0.1", error);
        let log = play(&net, SECURE, vec![vec![Step::Read(0)]]);
        let result = net.run(fetch(&net, request(SECURE_URL)));
        assert_eq!(result.err(), Some(expected));
        assert_eq!(log.requests(), [""; 0], "nothing is asked for");
    }
}

#[test]
fn a_server_that_agrees_upon_nothing_has_its_time() {
    let net = MemoryNet::default();
    net.silent_tls("127.0.0.1");
    play(&net, SECURE, vec![vec![Step::Hang]]);
    let result = net.run(fetch(&net, request(SECURE_URL)));
    let expected = FetchError::Timeout(Timeout {
        stage: Stage::Handshake,
        bound: TimeBound::Stage,
        limit: SECOND * 30,
        received: 0,
    });
    assert_eq!(result.err(), Some(expected));
    assert_eq!(net.elapsed(), SECOND * 30);
}

#[test]
fn a_connection_without_tls_is_not_one_with_it() {
    // Two schemes at one port, which no real server has: only the scheme distinguishes them.
    let net = secure_net();
    let script = || {
        vec![
            Step::Read(0),
            ok_response(""),
            Step::Read(0),
            ok_response(""),
        ]
    };
    let log = play(&net, SECURE, vec![script(), script()]);
    net.run(async {
        let client = Client::new(net.clone());
        for url in [
            "http://127.0.0.1:443/",
            SECURE_URL,
            "http://127.0.0.1:443/",
            SECURE_URL,
        ] {
            client.fetch(request(url)).await.expect("a head");
        }
    });
    assert_eq!(log.connections(), [0, 1, 0, 1]);
}

#[test]
fn a_cut_is_no_end() {
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\nhalf", None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Some(9)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            None,
        ),
    ] {
        for reads in [false, true] {
            let net = secure_net();
            let script = vec![Step::Read(0), send(head), Step::Wait(SECOND), Step::Cut];
            play(&net, SECURE, vec![script]);
            let body = net.run(async {
                let mut response = fetch(&net, request(SECURE_URL)).await.expect("a head");
                if !reads {
                    return read_all(&mut response).await.map(drop);
                }
                while response.read(100).await?.is_some() {}
                Ok(())
            });
            let expected = FetchError::IncompleteBody {
                received: 4,
                expected,
            };
            assert_eq!(body, Err(expected), "{head:?}, {reads}");
        }
    }
}

#[test]
fn a_cut_before_the_body_is_reported_as_an_end_there() {
    for (sent, expected) in [
        (None, FetchError::EmptyResponse),
        (
            Some("HTTP/1.1 200 OK\r\nA: b"),
            FetchError::Protocol(String::new()),
        ),
    ] {
        let net = secure_net();
        let mut script = vec![Step::Read(0)];
        script.extend(sent.map(send));
        script.extend([Step::Wait(SECOND), Step::Cut]);
        play(&net, SECURE, vec![script]);
        let error = net.run(fetch(&net, request(SECURE_URL))).err();
        let same = error.as_ref().map(std::mem::discriminant);
        assert_eq!(
            same,
            Some(std::mem::discriminant(&expected)),
            "{sent:?}: {error:?}"
        );
    }
}

#[test]
fn a_body_whose_end_is_known_needs_no_other() {
    let net = secure_net();
    play(
        &net,
        SECURE,
        vec![vec![
            Step::Read(0),
            ok_response("page"),
            Step::Wait(SECOND),
            Step::Cut,
        ]],
    );
    net.run(async {
        let mut response = fetch(&net, request(SECURE_URL)).await.expect("a head");
        assert_eq!(read_all(&mut response).await, Ok("page".to_owned()));
    });
}

#[test]
fn redirects_lead_into_tls() {
    let net = secure_net();
    play(
        &net,
        ADDRESS,
        vec![vec![Step::Read(0), redirect("https://127.0.0.1/page")]],
    );
    let log = play(&net, SECURE, vec![vec![Step::Read(0), ok_response("page")]]);
    let mut asked = request(URL);
    asked.headers = vec![Header {
        name: "Authorization".to_owned(),
        value: b"secret".to_vec(),
    }];
    net.run(async {
        let client = Client::new(net.clone());
        let mut response = client.fetch(asked).await.expect("a head");
        let redirect = response.redirect().expect("one that can be read");
        assert!(redirect.is_some_and(|it| it.cross_origin && !it.downgrade));
        let mut followed = client
            .follow(&mut response, Body::Empty)
            .await
            .expect("a head");
        assert_eq!(read_all(&mut followed).await, Ok("page".to_owned()));
        assert_eq!(followed.info().url, "https://127.0.0.1/page");
    });
    assert!(
        !log.requests()[0].contains("secret"),
        "{:?}",
        log.requests()
    );
}

#[test]
fn redirects_lead_out_of_tls_where_that_is_permitted() {
    for downgrade in [false, true] {
        let net = secure_net();
        let script = vec![Step::Read(0), redirect(URL)];
        play(&net, SECURE, vec![script]);
        let log = play(
            &net,
            ADDRESS,
            vec![vec![Step::Read(0), ok_response("page")]],
        );
        let mut asked = request(SECURE_URL);
        asked.options.downgrade = downgrade;
        net.run(async {
            let client = Client::new(net.clone());
            let mut response = client.fetch(asked).await.expect("a head");
            let redirect = response.redirect().expect("one that can be read");
            assert!(redirect.is_some_and(|it| it.downgrade));
            let followed = client.follow(&mut response, Body::Empty).await;
            let expected = FetchError::InsecureRedirect(URL.to_owned());
            assert_eq!(followed.err(), (!downgrade).then_some(expected));
        });
        assert_eq!(log.requests().len(), usize::from(downgrade));
    }
}

#[test]
fn a_server_that_speaks_tls_is_recognised_without_it() {
    let net = MemoryNet::default();
    let alert = Step::Send(vec![21, 3, 3, 0, 2, 2, 70]);
    play(&net, ADDRESS, vec![vec![Step::Read(0), alert]]);
    let error = net.run(fetch(&net, request(URL))).err();
    let expected = "the server expects TLS: use a URL that begins with https://";
    assert_eq!(error, Some(FetchError::Protocol(expected.to_owned())));
}
