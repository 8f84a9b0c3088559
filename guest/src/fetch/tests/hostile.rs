//! Servers that do random things at any time.

use super::*;
use crate::http1::testing::Random;

const PARTS: [&str; 20] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 204 No\r\n\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 413 No\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Encoding: gzip\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "\r\n",
    "hello",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "\0",
];

fn script(random: &mut Random) -> Vec<Step> {
    let mut steps = vec![];
    // The start of the response may be valid.
    for _ in 0..random.below(3) {
        steps.extend([Step::Read(0), send(random.pick::<&str>(&PARTS[1..6]))]);
    }
    if random.below(8) > 0 {
        steps.push(Step::Read(0));
    }
    for _ in 0..random.below(8) {
        let number = random.below(2000);
        steps.push(match random.below(12) {
            0 => Step::Read(0),
            1 => Step::More(number),
            2 => Step::Wait(SECOND * u32::try_from(random.below(90)).expect("small")),
            3 => Step::Break,
            4 => Step::Hang,
            _ => send(random.pick::<&str>(&PARTS)),
        });
    }
    steps
}

fn asked(random: &mut Random) -> Asked {
    let methods = ["GET", "HEAD", "POST", "PUT"];
    let part = |random: &mut Random| vec![b'x'; random.below(3000)];
    let body = match random.below(4) {
        0 => RequestBody::Bytes(part(random)),
        1 => RequestBody::Source {
            source: (0..random.below(4)).map(|_| part(random)).collect(),
            length: None,
        },
        2 => {
            let source: VecDeque<_> = (0..random.below(4)).map(|_| part(random)).collect();
            let length = source.iter().map(Vec::len).sum::<usize>() as u64;
            RequestBody::Source {
                source,
                length: Some(length),
            }
        }
        _ => RequestBody::Empty,
    };
    let maybe = |random: &mut Random, value: u64| (random.below(3) == 0).then_some(value);
    let options = Options {
        timeouts: Timeouts {
            total: maybe(random, 100).map(Duration::from_secs),
            ..Timeouts::default()
        },
        min_speed: maybe(random, 10).map(|bytes_per_second| MinSpeed {
            bytes_per_second,
            period: 20 * SECOND,
        }),
        max_speed: maybe(random, 100),
        max_body_size: maybe(random, 7),
        decode: random.below(2) == 0,
        close: random.below(8) == 0,
        trace: Some(|_| {}),
        ..Options::default()
    };
    Request {
        method: (*random.pick::<&str>(&methods)).to_owned(),
        body,
        options,
        ..request(URL)
    }
}

/// A request that could never end makes the network in memory panic.
#[test]
fn every_request_ends_whatever_the_server_does() {
    let mut random = Random::new(7);
    let (mut bodies, mut reused) = (0, 0);
    for round in 0..4000 {
        let net = MemoryNet::default();
        if random.below(2) == 0 {
            net.capacity(1 + random.below(1000));
        }
        let scripts = (0..1 + random.below(5))
            .map(|_| script(&mut random))
            .collect();
        play(&net, ADDRESS, scripts);
        let client = Client::new(net.clone());
        for _ in 0..3 {
            let asked = asked(&mut random);
            let total = asked.options.timeouts.total;
            let began = net.elapsed();
            let pull = random.below(2) == 0;
            let ended = net.run(async {
                let mut response = client.fetch(asked).await?;
                while response.redirect()?.is_some() {
                    response = client.follow(&mut response, Body::Empty).await?;
                }
                reused += usize::from(response.info().reused);
                match pull {
                    true => while response.read(100).await?.is_some() {},
                    false => drop(read_all(&mut response).await?),
                }
                Ok::<_, FetchError>(())
            });
            bodies += usize::from(ended.is_ok());
            let took = net.elapsed() - began;
            // Each stage has a minute, and a server sends only a few times.
            assert!(took <= 3600 * SECOND, "{round}: {took:?} {ended:?}");
            if let Some(total) = total {
                assert!(took <= total, "{round}: {took:?} {ended:?}");
            }
        }
    }
    assert!(bodies > 1000 && reused > 50, "{bodies} {reused}");
}
