//! Connections that are reused, and those that must not be.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends requests one after the other with one client. Each result is the status, the body, and
/// whether the connection was reused.
fn fetch_all(
    net: &MemoryNet,
    asked: Vec<Asked>,
    between: Duration,
) -> Vec<Result<(u16, String, bool), FetchError>> {
    let client = Client::new(net.clone());
    let mut results = Vec::new();
    for request in asked {
        let result = net.run(async {
            let mut response = client.fetch(request).await?;
            let body = read_all(&mut response).await?;
            let info = response.info();
            Ok((info.head.status, body, info.reused))
        });
        results.push(result);
        net.run(net.sleep_until(net.now().after(between)));
    }
    results
}

fn fetched(reused: bool) -> Result<(u16, String, bool), FetchError> {
    Ok((200, "ok".to_owned(), reused))
}

fn traced(mut asked: Asked) -> Asked {
    asked.options.trace = Some(record_trace);
    asked
}

#[test]
fn a_connection_is_used_again_only_after_an_exchange_that_leaves_no_doubt() {
    // A response, and why its connection is not reused.
    let cases: &[(&str, Option<&str>)] = &[
        (OK, None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.1 204 No\r\n\r\n", None),
        ("HTTP/1.1 304 No\r\nContent-Length: 100\r\n\r\n", None),
        ("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", None),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
            None,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            None,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: foo, Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
            None,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            Some("the server closes it"),
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x\r\nconnection: y ,CLOSE\r\nContent-Length: 2\r\n\r\nok",
            Some("the server closes it"),
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Some("the server uses HTTP/1.0"),
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\nok",
            Some("the server closes it"),
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Some("HTTP/1.0 has no transfer codings"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            Some("the response has both Content-Length and Transfer-Encoding"),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokMORE",
            Some("the server sent more than the response"),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
            Some("the server sent more than the response"),
        ),
        (
            "HTTP/1.1 204 No\r\n\r\nX",
            Some("the server sent more than the response"),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\r\n",
            Some("the server sent more than the response"),
        ),
    ];
    for (answer, why) in cases {
        let net = MemoryNet::default();
        let scripts = vec![
            vec![
                Step::Read(0),
                send(answer),
                Step::Read(0),
                send(OK),
                Step::Hang,
            ],
            vec![Step::Read(0), send(OK), Step::Hang],
        ];
        let log = play(&net, ADDRESS, scripts);
        let asked = vec![traced(request(URL)), request(URL)];
        let results = fetch_all(&net, asked, SECOND);
        assert!(results[0].is_ok(), "{answer:?}: {:?}", results[0]);
        assert_eq!(results[1], fetched(why.is_none()), "{answer:?}");
        let expected = [0, usize::from(why.is_some())];
        assert_eq!(log.connections(), expected, "{answer:?}");
        let last = take_trace().pop().expect("a trace");
        let fate = match why {
            None => "* the connection to 127.0.0.1:80 is left intact".to_owned(),
            Some(why) => format!("* closing the connection to 127.0.0.1:80: {why}"),
        };
        assert_eq!(last, fate, "{answer:?}");
    }
}

#[test]
fn the_answer_to_head_leaves_the_connection_free() {
    let net = MemoryNet::default();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let log = play(
        &net,
        ADDRESS,
        vec![vec![Step::Read(0), send(head), Step::Read(0), send(OK)]],
    );
    let asked = Request {
        method: "HEAD".to_owned(),
        ..request(URL)
    };
    let client = Client::new(net.clone());
    let response = net.run(client.fetch(asked)).expect("a head");
    assert_eq!(response.info().content_length, Some(1000));
    // There is no body, so no read asks for it.
    let second = net.run(client.fetch(request(URL))).expect("a body");
    assert!(second.info().reused);
    assert_eq!(log.connections(), [0, 0]);
}

#[test]
fn a_response_that_is_given_up_takes_its_connection_with_it() {
    let net = MemoryNet::default();
    let scripts = vec![
        vec![Step::Read(0), send(OK), Step::Hang],
        vec![Step::Read(0), send(OK), Step::Hang],
    ];
    let log = play(&net, ADDRESS, scripts);
    let client = Client::new(net.clone());
    let mut first = net.run(client.fetch(request(URL))).expect("a head");
    assert_eq!(net.run(first.read(1)), Ok(Some(b"o".to_vec())));
    drop(first);
    let second = net.run(client.fetch(request(URL))).expect("a head");
    assert!(!second.info().reused);
    assert_eq!(log.connections(), [0, 1]);
}

#[test]
fn the_last_byte_frees_the_connection_and_not_the_drop() {
    let net = MemoryNet::default();
    let scripts = vec![vec![Step::Read(0), send(OK), Step::Read(0), send(OK)]];
    let log = play(&net, ADDRESS, scripts);
    let client = Client::new(net.clone());
    let mut first = net.run(client.fetch(request(URL))).expect("a head");
    assert_eq!(net.run(first.read(2)), Ok(Some(b"ok".to_vec())));
    let second = net.run(client.fetch(request(URL))).expect("a head");
    assert!(second.info().reused);
    assert_eq!(net.run(first.read(2)), Ok(None), "stays ended");
    assert_eq!(log.connections(), [0, 0]);
}

#[test]
fn what_the_server_did_meanwhile_is_noticed() {
    let cases: [(Vec<Step>, &str); 3] = [
        (vec![Step::Wait(SECOND / 2)], "the server has closed it"),
        (
            vec![Step::Wait(SECOND / 2), send("x"), Step::Hang],
            "the server sent bytes without a request",
        ),
        (
            vec![Step::Wait(SECOND / 2), Step::Break, Step::Hang],
            "it broke",
        ),
    ];
    for (steps, why) in cases {
        let net = MemoryNet::default();
        let mut first = vec![Step::Read(0), send(OK)];
        first.extend(steps);
        let scripts = vec![first, vec![Step::Read(0), send(OK), Step::Hang]];
        let log = play(&net, ADDRESS, scripts);
        let asked = vec![request(URL), traced(request(URL))];
        let results = fetch_all(&net, asked, SECOND);
        assert_eq!(results, [fetched(false), fetched(false)], "{why}");
        assert_eq!(log.connections(), [0, 1], "{why}");
        let expected = format!("* the connection to 127.0.0.1:80 can't be used again: {why}");
        assert_eq!(take_trace().first(), Some(&expected));
    }
}

#[test]
fn a_request_that_an_old_connection_lost_is_sent_once_more() {
    // What the server does with the second request on the old connection.
    let ends: [Vec<Step>; 4] = [
        vec![],
        vec![Step::Break],
        vec![Step::Read(0)],
        vec![Step::Read(0), Step::Break],
    ];
    let parts = || VecDeque::from([b"x".to_vec()]);
    for (number, end) in ends.into_iter().enumerate() {
        let scripts = || {
            // The server closes after the connection was checked, and before the request.
            let mut first = vec![Step::Read(0), send(OK), Step::More(1)];
            first.extend(end.clone());
            vec![first, vec![Step::Read(0), send(OK)]]
        };
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let net = MemoryNet::default();
            let log = play(&net, ADDRESS, scripts());
            let second = Request {
                method: method.to_owned(),
                ..traced(request(URL))
            };
            let results = fetch_all(&net, vec![request(URL), second], SECOND);
            let got = results[1]
                .as_ref()
                .map(|(status, _, reused)| (*status, *reused));
            assert_eq!(got, Ok((200, false)), "{method} {number}");
            assert_eq!(log.connections().last(), Some(&1), "{method} {number}");
            let expected =
                "* the server has closed the reused connection: sending the request again";
            assert!(
                take_trace().contains(&expected.to_owned()),
                "{method} {number}"
            );
        }
        // A request that may not be repeated never uses an old connection.
        for (method, body) in [
            ("POST", RequestBody::Empty),
            ("POST", RequestBody::Bytes(b"x".to_vec())),
            ("PATCH", RequestBody::Empty),
            ("get", RequestBody::Empty),
            (
                "PUT",
                RequestBody::Source {
                    source: parts(),
                    length: Some(1),
                },
            ),
        ] {
            let net = MemoryNet::default();
            let log = play(&net, ADDRESS, scripts());
            let second = Request {
                method: method.to_owned(),
                body,
                ..request(URL)
            };
            let results = fetch_all(&net, vec![request(URL), second], SECOND);
            assert_eq!(results[1], fetched(false), "{method} {number}");
            assert_eq!(log.connections(), [0, 1], "{method} {number}");
        }
    }
}

