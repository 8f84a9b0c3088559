//! The library's hints in this command's words: its options.

use sockbox::{AuditEvent, Error, Hint, TlsError, TlsHint, policy};

/// What a failure is told as.
pub fn of_error(error: &Error) -> String {
    let text = replaced(error.to_string(), error.hint());
    match error {
        Error::Tls(TlsError::ClientCertificate { .. }) => text.replace(
            "takes a password: give it,",
            "takes a password: give it as --cert FILE:PASSWORD,",
        ),
        _ => text,
    }
}

/// What an event is told as.
pub fn of_event(event: &AuditEvent) -> String {
    replaced(event.to_string(), event.hint().map(Hint::Policy))
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

/// The option that grants what a rule says, as it is typed in a shell.
pub fn option(rule: &policy::Rule) -> String {
    match rule {
        // No part of it has a quotation mark in it.
        policy::Rule::Http { requests } => format!("--allow-http '{requests}'"),
        // The range of one address is written as the address: see the library's text.
        rule => format!("--{}", policy::Hint::Grant(rule.clone())),
    }
}

/// The options that do what a hint says.
fn options(hint: &Hint) -> String {
    match hint {
        Hint::Policy(policy::Hint::Grant(rule)) => option(rule),
        Hint::Policy(policy::Hint::GrantPrivate(rule)) => format!("--{rule} --allow-private"),
        Hint::Policy(hint) => format!("--{hint}"),
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
                "the component needs more sockets than it may have (--max-sockets bounds them)",
            ),
            (
                Error::InsecureRedirect {
                    url: "http://a.example/(allow-downgrade)".to_owned(),
                },
                "not allowed to go from https to http://a.example/(allow-downgrade): anybody on the way could \
                 read what is sent, and answer (--allow-downgrade would allow it)",
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
    }
}
