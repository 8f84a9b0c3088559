//! The library's hints in this command's words: its options.

use sockbox::{AuditEvent, Error, Hint, TlsError, TlsHint, policy};
use std::fmt;

/// What a failure is told as.
pub fn of_error(error: &Error) -> String {
    let text = replaced(error.to_string(), error.hint());
    match error {
        Error::Tls(TlsError::ClientCertificate { .. }) => text.replace(
            "is encrypted: give its password,",
            "is encrypted: give its password as --cert FILE:PASSWORD,",
        ),
        Error::Proxy { problem, .. } if problem.is_about_credentials() => text.replace(
            "wants other credentials",
            "wants other credentials: -U USER:PASSWORD gives them",
        ),
        _ => text,
    }
}

/// What an event is told as.
pub fn of_event(event: &AuditEvent) -> String {
    replaced(event.to_string(), event.hint().map(Hint::Policy))
}

/// What is told of a listener or a UDP socket that only its own run can reach, on a port that the component asked for: a user may
/// have meant it for others.
pub fn of_private(event: &AuditEvent) -> Option<String> {
    let (target, verdict) = event.decision()?;
    match target {
        policy::Target::Bind(address) if verdict.is_private() && address.port() != 0 => Some(
            format!("{address} is private to this run (--allow-listen {address} would open it)"),
        ),
        policy::Target::UdpBind(address) if verdict.is_private() && address.port() != 0 => {
            Some(format!(
                "{address} over UDP is private to this run (--allow-udp-bind {address} would open it)"
            ))
        }
        _ => None,
    }
}

/// What a refusal is told as.
pub fn of_refusal(
    reason: &policy::DenialReason,
    target: &policy::Target,
    name: Option<&policy::Name>,
) -> String {
    let hint = reason.hint(target, name).map(Hint::Policy);
    replaced(reason.refusal(target, name), hint)
}

/// A text with the library's words for the hint, which are at its end, replaced by ours.
fn replaced(text: String, hint: Option<Hint>) -> String {
    let Some(hint) = hint else {
        return text;
    };
    match text.rsplit_once(&format!("({hint} ")) {
        Some((before, behind)) => format!("{before}({} {behind}", options(&hint)),
        None => text,
    }
}

/// A rule, such as `allow-resolve a.example`, as an option with its value. A value that begins with `-` is
/// joined with `=`: it would be taken for another option. A value with a space is quoted for a shell; none of them
/// contains a quotation mark.
pub fn option(rule: &impl fmt::Display) -> String {
    let rule = rule.to_string();
    match rule.split_once(' ') {
        Some((key, value)) if value.starts_with('-') => format!("--{key}={value}"),
        Some((key, value)) if value.contains(' ') => format!("--{key} '{value}'"),
        _ => format!("--{rule}"),
    }
}

/// The options that do what a hint says.
fn options(hint: &Hint) -> String {
    match hint {
        Hint::Policy(policy::Hint::GrantPrivate(rule)) => {
            format!("{} --allow-private", option(rule))
        }
        Hint::Policy(hint) => option(hint),
        Hint::Tls(TlsHint::TrustCertificate) => "--cacert with that certificate".to_owned(),
        Hint::Tls(TlsHint::TrustIssuer) => "--cacert with the issuer's certificate".to_owned(),
        Hint::Tls(TlsHint::ShowCertificate) => "--cert FILE".to_owned(),
        hint => format!("--{hint}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockbox::Policy;
    use sockbox::limits::Limit;
    use sockbox::policy::{ResolvedNames, Target, Verdict};

    #[test]
    fn hints_are_told_as_options() {
        for (error, expected) in [
            (
                Error::Exhausted {
                    limit: Limit::Sockets,
                },
                "the component needs more sockets than its limit allows (--max-sockets sets the limit)",
            ),
            (
                Error::InsecureRedirect {
                    url: "http://a.example/(allow-downgrade)".to_owned(),
                },
                "refused to follow a redirect from https to http://a.example/(allow-downgrade): http is not \
                 encrypted (--allow-downgrade would allow it)",
            ),
        ] {
            assert_eq!(of_error(&error), expected);
        }
        let target = Target::Connect("192.0.2.1:80".parse().unwrap());
        let verdict = Policy::new().judge(&target, &ResolvedNames::new());
        let Verdict::Denied { reason, .. } = verdict else {
            panic!("nothing is granted");
        };
        assert_eq!(
            of_refusal(&reason, &target, None),
            "connect to 192.0.2.1:80: no rule grants it (--allow-connect 192.0.2.1:80 would)"
        );
        let target = Target::Resolve("-x.example".parse().unwrap());
        let verdict = Policy::new().judge(&target, &ResolvedNames::new());
        let Verdict::Denied { reason, .. } = verdict else {
            panic!("nothing is granted");
        };
        assert_eq!(
            of_refusal(&reason, &target, None),
            "resolve -x.example: no rule grants it (--allow-resolve=-x.example would)"
        );
    }
}
