//! Following redirects.

use super::*;

const OTHER: &str = "127.0.0.2:80";

fn redirect(status: u16, location: &str) -> Step {
    send(&format!(
        "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nthen"
    ))
}

fn ok_response() -> Step {
    send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

/// Sends a request, and follows all redirects.
async fn get(client: &Client<MemoryNet>, asked: Asked) -> Result<Response<MemoryNet>, FetchError> {
    let body = match &asked.body {
        RequestBody::Bytes(bytes) => Some(bytes.clone()),
        _ => None,
    };
    let mut response = client.fetch(asked).await?;
    while let Some(redirect) = response.redirect()? {
        let body: Body = match (&body, redirect.sends_body) {
            (Some(bytes), true) => RequestBody::Bytes(bytes.clone()),
            _ => RequestBody::Empty,
        };
        response = client.follow(&mut response, body).await?;
    }
    Ok(response)
}

/// Plays the scripts at [`ADDRESS`] and at [`OTHER`]. Returns the result and the requests that each
/// address received.
fn run(
    asked: Asked,
    here: Vec<Vec<Step>>,
    there: Vec<Vec<Step>>,
) -> (Result<(String, String), FetchError>, Log, Log) {
    let net = MemoryNet::default();
    let here = play(&net, ADDRESS, here);
    let there = play(&net, OTHER, there);
    let client = Client::new(net.clone());
    let result = net.run(async {
        let mut response = get(&client, asked).await?;
        let url = response.info().url.clone();
        Ok((read_all(&mut response).await?, url))
    });
    (result, here, there)
}

fn ok(url: &str) -> Result<(String, String), FetchError> {
    Ok(("ok".to_owned(), url.to_owned()))
}

fn post(url: &str, fields: &[(&str, &str)]) -> Asked {
    Request {
        method: "POST".to_owned(),
        headers: fields
            .iter()
            .map(|(name, value)| Header {
                name: (*name).to_owned(),
                value: value.as_bytes().to_vec(),
            })
            .collect(),
        body: RequestBody::Bytes(b"a=b".to_vec()),
        ..request(url)
    }
}

#[test]
fn a_redirect_is_followed_on_the_same_connection() {
    let script = vec![
        Step::Read(0),
        redirect(302, "/there#x"),
        Step::Read(0),
        ok_response(),
    ];
    let (result, log, _) = run(request("http://127.0.0.1/here"), vec![script], vec![]);
    assert_eq!(result, ok("http://127.0.0.1/there"));
    assert_eq!(log.connections(), [0, 0]);
    let asked = log.requests();
    assert!(asked[1].starts_with("GET /there HTTP/1.1\r\n"), "{asked:?}");
}

#[test]
fn what_is_left_of_a_redirects_body_is_drained_if_it_is_little() {
    let head = |framing: &str| format!("HTTP/1.1 302 x\r\nLocation: /x\r\n{framing}\r\n");
    let long = "x".repeat(100_000);
    let packets = |text: String| -> Vec<Step> {
        let packets = text.as_bytes().chunks(1000);
        packets.map(|packet| Step::Send(packet.to_vec())).collect()
    };
    let length = |n: usize| head(&format!("Content-Length: {n}\r\n"));
    let chunked = head("Transfer-Encoding: chunked\r\n");
    let cases: [(Vec<Step>, bool); 8] = [
        (packets(length(0)), true),
        (packets(length(50_000) + &long[..50_000]), true),
        (packets(length(65_536) + &long[..65_536]), true),
        (packets(length(65_537) + &long[..65_537]), false),
        (packets(chunked.clone() + "3\r\nabc\r\n0\r\n\r\n"), true),
        (
            packets(chunked + &format!("{:x}\r\n{long}\r\n0\r\n\r\n", 100_000)),
            false,
        ),
        (
            packets(head("Connection: close\r\nContent-Length: 2\r\n") + "ok"),
            false,
        ),
        // A server that takes too long for it loses the connection.
        (
            vec![send(&length(2)), Step::Wait(SECOND * 2), send("ok")],
            false,
        ),
    ];
    for (index, (answer, reused)) in cases.into_iter().enumerate() {
        let next = [Step::Read(0), ok_response()];
        let mut first = vec![Step::Read(0)];
        first.extend(answer);
        first.extend(next.clone());
        let (result, log, _) = run(request(URL), vec![first, next.to_vec()], vec![]);
        assert_eq!(result, ok("http://127.0.0.1/x"), "case {index}");
        let expected = if reused { [0, 0] } else { [0, 1] };
        assert_eq!(log.connections(), expected, "case {index}");
    }
}

#[test]
fn a_post_becomes_a_get_or_stays_a_post_as_the_status_says() {
    let fields = [("Content-Type", "text/x"), ("X", "y")];
    for (status, stays) in [
        (301, false),
        (302, false),
        (303, false),
        (307, true),
        (308, true),
    ] {
        let second = if stays { Step::Read(3) } else { Step::Read(0) };
        let script = vec![
            Step::Read(3),
            redirect(status, "/x"),
            second.clone(),
            ok_response(),
        ];
        // A POST uses a new connection.
        let scripts = vec![script, vec![second, ok_response()]];
        let (result, log, _) = run(post(URL, &fields), scripts, vec![]);
        assert_eq!(result, ok("http://127.0.0.1/x"), "{status}");
        let asked = &log.requests()[1];
        let method = if stays { "POST /x " } else { "GET /x " };
        assert!(asked.starts_with(method), "{status}: {asked}");
        assert!(asked.contains("\r\nX: y\r\n"), "{status}: {asked}");
        for part in ["Content-Type: text/x", "Content-Length: 3", "a=b"] {
            assert_eq!(asked.contains(part), stays, "{status} {part}: {asked}");
        }
    }
}

#[test]
fn a_body_that_is_asked_for_again_has_to_be_given() {
    let script = vec![Step::Read(3), redirect(307, "/x")];
    let net = MemoryNet::default();
    play(&net, ADDRESS, vec![script]);
    let result = net.run(async {
        let client = Client::new(net.clone());
        let mut response = client.fetch(post(URL, &[])).await?;
        client.follow(&mut response, Body::Empty).await.map(drop)
    });
    assert!(
        matches!(result, Err(FetchError::InvalidRequest(_))),
        "{result:?}"
    );
}

const SECRETS: [(&str, &str); 4] = [
    ("Authorization", "Bearer secret"),
    ("cookie", "secret=1"),
    ("Proxy-Authorization", "Basic secret"),
    ("Host", "secret.example"),
];

/// Fields for one origin are not sent to another one, nor to the first one after a redirect back
/// from the other.
#[test]
fn secrets_stay_with_their_origin() {
    let asked = Request {
        method: "GET".to_owned(),
        body: RequestBody::Empty,
        ..post(URL, &SECRETS)
    };
    let here = vec![
        Step::Read(0),
        redirect(302, "/same"),
        Step::Read(0),
        redirect(307, "http://127.0.0.2/"),
        Step::Read(0),
        ok_response(),
    ];
    let there = vec![Step::Read(0), redirect(302, "http://127.0.0.1/back")];
    let (result, here, there) = run(asked, vec![here], vec![there]);
    assert_eq!(result, ok("http://127.0.0.1/back"));
    let (here, there) = (here.requests(), there.requests());
    for (asked, expected) in [
        (&here[0], true),
        (&here[1], true),
        (&there[0], false),
        (&here[2], false),
    ] {
        for (name, value) in SECRETS {
            assert_eq!(asked.contains(value), expected, "{name}: {asked}");
        }
    }
}

#[test]
fn a_port_of_its_own_is_another_origin() {
    let net = MemoryNet::default();
    play(
        &net,
        ADDRESS,
        vec![vec![Step::Read(0), redirect(302, "http://127.0.0.1:81/")]],
    );
    let log = play(
        &net,
        "127.0.0.1:81",
        vec![vec![Step::Read(0), ok_response()]],
    );
    let client = Client::new(net.clone());
    let asked = request("http://me:secret@127.0.0.1/");
    assert!(net.run(get(&client, asked)).is_ok());
    let asked = log.requests();
    assert!(!asked[0].contains("Authorization"), "{asked:?}");
}

#[test]
fn credentials_of_urls_are_for_their_origin() {
    // me:secret, and you:too.
    const MINE: &str = "\r\nAuthorization: Basic bWU6c2VjcmV0\r\n";
    const YOURS: &str = "\r\nAuthorization: Basic eW91OnRvbw==\r\n";
    for (location, there, expected) in [
        ("/x", false, Some(MINE)),
        ("http://127.0.0.1/x", false, Some(MINE)),
        ("http://you:too@127.0.0.1/x", false, Some(YOURS)),
        ("http://127.0.0.2/x", true, None),
        ("http://you:too@127.0.0.2/x", true, Some(YOURS)),
    ] {
        let next = [Step::Read(0), ok_response()];
        let mut here = vec![Step::Read(0), redirect(302, location)];
        here.extend(next.clone());
        let asked = request("http://me:secret@127.0.0.1/");
        let (result, here, elsewhere) = run(asked, vec![here], vec![next.to_vec()]);
        assert!(result.is_ok(), "{location}: {result:?}");
        let asked = match there {
            true => elsewhere.requests()[0].clone(),
            false => here.requests()[1].clone(),
        };
        for credentials in [MINE, YOURS] {
            let sent = asked.contains(credentials);
            assert_eq!(sent, expected == Some(credentials), "{location}: {asked}");
        }
    }
}

#[test]
fn as_many_redirects_as_allowed_are_followed() {
    for (redirects, max, allowed) in [(3, 3, true), (4, 3, false), (0, 0, true), (1, 0, false)] {
        let mut script = Vec::new();
        for _ in 0..redirects {
            script.extend([Step::Read(0), redirect(301, "/")]);
        }
        script.extend([Step::Read(0), ok_response()]);
        let asked = with(Options {
            max_redirects: max,
            ..Options::default()
        });
        let (result, _, _) = run(asked, vec![script], vec![]);
        let expected = match allowed {
            true => ok("http://127.0.0.1/"),
            false => Err(FetchError::TooManyRedirects(max)),
        };
        assert_eq!(result, expected, "{redirects} of {max}");
    }
}

#[test]
fn one_time_holds_for_all_of_them() {
    let hop = |location| {
        [
            Step::Read(0),
            Step::Wait(SECOND * 2),
            redirect(302, location),
        ]
    };
    let script = [hop("/1"), hop("/2"), hop("/3")].concat();
    let asked = with(Options {
        timeouts: Timeouts {
            total: Some(SECOND * 5),
            ..Timeouts::default()
        },
        ..Options::default()
    });
    let (result, _, _) = run(asked, vec![script], vec![]);
    let expected = FetchError::Timeout(Timeout {
        stage: Stage::FirstByte,
        bound: TimeBound::Total,
        limit: SECOND * 5,
        received: 0,
    });
    assert_eq!(result, Err(expected));
}

#[test]
fn what_cannot_be_followed_is_an_error() {
    let cases = [
        (
            redirect(302, "ftp://127.0.0.1/"),
            FetchError::UnsupportedScheme("ftp".to_owned()),
        ),
        (
            redirect(302, "mailto:a@b"),
            FetchError::UnsupportedScheme("mailto".to_owned()),
        ),
        (
            redirect(302, "http://[::1/"),
            FetchError::Protocol(
                "the Location is not a valid URL: \"http://[::1/\": invalid IPv6 address"
                    .to_owned(),
            ),
        ),
        (
            ok_response(),
            FetchError::InvalidRequest("there is no redirect to follow".to_owned()),
        ),
    ];
    for (answer, error) in cases {
        let net = MemoryNet::default();
        play(&net, ADDRESS, vec![vec![Step::Read(0), answer]]);
        net.run(async {
            let client = Client::new(net.clone());
            let mut response = client.fetch(request(URL)).await.expect("a head");
            let followed = client.follow(&mut response, Body::Empty).await;
            assert_eq!(followed.err(), Some(error.clone()));
            let body = read_all(&mut response).await;
            assert!(body.is_ok(), "{error}: the body is still there: {body:?}");
        });
    }
}

#[test]
fn a_redirects_body_can_be_coded_in_any_way() {
    let script = vec![
        Step::Read(0),
        send(
            "HTTP/1.1 302 x\r\nLocation: /x\r\nContent-Encoding: foo\r\nContent-Length: 4\r\n\r\nthen",
        ),
        Step::Read(0),
        ok_response(),
    ];
    let asked = with(Options {
        decode: true,
        ..Options::default()
    });
    let (result, log, _) = run(asked, vec![script], vec![]);
    assert_eq!(result, ok("http://127.0.0.1/x"));
    assert_eq!(log.connections(), [0, 0]);
}
