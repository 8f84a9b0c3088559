use super::*;
use crate::MAX_HTTP_PATH_BYTES;

fn texts(needed: &LeastGrants) -> Vec<String> {
    needed.rules().iter().map(ToString::to_string).collect()
}
use crate::{Policy, ResolvedNames};
use std::time::Instant;

#[test]
fn a_name_in_a_network_of_ones_own_is_granted_by_its_number() {
    let named: Name = "own.example".parse().unwrap();
    let mut needed = LeastGrants::new();
    needed.set_local_networks(LocalNetworks::new().network("1.2.3.0/24".parse().unwrap()));
    for address in ["1.2.3.4:80", "1.2.4.4:81"] {
        needed.note(&Target::Connect(address.parse().unwrap()), Some(&named));
    }
    let expected = ["allow-connect own.example:81", "allow-connect 1.2.3.4:80"];
    assert_eq!(texts(&needed), expected);
}

#[test]
fn a_name_that_a_proxy_resolved_is_granted_by_its_name() {
    let name: Name = "a.example".parse().unwrap();
    let mut needed = LeastGrants::new();
    needed.note(&Target::Resolve(name.clone()), None);
    for port in [443, 80] {
        let name = name.clone();
        needed.note(&Target::ConnectName { name, port }, None);
    }
    assert_eq!(texts(&needed), ["allow-connect a.example:80,443"]);
}

/// What a run did, the flags that it takes, and that they are enough.
#[test]
fn the_least_is_told_and_is_enough() {
    let public: Name = "public.example".parse().unwrap();
    let private: Name = "private.example".parse().unwrap();
    let localhost: Name = "localhost".parse().unwrap();
    let mut answers = ResolvedNames::new();
    for (name, address) in [
        (&public, "1.1.1.1"),
        (&private, "10.0.0.1"),
        (&localhost, "127.0.0.1"),
    ] {
        answers.insert(name, [address.parse().unwrap()], Instant::now());
    }
    let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
    let connect = |text| Target::Connect(address(text));
    let send = |text| Target::UdpSend(address(text));
    let receive = |text| Target::UdpReceive(address(text));
    let resolve = |name: &Name| (Target::Resolve(name.clone()), None);
    let table = [
        (vec![], &[][..]),
        (vec![resolve(&public)], &["allow-resolve public.example"]),
        (
            vec![resolve(&public), (connect("1.1.1.1:80"), Some(&public))],
            &["allow-connect public.example:80"],
        ),
        (
            vec![resolve(&private), (connect("10.0.0.1:80"), Some(&private))],
            &["allow-connect 10.0.0.1:80", "allow-resolve private.example"],
        ),
        (
            vec![
                resolve(&localhost),
                (connect("127.0.0.1:80"), Some(&localhost)),
            ],
            &["allow-connect localhost:80"],
        ),
        (
            vec![
                (connect("[::1]:2"), None),
                (connect("[::1]:1"), None),
                (connect("[::1]:2"), None),
            ],
            &["allow-connect [::1]:1,2"],
        ),
        (
            vec![
                (Target::Bind(address("127.0.0.1:80")), None),
                (Target::Listen(address("127.0.0.1:80")), None),
                (Target::Accept(address("127.0.0.1:5000")), None),
            ],
            &["allow-listen 127.0.0.1:80"],
        ),
        (
            vec![
                (Target::Bind(address("127.0.0.1:0")), None),
                (Target::Listen(address("127.0.0.1:4711")), None),
            ],
            &["allow-listen 127.0.0.1:0"],
        ),
        (
            vec![
                (Target::Bind(address("127.0.0.1:0")), None),
                (Target::Bind(address("127.0.0.1:99")), None),
                (connect("1.1.1.1:80"), None),
            ],
            &[
                "allow-connect 1.1.1.1:80",
                "allow-listen 127.0.0.1:0",
                "allow-listen 127.0.0.1:99",
            ],
        ),
        (
            vec![
                (Target::UdpBind(address("0.0.0.0:0")), None),
                (send("1.1.1.1:53"), Some(&public)),
                (receive("1.1.1.1:53"), None),
            ],
            &["allow-udp-send public.example:53"],
        ),
        (
            vec![
                (Target::UdpBind(address("0.0.0.0:0")), None),
                (send("1.1.1.1:53"), None),
                (receive("1.1.1.2:53"), None),
            ],
            &["allow-udp-send 1.1.1.1:53", "allow-udp-bind 0.0.0.0:0"],
        ),
        (
            vec![
                (Target::UdpBind(address("127.0.0.1:53")), None),
                (receive("127.0.0.1:5000"), None),
            ],
            &["allow-udp-bind 127.0.0.1:53"],
        ),
        (
            vec![
                (Target::UdpBind(address("127.0.0.1:53")), None),
                (receive("127.0.0.1:5000"), None),
                (send("127.0.0.1:5000"), None),
            ],
            &["allow-udp-send 127.0.0.1:*", "allow-udp-bind 127.0.0.1:53"],
        ),
    ];
    for (did, expected) in table {
        let mut needed = LeastGrants::new();
        for (target, name) in &did {
            needed.note(target, *name);
        }
        assert_eq!(texts(&needed), expected);
        assert_eq!(needed.is_empty(), expected.is_empty());
        let policy = needed
            .rules()
            .into_iter()
            .fold(Policy::new(), Policy::grant);
        for (target, _) in &did {
            assert!(
                policy.judge(target, &answers).is_allowed(),
                "{target} by {expected:?}"
            );
        }
        let file = crate::profile::PolicyFile::parse(&needed.to_toml()).unwrap();
        let mut from_file = file.profile(None).unwrap().policy.rules().to_vec();
        let mut rules = needed.rules();
        rules.sort_by_key(Rule::to_string);
        from_file.sort_by_key(Rule::to_string);
        assert_eq!(from_file, rules);
    }
}

