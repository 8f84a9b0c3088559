use super::*;

#[test]
fn rules_can_be_read_by_people() {
    let listen = |text: &str| Rule::Listen {
        on: text.parse().unwrap(),
    };
    let connect = |text: &str| Rule::Connect {
        to: text.parse().unwrap(),
    };
    let redirect = |host: &str, public_only| Rule::Redirect {
        host: host.parse().unwrap(),
        port: 80,
        public_only,
    };
    for (rule, expected) in [
        (Rule::Everything, "allow-net"),
        (connect("Example.com:80"), "allow-connect example.com:80"),
        (
            connect("*.Example.com:80"),
            "allow-connect *.example.com:80",
        ),
        (connect("[::1]"), "allow-connect [::1]:*"),
        (connect("10.0.0.0/8:1-2"), "allow-connect 10.0.0.0/8:1-2"),
        (connect("[fd00::/8]"), "allow-connect [fd00::/8]:*"),
        (redirect("::1", false), "redirect to [::1]:80"),
        (
            redirect("Example.com", true),
            "redirect to example.com:80 (public addresses)",
        ),
        (listen("127.0.0.1:9999"), "allow-listen 127.0.0.1:9999"),
        (listen("[::1]:0"), "allow-listen [::1]:0"),
    ] {
        assert_eq!(rule.to_string(), expected);
    }
}

#[test]
fn names_are_not_denied() {
    for (text, expected) in [
        ("10.0.0.0/8", Ok("10.0.0.0/8:*")),
        ("[::1]:80", Ok("[::1]:80")),
        ("2130706433", Ok("127.0.0.1:*")),
        ("example.com", Err("example.com")),
        ("*.example.com:80", Err("*.example.com")),
    ] {
        let found = text.parse::<Denied>();
        let found = found.map(|it| it.to_string());
        let expected = expected
            .map(str::to_owned)
            .map_err(|name| RuleError::NameDenied {
                text: name.to_owned(),
            });
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_stands_for_a_denied_address_is_denied() {
    let deny = Deny::Connect {
        to: "10.0.0.0/8:80".parse().unwrap(),
    };
    for (address, expected) in [
        ("10.0.0.1:80", true),
        ("10.0.0.1:81", false),
        ("11.0.0.1:80", false),
        ("[::ffff:10.0.0.1]:80", true),
        ("[::10.0.0.1]:80", true),
        ("[64:ff9b::10.0.0.1]:80", true),
        ("[64:ff9b::11.0.0.1]:80", false),
        ("[2002:a00:1::]:80", true),
        ("[2002:b00:1::]:80", false),
        // Teredo keeps its client's address inverted.
        ("[2001:0:102:304::f5ff:fffe]:80", true),
        ("[2001:0:a00:1::fefd:fcfb]:80", true),
    ] {
        assert_eq!(
            deny.covers_connect(address.parse().unwrap()),
            expected,
            "{address}"
        );
    }
}