#[test]
fn a_request_is_not_sent_a_third_time_nor_after_an_answer_has_begun() {
    let twice = vec![
        vec![Step::Read(0), send(OK), Step::Read(0)],
        vec![Step::Read(0)],
        vec![Step::Read(0), send(OK)],
    ];
    let cases = [
        (twice, vec![0, 0, 1], FetchError::EmptyResponse),
        (
            vec![
                vec![
                    Step::Read(0),
                    send(OK),
                    Step::Read(0),
                    send("HTTP/1.1 102 W\r\n\r\n"),
                ],
                vec![Step::Read(0), send(OK)],
            ],
            vec![0, 0],
            FetchError::EmptyResponse,
        ),
        (
            vec![
                vec![
                    Step::Read(0),
                    send(OK),
                    Step::Read(0),
                    send("H"),
                    Step::Wait(SECOND),
                    Step::Break,
                ],
                vec![Step::Read(0), send(OK)],
            ],
            vec![0, 0],
            FetchError::ReceiveFailed(NetError::ConnectionReset),
        ),
    ];
    for (number, (scripts, connections, expected)) in cases.into_iter().enumerate() {
        let net = MemoryNet::default();
        let log = play(&net, ADDRESS, scripts);
        let mut results = fetch_all(&net, vec![request(URL), request(URL)], SECOND);
        let error = results.remove(1).expect_err("no answer");
        match expected {
            FetchError::EmptyResponse => assert_eq!(error, expected, "{number}"),
            _ => assert!(
                matches!(
                    error,
                    FetchError::ReceiveFailed(_) | FetchError::SendFailed(_)
                ),
                "{number}: {error:?}"
            ),
        }
        assert_eq!(log.connections(), connections, "{number}");
    }
}