fn address(n: usize, port: usize) -> SocketAddr {
    let ip = std::net::Ipv4Addr::from(0x0100_0000 + u32::try_from(n).unwrap());
    SocketAddr::from((ip, u16::try_from(port).unwrap()))
}

/// What a flood leaves behind.
fn held(needed: &LeastGrants) -> usize {
    let ports = |reached: &Reached| -> usize {
        let ports = reached.values().map(|ports| match ports {
            PortsReached::Some(ports) => ports.len(),
            PortsReached::Any => 0,
        });
        ports.sum::<usize>() + reached.len()
    };
    needed.resolved.len()
        + ports(&needed.connects)
        + ports(&needed.sends)
        + needed.bound.len()
        + needed.listens.len()
        + needed.udp_bound.len()
        + needed.sent_to.len()
        + needed.received_from.all.len()
        + needed.received_from.order.len()
        + needed.answered.len()
}

#[test]
fn a_flood_is_remembered_up_to_a_bound_and_the_rest_is_counted() {
    for (count, omitted) in [
        (MAX_LEAST_GRANTS, 0),
        (MAX_LEAST_GRANTS + 1, 1),
        (300_000, 300_000 - MAX_LEAST_GRANTS as u64),
    ] {
        // From everywhere, and each is answered.
        let mut needed = LeastGrants::new();
        for n in 0..count {
            needed.note(&Target::UdpReceive(address(n, 53)), None);
            needed.note(&Target::UdpSend(address(n, 53)), None);
        }
        assert_eq!(needed.omitted(), omitted, "{count}");
        assert_eq!(needed.rules().len(), MAX_LEAST_GRANTS);
        assert!(held(&needed) <= 10 * MAX_LEAST_GRANTS, "{}", held(&needed));
        // To everywhere.
        let mut needed = LeastGrants::new();
        for n in 0..count {
            needed.note(&Target::UdpSend(address(n, 53)), None);
            needed.note(&Target::Connect(address(n, 53)), None);
        }
        assert_eq!(needed.omitted(), 2 * omitted, "{count}");
        assert_eq!(needed.rules().len(), 2 * MAX_LEAST_GRANTS);
        assert!(held(&needed) <= 10 * MAX_LEAST_GRANTS, "{}", held(&needed));
    }
    let mut needed = LeastGrants::new();
    needed.note_omitted(5);
    assert_eq!(needed.omitted(), 5);
    assert!(needed.is_empty());
}

#[test]
fn a_host_with_too_many_ports_is_granted_with_all_of_them() {
    for (count, expected) in [
        (MAX_LEAST_GRANTS, ",1023,1024"),
        (MAX_LEAST_GRANTS + 1, "allow-connect 1.0.0.0:*"),
        (65_535, "allow-connect 1.0.0.0:*"),
    ] {
        let mut needed = LeastGrants::new();
        for port in 1..=count {
            needed.note(&Target::Connect(address(0, port)), None);
        }
        let flags = texts(&needed);
        assert_eq!(flags.len(), 1);
        assert!(flags[0].ends_with(expected), "{flags:?}");
        assert_eq!(needed.omitted(), 0);
    }
}

