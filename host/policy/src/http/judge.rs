//! Judging the address to which the host would send a request.

use super::HttpTarget;
use crate::{DenialReason, Host, Policy, ResolvedNames, Rule, Target};
use std::net::{IpAddr, SocketAddr};

impl Policy {
    /// Judge whether a request may be sent to `address`. This is the address in its URL, or one that the URL's name
    /// resolves to. Ask [`Policy::judge`] with [`Target::Http`] first: this method does not judge the request itself.
    ///
    /// The rules are those for sockets:
    ///
    /// - An address that is denied is never allowed.
    /// - A name reaches its static addresses and its public addresses. With [`Policy::allow_private`] it reaches the
    ///   others too.
    /// - A name also reaches an address that a rule for connecting grants by its number.
    ///
    /// # Errors
    /// The reason of the denial.
    pub fn http_reaches(
        &self,
        target: &HttpTarget,
        address: IpAddr,
        answers: &ResolvedNames,
    ) -> Result<(), DenialReason> {
        self.http_reaches_alone(target, address, answers)?;
        match self.ceiling() {
            Some(ceiling) => ceiling
                .http_reaches(target, address, answers)
                .map_err(DenialReason::of_ceiling),
            None => Ok(()),
        }
    }

    fn http_reaches_alone(
        &self,
        target: &HttpTarget,
        address: IpAddr,
        answers: &ResolvedNames,
    ) -> Result<(), DenialReason> {
        let place = SocketAddr::new(address, target.url.port());
        if let Some(rule) = self.denied_by(&Target::Connect(place)) {
            return Err(DenialReason::Rule { rule: rule.clone() });
        }
        let Host::Name(name) = target.url.host() else {
            return Ok(());
        };
        let by_number = |rule: &Rule| match rule {
            Rule::Everything | Rule::Connect { .. } => rule.covers_connect(place),
            _ => false,
        };
        if answers.is_static(name)
            || self.reaches_alone(name, address, answers)
            || self.rules.iter().any(by_number)
        {
            return Ok(());
        }
        Err(match answers.special(address) {
            Some(special) => self.not_there(name, address, special),
            None => DenialReason::NotLoopback {
                name: name.clone(),
                address,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GrantedBy, Verdict};

    fn target(text: &str) -> HttpTarget {
        let (method, url) = text.split_once(' ').unwrap();
        HttpTarget::new(method.parse().unwrap(), url.parse().unwrap())
    }

    fn allowed(policy: &Policy, text: &str) -> Option<String> {
        match policy.judge(&Target::Http(target(text)), &ResolvedNames::new()) {
            Verdict::Allowed {
                by: GrantedBy::Rule(rule),
                ..
            } => Some(rule.to_string()),
            _ => None,
        }
    }

    #[test]
    fn a_grant_to_connect_includes_http_and_not_the_other_way_round() {
        let policy = Policy::new()
            .allow_connect_to("a.example:443")
            .unwrap()
            .allow_connect_to("10.0.0.0/8:80")
            .unwrap()
            .allow_http("GET http://b.example/*")
            .unwrap();
        for (asked, expected) in [
            (
                "PUT https://a.example/x",
                Some("allow-connect a.example:443"),
            ),
            ("PUT http://a.example/x", None),
            ("GET http://10.2.3.4/", Some("allow-connect 10.0.0.0/8:80")),
            (
                "GET http://b.example/",
                Some("allow-http GET http://b.example/*"),
            ),
            ("PUT http://b.example/", None),
        ] {
            assert_eq!(allowed(&policy, asked).as_deref(), expected, "{asked}");
        }
        let mut answers = ResolvedNames::new();
        let address = "1.2.3.4".parse().unwrap();
        let name = "b.example".parse().unwrap();
        answers.insert(&name, [address], std::time::Instant::now());
        let raw = [
            Target::Connect(SocketAddr::new(address, 80)),
            Target::UdpSend(SocketAddr::new(address, 80)),
            Target::Resolve(name),
        ];
        for target in raw {
            let verdict = policy.judge(&target, &answers);
            assert!(!verdict.is_allowed(), "{target}: no socket, no lookup");
        }
    }

    #[test]
    fn what_is_denied_is_denied_whatever_is_granted() {
        let policy = Policy::everything()
            .deny_http("DELETE https://a.example/*")
            .unwrap()
            .deny_connect("169.254.169.254")
            .unwrap();
        let everything = Some("allow-net");
        for (asked, expected) in [
            ("GET https://a.example/x", everything),
            ("DELETE https://a.example/x", None),
            ("DELETE https://b.example/x", everything),
            ("GET http://169.254.169.254/latest", None),
            ("GET http://[::ffff:169.254.169.254]/latest", None),
            ("GET http://[64:ff9b::169.254.169.254]/latest", None),
            ("GET http://2852039166/latest", None),
        ] {
            assert_eq!(allowed(&policy, asked).as_deref(), expected, "{asked}");
        }
        let asked = target("GET http://a.example/");
        for (address, expected) in [
            ("169.254.169.254", false),
            ("64:ff9b::169.254.169.254", false),
            ("10.0.0.1", true),
        ] {
            let reached =
                policy.http_reaches(&asked, address.parse().unwrap(), &ResolvedNames::new());
            assert_eq!(reached.is_ok(), expected, "{address}");
        }
    }

    #[test]
    fn a_name_that_may_not_be_resolved_is_sent_nothing() {
        let policy = Policy::everything().deny_resolve("*.a.example").unwrap();
        for (asked, expected) in [
            ("GET http://b.a.example/", None),
            ("GET https://B.A.example:444/x", None),
            ("GET http://a.example/", Some("allow-net")),
        ] {
            assert_eq!(allowed(&policy, asked).as_deref(), expected, "{asked}");
        }
    }

    #[test]
    fn a_name_reaches_its_public_addresses() {
        let policy = Policy::new()
            .allow_http("* http://a.example/*")
            .unwrap()
            .allow_http("* http://localhost/*")
            .unwrap();
        let by_number = policy.clone().allow_connect_to("10.0.0.1:80").unwrap();
        let private = policy.clone().allow_private();
        let mut static_host = ResolvedNames::new();
        let inside = "10.0.0.1".parse().unwrap();
        static_host.set_static(&"a.example".parse().unwrap(), [inside]);
        let none = ResolvedNames::new();
        let asked = target("GET http://a.example/");
        let local = target("GET http://localhost/");
        for (policy, asked, address, answers, expected) in [
            (&policy, &asked, "1.2.3.4", &none, ""),
            (
                &policy,
                &asked,
                "10.0.0.1",
                &none,
                "a.example is at 10.0.0.1",
            ),
            (
                &policy,
                &asked,
                "::ffff:127.0.0.1",
                &none,
                "a.example is at",
            ),
            (
                &policy,
                &asked,
                "64:ff9b::10.0.0.1",
                &none,
                "a.example is at",
            ),
            (&by_number, &asked, "10.0.0.1", &none, ""),
            (
                &by_number,
                &asked,
                "10.0.0.2",
                &none,
                "a.example is at 10.0.0.2",
            ),
            (&private, &asked, "10.0.0.1", &none, ""),
            (&policy, &asked, "10.0.0.1", &static_host, ""),
            (&policy, &local, "127.0.0.1", &none, ""),
            (
                &policy,
                &local,
                "1.2.3.4",
                &none,
                "is not a loopback address",
            ),
        ] {
            let reached = policy.http_reaches(asked, address.parse().unwrap(), answers);
            let text = reached.err().map(|reason| reason.to_string());
            match (text, expected) {
                (None, "") => {}
                (Some(text), expected) if !expected.is_empty() => {
                    assert!(text.contains(expected), "{address}: {text}");
                }
                (found, _) => panic!("{asked} at {address}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_refusal_says_what_would_allow_it() {
        let asked = Target::Http(target("GET https://a.example/v1/x?y"));
        let verdict = Policy::new().judge(&asked, &ResolvedNames::new());
        let Verdict::Denied { reason, name } = verdict else {
            panic!("nothing is granted");
        };
        assert_eq!(
            reason.refusal(&asked, name.as_ref()),
            "send GET https://a.example/v1/x: no rule grants it (allow-http GET https://a.example/v1/x would)"
        );
    }
}