#[test]
fn a_caller_can_have_a_connection_of_its_own() {
    let net = MemoryNet::default();
    let close = vec![Step::Read(0), send(OK), Step::Hang];
    let keep = vec![Step::Read(0), send(OK), Step::Read(0), send(OK), Step::Hang];
    let log = play(&net, ADDRESS, vec![keep, close]);
    let own = || {
        let mut asked = request(URL);
        asked.options.close = true;
        asked
    };
    let asked = vec![request(URL), own(), request(URL)];
    let results = fetch_all(&net, asked, SECOND);
    assert_eq!(results, [fetched(false), fetched(false), fetched(true)]);
    assert_eq!(log.connections(), [0, 1, 0]);
    let closes = |text: &String| text.contains("\r\nConnection: close\r\n");
    assert_eq!(
        log.requests().iter().map(closes).collect::<Vec<_>>(),
        [false, true, false]
    );
}

#[test]
fn connections_that_wait_too_long_are_not_used() {
    for (seconds, reused) in [(0, true), (59, true), (60, false), (1000, false)] {
        let net = MemoryNet::default();
        let keep = vec![Step::Read(0), send(OK), Step::Read(0), send(OK), Step::Hang];
        play(&net, ADDRESS, vec![keep.clone(), keep]);
        let asked = vec![request(URL), request(URL)];
        let results = fetch_all(&net, asked, SECOND * seconds);
        assert_eq!(results[1], fetched(reused), "after {seconds} seconds");
    }
}