#[test]
fn requests_need_just_those_requests() {
    let request = |text: &str| {
        let (method, url) = text.split_once(' ').unwrap();
        HttpTarget::new(method.parse().unwrap(), url.parse().unwrap())
    };
    let rules = |needed: &LeastGrants| -> Vec<String> {
        needed.rules().iter().map(ToString::to_string).collect()
    };
    let mut needed = LeastGrants::new();
    for text in [
        "GET https://a.example/x?secret",
        "HEAD https://a.example/x",
        "GET https://a.example/x",
        "GET https://a.example/y'*",
        "POST http://b.example:81/",
    ] {
        needed.note(&Target::Http(request(text)), None);
    }
    let expected = [
        "allow-http GET,HEAD https://a.example/x",
        "allow-http GET https://a.example/y%27%2A",
        "allow-http POST http://b.example:81/",
    ];
    assert_eq!(rules(&needed), expected);
    let file = crate::profile::PolicyFile::parse(&needed.to_toml()).unwrap();
    let granted = file.profile(None).unwrap().policy;
    assert_eq!(granted.rules(), needed.rules());

    // A socket to the same place is enough for both.
    let name = "b.example".parse().unwrap();
    needed.note(&Target::Connect("1.2.3.4:81".parse().unwrap()), Some(&name));
    assert_eq!(
        rules(&needed),
        ["allow-connect b.example:81", expected[0], expected[1]]
    );

    // A name reaches its public addresses alone.
    for (text, address, more) in [
        ("GET http://c.example/", "1.2.3.4:80", None),
        ("GET http://localhost/", "127.0.0.1:80", None),
        ("GET http://10.0.0.2/", "10.0.0.2:80", None),
        (
            "GET http://c.example/",
            "10.0.0.1:80",
            Some("allow-connect 10.0.0.1:80"),
        ),
    ] {
        let mut needed = LeastGrants::new();
        needed.note(&Target::Http(request(text)), None);
        needed.note_http_address(&request(text), address.parse().unwrap());
        let own = format!("allow-http {text}");
        let expected: Vec<&str> = more.into_iter().chain([own.as_str()]).collect();
        assert_eq!(rules(&needed), expected, "{address}");
    }
}

/// The rules for these requests to `http://a.example/`, and how many requests are in none of them.
fn needed_for(requests: impl IntoIterator<Item = (String, String)>) -> (Vec<Rule>, u64) {
    let mut needed = LeastGrants::new();
    for (method, path) in requests {
        let url = format!("http://a.example/{path}").parse().unwrap();
        let request = HttpTarget::new(method.parse().unwrap(), url);
        needed.note(&Target::Http(request.clone()), None);
        if needed.omitted() == 0 {
            // The same request again.
            needed.note(&Target::Http(request), None);
            assert_eq!(needed.omitted(), 0);
        }
    }
    assert!(needed.requests.bytes <= MAX_REQUEST_BYTES);
    let methods = needed.requests.methods.values();
    assert_eq!(
        needed.requests.count,
        methods.map(BTreeSet::len).sum::<usize>()
    );
    (needed.rules(), needed.omitted())
}

#[test]
fn requests_are_bounded() {
    let count = MAX_LEAST_GRANTS + 1;
    let urls = (0..count).map(|n| ("GET".to_owned(), n.to_string()));
    let (rules, omitted) = needed_for(urls);
    assert_eq!((rules.len(), omitted), (MAX_LEAST_GRANTS, 1));

    // A rule has a bound on its methods. So has each URL, and it needs one rule at most.
    let methods = (0..=MAX_HTTP_METHODS).map(|n| (format!("M{n}"), String::new()));
    let (rules, omitted) = needed_for(methods);
    assert_eq!((rules.len(), omitted), (1, 1));
    let text = rules[0].to_string();
    let requests = text.strip_prefix("allow-http ").unwrap().parse().unwrap();
    assert_eq!(rules[0], Rule::Http { requests });

    // Methods count too.
    let both = (0..2 * count).map(|n| (format!("M{}", n % 8), (n / 8).to_string()));
    let (rules, omitted) = needed_for(both);
    assert_eq!(rules.len(), MAX_LEAST_GRANTS / 8);
    assert_eq!(omitted, (2 * count - MAX_LEAST_GRANTS) as u64);

    // Long URLs.
    let long = (0..MAX_LEAST_GRANTS).map(|n| {
        let path = format!("{n}{}", "a".repeat(MAX_HTTP_PATH_BYTES - 10));
        ("GET".to_owned(), path)
    });
    let (rules, omitted) = needed_for(long);
    assert_eq!(rules.len() as u64 + omitted, MAX_LEAST_GRANTS as u64);
    assert!(rules.len() <= MAX_REQUEST_BYTES / (MAX_HTTP_PATH_BYTES - 10));
}
