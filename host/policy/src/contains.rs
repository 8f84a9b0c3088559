//! Whether one rule grants all that another one does. Decisions do not depend on this, only what is told about a ceiling.

use crate::{Destination, Endpoint, Host, Hosts, Names, Rule};

/// Whether `wider` grants all that `rule` does. False also where that can't be told from the two alone.
pub(crate) fn contains(wider: &Rule, rule: &Rule) -> bool {
    match (wider, rule) {
        (Rule::Everything, _) => true,
        (Rule::Connect { to: wider }, Rule::Connect { to })
        | (Rule::UdpSend { to: wider }, Rule::UdpSend { to }) => destination(wider, to),
        (Rule::Resolve { names: wider }, Rule::Resolve { names: own }) => names(wider, own),
        (Rule::Listen { on: wider }, Rule::Listen { on })
        | (Rule::UdpBind { on: wider }, Rule::UdpBind { on }) => endpoint(wider, on),
        (Rule::Accept { from: wider }, Rule::Accept { from }) => wider.net().contains(&from.net()),
        (Rule::Http { requests: wider }, Rule::Http { requests }) => wider.contains(requests),
        (Rule::Connect { to }, Rule::Http { requests }) => {
            hosts(&to.hosts, requests.hosts()) && to.ports.contains(requests.port())
        }
        _ => wider == rule,
    }
}

fn destination(wider: &Destination, own: &Destination) -> bool {
    hosts(&wider.hosts, &own.hosts) && wider.ports.contains_all(&own.ports)
}

pub(crate) fn hosts(wider: &Hosts, own: &Hosts) -> bool {
    match (wider, own) {
        (Hosts::Range(wider), Hosts::Range(own)) => wider.net().contains(&own.net()),
        (Hosts::Range(wider), Hosts::One(Host::Address(address))) => wider.contains(*address),
        (Hosts::Subdomains(parent), Hosts::One(Host::Name(name))) => name.is_below(parent),
        (Hosts::Subdomains(parent), Hosts::Subdomains(name)) => {
            name == parent || name.is_below(parent)
        }
        _ => wider == own,
    }
}

fn names(wider: &Names, own: &Names) -> bool {
    match (wider, own) {
        (Names::Below(parent), Names::One(name)) => name.is_below(parent),
        (Names::Below(parent), Names::Below(name)) => name == parent || name.is_below(parent),
        _ => wider == own,
    }
}

fn endpoint(wider: &Endpoint, own: &Endpoint) -> bool {
    let single = wider.addresses.single();
    let is_wildcard = single.is_some_and(|ip| {
        ip.is_unspecified() && ip.is_ipv4() == own.addresses.net().addr().is_ipv4()
    });
    (is_wildcard || wider.addresses.net().contains(&own.addresses.net()))
        && wider.ports.contains_all(&own.ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    fn rule(text: &str) -> Rule {
        let (key, value) = text.split_once(' ').unwrap_or((text, ""));
        let policy = Policy::new();
        let policy = match key {
            "connect" => policy.allow_connect_to(value).unwrap(),
            "udp" => policy.allow_udp_send(value).unwrap(),
            "resolve" => policy.allow_resolve(value).unwrap(),
            "listen" => policy.allow_listen_on(value).unwrap(),
            "accept" => policy.allow_accept(value).unwrap(),
            "http" => policy.allow_http(value).unwrap(),
            "everything" => Policy::everything(),
            _ => panic!("{text}"),
        };
        policy.rules()[0].clone()
    }

    #[test]
    fn what_a_wider_rule_grants() {
        for (wider, own, expected) in [
            ("everything", "connect 10.0.0.1:80", true),
            ("connect 10.0.0.1:80", "everything", false),
            ("connect 10.0.0.0/8:80-90", "connect 10.0.0.1:80,85", true),
            ("connect 10.0.0.0/8:80-90", "connect 10.0.0.1:80,91", false),
            ("connect 10.0.0.0/8:80-90", "connect 10.0.0.1", false),
            ("connect 10.0.0.0/8", "connect 10.1.0.0/16:1", true),
            ("connect 10.1.0.0/16", "connect 10.0.0.0/8:1", false),
            ("connect 10.0.0.0/8", "udp 10.0.0.1:53", false),
            ("connect *.a.example:1", "connect b.a.example:1", true),
            ("connect *.a.example:1", "connect *.b.a.example:1", true),
            ("connect *.a.example:1", "connect *.a.example:1", true),
            ("connect *.a.example:1", "connect a.example:1", false),
            ("connect a.example:1", "connect *.a.example:1", false),
            ("connect a.example:80", "http GET http://a.example/x", true),
            ("connect a.example:80", "http GET http://b.example/x", false),
            (
                "connect a.example:80",
                "http GET https://a.example/x",
                false,
            ),
            ("resolve *.example", "resolve a.example", true),
            ("resolve a.example", "resolve *.example", false),
            ("listen 0.0.0.0:80", "listen 127.0.0.1:80", true),
            ("listen 0.0.0.0:80", "listen [::1]:80", false),
            ("listen 127.0.0.1:80", "listen 0.0.0.0:80", false),
            ("listen 127.0.0.0/8:0", "listen 127.0.0.1:0", true),
            ("listen 127.0.0.0/8:0", "listen 127.0.0.1:1", false),
            ("accept 10.0.0.0/8", "accept 10.0.0.1", true),
            ("accept 10.0.0.1", "accept 10.0.0.0/8", false),
            (
                "http * https://a.example/*",
                "http GET https://a.example/x",
                true,
            ),
            (
                "http GET https://a.example/*",
                "http * https://a.example/x",
                false,
            ),
            (
                "http GET,PUT https://a.example/v1/*",
                "http PUT https://a.example/v1/a/*",
                true,
            ),
            (
                "http GET https://a.example/v1/*",
                "http GET https://a.example/v1",
                false,
            ),
            (
                "http GET https://a.example/v1",
                "http GET https://a.example/v1",
                true,
            ),
            (
                "http GET https://a.example/v1",
                "http GET https://a.example/v1/*",
                false,
            ),
            (
                "http GET https://a.example/*",
                "http GET https://a.example:444/x",
                false,
            ),
            (
                "http GET https://*.example/*",
                "http GET https://a.example/x",
                true,
            ),
        ] {
            assert_eq!(
                contains(&rule(wider), &rule(own)),
                expected,
                "{wider} and {own}"
            );
        }
    }
}
