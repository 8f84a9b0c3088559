use super::*;

#[test]
fn every_form_is_read() {
    for (text, expected) in [
        ("example.com", "example.com:*"),
        ("EXAMPLE.com.:80", "example.com:80"),
        ("bücher.example:80", "xn--bcher-kva.example:80"),
        ("localhost:8000-8100", "localhost:8000-8100"),
        ("example.com:80-80", "example.com:80"),
        ("example.com:1-65535", "example.com:1-65535"),
        ("example.com:*", "example.com:*"),
        ("example.com:80,443", "example.com:80,443"),
        (
            "example.com:443,8000-8100,80",
            "example.com:443,8000-8100,80",
        ),
        ("*.example.com", "*.example.com:*"),
        ("*.EXAMPLE.com.:443", "*.example.com:443"),
        ("*.bücher.example", "*.xn--bcher-kva.example:*"),
        ("192.0.2.1", "192.0.2.1:*"),
        ("192.0.2.1:443", "192.0.2.1:443"),
        ("2130706433:80", "127.0.0.1:80"),
        ("0x7f.1", "127.0.0.1:*"),
        ("[::1]", "[::1]:*"),
        ("[::1]:443", "[::1]:443"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
        ("10.0.0.0/8", "10.0.0.0/8:*"),
        ("10.0.0.0/8:80", "10.0.0.0/8:80"),
        ("10.0.0.1/32", "10.0.0.1/32:*"),
        ("0.0.0.0/0", "0.0.0.0/0:*"),
        ("[fd00::/8]", "[fd00::/8]:*"),
        ("[fd00::]/8", "[fd00::/8]:*"),
        ("[fd00::/8]:1-2", "[fd00::/8]:1-2"),
        ("[fd00::]/8:1-2", "[fd00::/8]:1-2"),
        ("[::/0]", "[::/0]:*"),
        ("[::ffff:10.0.0.1/128]:80", "10.0.0.1/32:80"),
    ] {
        let found = text.parse::<Destination>().map(|it| it.to_string());
        assert_eq!(found.as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_destination_is_refused_with_the_right_form() {
    let host = |text: &str| format!("`{text}` is neither a host name nor an address");
    let ports = |text: &str| {
        format!(
            "`{text}` is neither a port from 1 to 65535 nor a range of them: they are written \
             `443`, `8000-8100` and `80,443`"
        )
    };
    let bare = |text: &str| {
        format!(
            "`{text}` is a port without a host: write `example.com:{text}`; for several ports of one host, repeat the host: `example.com:80,example.com:443`"
        )
    };
    let range = |text: &str| {
        format!(
            "`{text}` is not a range of addresses: they are written `10.0.0.0/8` and \
             `[fd00::/8]`"
        )
    };
    let pattern = |text: &str| {
        format!(
            "`{text}` is not a supported pattern: use `*.example.com` (every name below it) or a range of addresses"
        )
    };
    let bits = |text: &str, instead: &str| {
        format!("`{text}` has bits set after its prefix: write `{instead}`")
    };
    let mapped = |text: &str, instead: &str| {
        format!(
            "`{text}` is a range of IPv4-mapped addresses, which are judged as IPv4 addresses: \
             write `{instead}` if all of these are meant"
        )
    };
    let dots = |text: &str, instead: &str| {
        format!(
            "`{text}` has an empty label (two dots in a row, or a dot at the start): write `{instead}`"
        )
    };
    let url = |instead: &str| format!("a URL is not a host: write `{instead}`");
    let brackets = |instead: &str| format!("an IPv6 address is written in brackets: `{instead}`");
    for (text, expected) in [
        ("", host("")),
        (":80", host("")),
        (" example.com", host(" example.com")),
        ("exa mple.com", host("exa mple.com")),
        ("user@example.com", host("user@example.com")),
        ("256.0.0.1", host("256.0.0.1")),
        ("[::1", host("[::1")),
        ("[::1]x:80", host("[::1]x")),
        ("[]:80", host("[]")),
        ("a:b:c", host("a:b:c")),
        ("example.com:80:90", host("example.com:80:90")),
        ("example.com:", ports("")),
        ("example.com:0", ports("0")),
        ("example.com:65536", ports("65536")),
        ("example.com:+80", ports("+80")),
        ("example.com: 80", ports(" 80")),
        ("example.com:http", ports("http")),
        ("example.com:80,", ports("")),
        ("example.com:,80", ports("")),
        ("example.com:80,x", ports("x")),
        ("443", bare("443")),
        ("8000-8100", bare("8000-8100")),
        ("443:443", bare("443")),
        ("example.com:80-", ports("80-")),
        ("example.com:-80", ports("-80")),
        ("example.com:1-2-3", ports("1-2-3")),
        (
            "example.com:8100-8000",
            "the ports `8100-8000` are in the wrong order: write `8000-8100`".to_owned(),
        ),
        ("*", pattern("*")),
        ("*:80", pattern("*")),
        ("*.", host("")),
        ("a.*.example", pattern("a.*.example")),
        ("*.*.example", pattern("*.*.example")),
        ("*example.com", pattern("*example.com")),
        ("*.127.0.0.1", pattern("*.127.0.0.1")),
        ("::1", brackets("[::1]")),
        ("fe80::1:80", brackets("[fe80::1:80]")),
        ("fd00::/8", brackets("[fd00::/8]")),
        ("10.0.0.1/8", bits("10.0.0.1/8", "10.0.0.0/8")),
        ("10.0.0.1/8:80", bits("10.0.0.1/8", "10.0.0.0/8")),
        ("[fd00::1/8]", bits("[fd00::1/8]", "[fd00::/8]")),
        ("[fd00::1]/8:80", bits("[fd00::1]/8", "[fd00::/8]")),
        ("[::ffff:0:0/96]", mapped("[::ffff:0:0/96]", "0.0.0.0/0")),
        ("[::ffff:0:0]/96:80", mapped("[::ffff:0:0]/96", "0.0.0.0/0")),
        (
            "[::ffff:10.0.0.0/104]:80",
            mapped("[::ffff:10.0.0.0/104]", "10.0.0.0/8"),
        ),
        (
            "[::ffff:10.0.0.0/127]",
            mapped("[::ffff:10.0.0.0/127]", "10.0.0.0/31"),
        ),
        ("deno.land..", dots("deno.land..", "deno.land")),
        ("deno.land..:443", dots("deno.land..", "deno.land")),
        ("1.1.1.1..", dots("1.1.1.1..", "1.1.1.1")),
        ("1.1.1.1..:53", dots("1.1.1.1..", "1.1.1.1")),
        ("..example.com", dots("..example.com", "example.com")),
        ("a..b", dots("a..b", "a.b")),
        ("*.deno.land..", dots("*.deno.land..", "*.deno.land")),
        ("*..deno.land:80", dots("*..deno.land", "*.deno.land")),
        ("*.1.1.1.1..", pattern("*.1.1.1.1..")),
        ("..", host("..")),
        ("10.0.0.0/33", range("10.0.0.0/33")),
        ("10.0.0.0/-1", range("10.0.0.0/-1")),
        ("10.0.0.0/", range("10.0.0.0/")),
        ("10.0.0/8", range("10.0.0/8")),
        ("0x0a.0.0.0/8", range("0x0a.0.0.0/8")),
        ("[10.0.0.0/8]", range("[10.0.0.0/8]")),
        ("[fd00::/129]", range("[fd00::/129]")),
        ("[fd00::/8", host("[fd00::/8")),
        ("example.com/8", range("example.com/8")),
        ("example.com/path", range("example.com/path")),
        ("http://example.com/", url("example.com:80")),
        ("https://me:secret@[::1]/a?b", url("[::1]:443")),
        ("http://127.1:8080", url("127.0.0.1:8080")),
        ("gopher://example.com/", url("example.com:80")),
        ("http://", url("example.com:80")),
    ] {
        let found = text
            .parse::<Destination>()
            .map_err(|error| error.to_string());
        assert_eq!(found, Err(expected), "{text:?}");
    }
}

#[test]
fn a_range_covers_its_addresses_and_no_others() {
    for (range, address, expected) in [
        ("10.0.0.0/8", "9.255.255.255:80", false),
        ("10.0.0.0/8", "10.0.0.0:80", true),
        ("10.0.0.0/8", "10.255.255.255:80", true),
        ("10.0.0.0/8", "11.0.0.0:80", false),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]:80", true),
        ("10.0.0.0/8", "[64:ff9b::a01:203]:80", false),
        ("10.0.0.0/8:443", "10.0.0.1:80", false),
        ("10.0.0.0/8:443", "10.0.0.1:443", true),
        ("[::ffff:10.1.2.3/128]", "10.1.2.3:80", true),
        ("[::/80]", "192.0.2.1:80", false),
        ("[::/80]", "[::ffff:192.0.2.1]:80", false),
        ("0.0.0.0/0", "192.0.2.1:80", true),
        ("0.0.0.0/0", "[::ffff:192.0.2.1]:80", true),
        ("0.0.0.0/0", "[2001:db8::1]:80", false),
        ("[::/0]", "[2001:db8::1]:80", true),
        ("[::/0]", "192.0.2.1:80", false),
        ("[::/0]", "[::ffff:192.0.2.1]:80", false),
        ("[fd00::/8]", "[fd00::1]:80", true),
        ("[fd00::/8]", "[fe00::1]:80", false),
    ] {
        let range: Destination = range.parse().unwrap();
        let covered = range.covers_address(address.parse().unwrap());
        assert_eq!(covered, expected, "{address} in {range}");
    }
}

#[test]
fn a_pattern_covers_what_is_below_it() {
    for (pattern, name, expected) in [
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "notexample.com", false),
        ("*.example.com", "example.com.evil.example", false),
        ("*.com", "example.com", true),
        ("*.com", "com", false),
        ("example.com", "example.com", true),
        ("example.com", "www.example.com", false),
        ("10.0.0.0/8", "example.com", false),
    ] {
        let destination: Destination = pattern.parse().unwrap();
        let covered = destination.covers_name(&name.parse().unwrap());
        assert_eq!(covered, expected, "{name} in {pattern}");
    }
}

#[test]
fn endpoints_are_addresses_of_this_machine() {
    for (text, expected) in [
        ("127.0.0.1:9999", Ok("127.0.0.1:9999")),
        ("127.0.0.1", Ok("127.0.0.1:*")),
        ("[::1]:0", Ok("[::1]:0")),
        ("0.0.0.0:0,80", Ok("0.0.0.0:0,80")),
        ("[::ffff:127.0.0.1]:1", Ok("127.0.0.1:1")),
        ("127.0.0.0/8:80", Ok("127.0.0.0/8:80")),
        (
            "localhost:80",
            Err("`localhost` is not an address: write `127.0.0.1:8080` or `[::1]:8080`"),
        ),
        (
            "8080",
            Err(
                "`8080` is a port without a host: write `example.com:8080`; for several \
                 ports of one host, repeat the host: `example.com:80,example.com:443`",
            ),
        ),
        (
            "*.example:80",
            Err("`*.example` is not an address: write `127.0.0.1:8080` or `[::1]:8080`"),
        ),
    ] {
        let found = text.parse::<Endpoint>();
        let found = found.map(|it| it.to_string()).map_err(|it| it.to_string());
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found, expected, "{text:?}");
    }
}

#[test]
fn single_addresses_and_bare_ipv6_are_ranges_too() {
    for (text, expected) in [
        ("10.0.0.1", Some("10.0.0.1/32")),
        ("[::1]", Some("[::1/128]")),
        ("::1", Some("[::1/128]")),
        ("fd00::/8", Some("[fd00::/8]")),
        ("::ffff:10.0.0.1", Some("10.0.0.1/32")),
        ("localhost", None),
        ("", None),
        ("[10.0.0.1]", None),
        ("10.0.0.1:80", None),
        ("::ffff:0:0/96", None),
        ("[::ffff:10.0.0.0/104]", None),
    ] {
        let found = text.parse::<Range>().ok().map(|it| it.to_string());
        assert_eq!(found.as_deref(), expected, "{text:?}");
    }
}