#[test]
fn at_most_eight_wait_and_the_newest_stay() {
    let net = MemoryNet::default();
    let url = |number: usize| format!("http://127.0.0.1:{number}/");
    let keep = vec![Step::Read(0), send(OK), Step::Read(0), send(OK), Step::Hang];
    let logs: Vec<Log> = (1..=9)
        .map(|number| {
            play(
                &net,
                &format!("127.0.0.1:{number}"),
                vec![keep.clone(), keep.clone()],
            )
        })
        .collect();
    let first = (1..=9).map(|number| request(&url(number)));
    // Beginning with the oldest, each connection that is reused becomes the newest.
    let again = (2..=9).chain([1]).map(|number| request(&url(number)));
    let results = fetch_all(&net, first.chain(again).collect(), Duration::ZERO);
    let reused: Vec<_> = results
        .into_iter()
        .map(|result| result.expect("a body").2)
        .collect();
    assert_eq!(reused[..9], [false; 9]);
    assert_eq!(
        reused[9..],
        [true, true, true, true, true, true, true, true, false]
    );
    assert_eq!(logs[0].connections(), [0, 1]);
}

#[test]
fn a_connection_leads_where_it_was_asked_to_lead() {
    let fixed = |host: &str, address: &str| StaticHost {
        host: host.to_owned(),
        port: 80,
        addresses: vec![ip(address)],
    };
    let asked = |url: &str, static_hosts: Vec<StaticHost>, family: Option<Family>| {
        let mut asked = request(url);
        asked.options.static_hosts = static_hosts;
        asked.options.family = family;
        asked
    };
    let to = "127.0.0.1";
    let url = "http://a.test/";
    // Two requests, and whether the second may use the first one's connection.
    let cases = [
        (
            asked(url, vec![], None),
            asked("http://a.test/x", vec![], None),
            true,
        ),
        (
            asked(url, vec![], None),
            asked("http://A.TEST:80/", vec![], None),
            true,
        ),
        (
            asked(url, vec![], None),
            asked("http://b.test/", vec![], None),
            false,
        ),
        (asked(url, vec![], None), asked(URL, vec![], None), false),
        (
            asked(url, vec![], None),
            asked(url, vec![], Some(Family::Ipv4)),
            true,
        ),
        (
            asked(url, vec![], None),
            asked(url, vec![], Some(Family::Ipv6)),
            false,
        ),
        (
            asked(url, vec![], None),
            asked(url, vec![fixed("a.test", to)], None),
            true,
        ),
        (
            asked(url, vec![], None),
            asked(url, vec![fixed("a.test", "127.0.0.2")], None),
            false,
        ),
        (
            asked(url, vec![], None),
            asked(url, vec![fixed("b.test", "127.0.0.2")], None),
            true,
        ),
        (
            asked(url, vec![fixed("a.test", to)], None),
            asked(url, vec![fixed("A.test", to)], None),
            true,
        ),
        (
            asked(url, vec![fixed("a.test", to)], None),
            asked(url, vec![], None),
            false,
        ),
    ];
    for (number, (first, second, expected)) in cases.into_iter().enumerate() {
        let net = MemoryNet::default();
        for name in ["a.test", "b.test"] {
            net.name(name, Ok(vec![ip("127.0.0.1"), ip("::1")]));
        }
        let keep = vec![Step::Read(0), send(OK), Step::Read(0), send(OK), Step::Hang];
        for at in [ADDRESS, "127.0.0.2:80", "[::1]:80"] {
            play(&net, at, vec![keep.clone(), keep.clone()]);
        }
        let results = fetch_all(&net, vec![first, second], SECOND);
        assert_eq!(
            results,
            [fetched(false), fetched(expected)],
            "case {number}"
        );
    }
}

#[test]
fn two_at_once_have_two_connections_and_both_are_kept() {
    let net = MemoryNet::default();
    let keep = vec![Step::Read(0), send(OK), Step::Read(0), send(OK), Step::Hang];
    let log = play(&net, ADDRESS, vec![keep.clone(), keep]);
    let client = Client::new(net.clone());
    for reused in [false, true] {
        let mut first = net.run(client.fetch(request(URL))).expect("a head");
        let mut second = net.run(client.fetch(request(URL))).expect("a head");
        for response in [&mut first, &mut second] {
            assert_eq!(net.run(read_all(response)).as_deref(), Ok("ok"));
            assert_eq!(response.info().reused, reused);
        }
    }
    assert_eq!(log.connections(), [0, 1, 1, 0]);
}
