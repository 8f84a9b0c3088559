use super::*;

#[test]
fn hosts_are_read_in_every_form() {
    let address = |text: &str| Host::Address(text.parse().unwrap());
    let name = |text: &str| Host::Name(Name(text.to_owned()));
    let table = [
        ("example.com", name("example.com")),
        ("EXAMPLE.com", name("example.com")),
        ("example.com.", name("example.com")),
        ("bücher.example", name("xn--bcher-kva.example")),
        ("xn--bcher-kva.example", name("xn--bcher-kva.example")),
        ("localhost", name("localhost")),
        ("127.0.0.1", address("127.0.0.1")),
        ("2130706433", address("127.0.0.1")),
        ("0x7f.1", address("127.0.0.1")),
        ("0177.0.0.1", address("127.0.0.1")),
        ("127.1", address("127.0.0.1")),
        ("127.0.0.1.", address("127.0.0.1")),
        ("::1", address("::1")),
        ("[::1]", address("::1")),
        ("::ffff:10.0.0.1", address("10.0.0.1")),
        ("[::ffff:a00:1]", address("10.0.0.1")),
    ];
    for (input, expected) in table {
        assert_eq!(input.parse(), Ok(expected), "{input:?}");
    }
}

#[test]
fn what_is_no_host_is_refused() {
    for input in [
        "",
        ".",
        " ",
        "a b",
        "a/b",
        "http://example.com",
        "example.com:80",
        "[::1",
        "::1]",
        "256.0.0.1",
        "1.2.3.4.5",
        "0x100000000",
        "a\0b",
        "a\nb",
        "user@example.com",
        "*.example.com/",
        "*.example.com",
        "a,b",
        "a!b",
    ] {
        assert_eq!(
            input.parse::<Host>(),
            Err(RuleError::Host {
                text: input.to_owned()
            }),
            "{input:?}"
        );
    }
}

#[test]
fn a_name_has_something_between_its_dots() {
    for (text, instead) in [
        ("deno.land..", "deno.land"),
        ("deno.land...", "deno.land"),
        ("1.1.1.1..", "1.1.1.1"),
        (".example.com", "example.com"),
        ("a..example", "a.example"),
        ("b\u{fc}cher..example", "xn--bcher-kva.example"),
        ("a%2e%2eexample", "a.example"),
        ("a\u{3002}\u{3002}example", "a.example"),
    ] {
        let expected = format!(
            "`{text}` has an empty label (two dots in a row, or a dot at the start): write `{instead}`"
        );
        let host = text.parse::<Host>().map_err(|it| it.to_string());
        assert_eq!(host, Err(expected.clone()), "{text:?}");
        let name = text.parse::<Name>().map_err(|it| it.to_string());
        assert_eq!(name, Err(expected), "{text:?}");
        assert!(instead.parse::<Host>().is_ok(), "{instead}");
    }
    for text in [".", "..", "..."] {
        let text = text.to_owned();
        assert_eq!(text.parse::<Host>(), Err(RuleError::Host { text }));
    }
}

#[test]
fn a_name_has_at_most_253_bytes_and_63_between_two_dots() {
    let label = |bytes| "a".repeat(bytes);
    let of = |bytes: usize| {
        let longest = vec![label(MAX_LABEL_BYTES); 4].join(".");
        longest[longest.len() - bytes..].to_owned()
    };
    for (text, accepted) in [
        (of(MAX_NAME_BYTES), true),
        (format!("{}.", of(MAX_NAME_BYTES)), true),
        (of(MAX_NAME_BYTES + 1), false),
        (label(MAX_LABEL_BYTES), true),
        (label(MAX_LABEL_BYTES + 1), false),
        (format!("a.{}.b", label(MAX_LABEL_BYTES)), true),
        (format!("a.{}.b", label(MAX_LABEL_BYTES + 1)), false),
        // It is the form with punycode that counts.
        (format!("{}\u{fc}", label(MAX_LABEL_BYTES - 1)), false),
        (label(MAX_HOST_TEXT_BYTES + 1), false),
        ("a.".repeat(50_000_000), false),
    ] {
        let bytes = text.len();
        match text.parse::<Host>() {
            Ok(Host::Name(name)) => {
                assert!(accepted, "{bytes} bytes");
                assert!(name.as_str().len() <= MAX_NAME_BYTES);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(!accepted, "{bytes} bytes: {error}");
                // What is too long isn't kept in the error either.
                assert!(error.to_string().len() < 2 * MAX_NAME_BYTES, "{error}");
            }
        }
    }
    let error = label(MAX_LABEL_BYTES + 1).parse::<Host>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...` is too long for a host name: it has 64 \
         bytes; a name has at most 253 bytes, and each label at most 63"
    );
}
