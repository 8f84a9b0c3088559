use super::*;
use std::time::Duration;

const FILE: &str = r#"
        allow-connect = ["example.com:80,443", "*.example.com"]
        deny-connect = ["10.0.0.0/8"]
        allow-listen = ["127.0.0.1:0"]
        allow-accept = ["127.0.0.0/8"]
        deny-accept = ["127.0.0.2"]
        allow-resolve = ["*.example"]
        deny-resolve = ["admin.example", "*.admin.example"]
        allow-udp-send = ["1.1.1.1:53"]
        allow-udp-bind = ["127.0.0.1:53"]
        allow-http = ["GET,HEAD https://api.example.com/v1/*"]
        deny-http = ["* https://api.example.com/v1/admin/*"]
        resolve = ["example.com:192.0.2.1"]
        listen-as = ["0.0.0.0:80=127.0.0.1:8080"]
        dir = ["data:ro", "/tmp::/t"]
        env = ["A=b", "HOME"]
        secret-header = ["https://a.example/=X-Key: {file:key}"]
        cacert = "ca.pem"
        proxy = "http://u:p@proxy.example:3128"
        noproxy = ["a.example,10.0.0.0/8"]

        [[client-cert]]
        host = "A.example"
        cert = "me.pem"

        [limits]
        max-memory = "16M"
        max-sockets = 7
        max-wall-time = 2.5

        [profile.more]
        allow-net = true
        allow-private = true
        no-private-loopback = true
        inherit-env = true

        [profile.more.limits]
        max-sockets = 8

        [[profile.more.secret-header]]
        url = "https://a.example/v1/"
        name = "Authorization"
        value = "Bearer {env:TOKEN}"

        [profile.tls]
        cacert = "other.pem"
        capath = "cas"
        proxy = "other.example"
        noproxy = ["b.example"]
        allow-proxy-resolve = true

        [[profile.tls.client-cert]]
        host = "[::1]"
        cert = "other.pem"
        key = "/other.key"
    "#;

#[test]
fn everything_that_flags_say_can_be_said() {
    let file = PolicyFile::parse(FILE).unwrap();
    let base = file.profile(None).unwrap();
    let rules: Vec<_> = base.policy.rules().iter().map(Rule::to_string).collect();
    assert_eq!(
        rules,
        [
            "allow-connect example.com:80,443",
            "allow-connect *.example.com:*",
            "allow-listen 127.0.0.1:0",
            "allow-accept 127.0.0.0/8",
            "allow-resolve *.example",
            "allow-udp-send 1.1.1.1:53",
            "allow-udp-bind 127.0.0.1:53",
            "allow-http GET,HEAD https://api.example.com/v1/*",
        ]
    );
    let denials: Vec<_> = base.policy.denials().iter().map(Deny::to_string).collect();
    assert_eq!(
        denials,
        [
            "deny-connect 10.0.0.0/8:*",
            "deny-accept 127.0.0.2/32",
            "deny-resolve admin.example",
            "deny-resolve *.admin.example",
            "deny-http * https://api.example.com/v1/admin/*",
        ]
    );
    assert_eq!(
        base.policy.which_private_loopback(),
        PrivateLoopback::Ungranted
    );
    assert_eq!(
        base.static_hosts,
        ["example.com:192.0.2.1".parse().unwrap()]
    );
    assert_eq!(
        base.listen_as,
        ["0.0.0.0:80=127.0.0.1:8080".parse().unwrap()]
    );
    assert_eq!(base.dirs.len(), 2);
    assert_eq!(base.env.len(), 2);
    assert!(!base.inherit_env && !base.policy.allows_private());
    let limits = base.limits().unwrap();
    assert_eq!((limits.memory_bytes, limits.sockets), (16 << 20, 7));
    assert_eq!(limits.wall_time, Some(Duration::from_millis(2500)));

    let headers = |profile: &Profile| {
        let headers = profile.secret_headers.iter().map(ToString::to_string);
        headers.collect::<Vec<_>>()
    };
    let key = "https://a.example/=x-key: {file:key}";
    let token = "https://a.example/v1/=authorization: Bearer {env:TOKEN}";
    assert_eq!(headers(&base), [key]);
    let proxy = &base.proxy;
    assert_eq!(proxy.proxy, "u:p@proxy.example:3128".parse().ok());
    assert!(!proxy.of_environment && !proxy.resolve);
    let tls = file.profile(Some("tls")).unwrap();
    let proxies = tls.proxy.proxies().unwrap();
    assert_eq!(proxies.https, "other.example".parse().ok());
    assert_eq!(
        proxies.bypass,
        "a.example,10.0.0.0/8,b.example".parse().unwrap()
    );
    assert!(proxies.resolve);
    let tls = tls.tls;
    assert_eq!(tls.cacert, ["ca.pem", "other.pem"].map(PathBuf::from));
    assert_eq!(tls.capath, [PathBuf::from("cas")]);
    let certificates = tls.client_certs.iter().map(ToString::to_string);
    assert_eq!(
        certificates.collect::<Vec<_>>(),
        ["a.example: me.pem", "[::1]: other.pem, key /other.key"]
    );

    let more = file.profile(Some("more")).unwrap();
    assert_eq!(headers(&more), [key, token]);
    assert!(more.policy.rules().contains(&Rule::Everything));
    assert_eq!(more.policy.denials(), base.policy.denials());
    assert!(more.inherit_env && more.policy.allows_private());
    assert_eq!(more.policy.which_private_loopback(), PrivateLoopback::Off);
    assert_eq!(more.limits().unwrap().sockets, 8);
    assert_eq!(more.limits().unwrap().memory_bytes, 16 << 20);
    assert_eq!(file.names().collect::<Vec<_>>(), ["more", "tls"]);
    assert_eq!(
        file.profile(Some("less")).unwrap_err().to_string(),
        "the policy has no profile `less`: it has more, tls"
    );
}

#[test]
fn an_empty_file_gives_nothing() {
    let file = PolicyFile::parse("").unwrap();
    assert_eq!(file.profile(None).unwrap(), Profile::new());
}

#[test]
fn what_is_not_understood_is_told_with_its_line() {
    for (text, expected) in [
        (
            "allow-conect = []",
            &["line 1", "unknown field `allow-conect`"][..],
        ),
        (
            "\nallow-connect = [\"10.0.0.1/8\"]",
            &["line 2", "write `10.0.0.0/8`"],
        ),
        ("allow-connect = \"example.com\"", &["line 1", "string"]),
        ("allow-connect = [80]", &["line 1", "expected a string"]),
        ("deny-connect = [\"example.com\"]", &["line 1", "is a name"]),
        (
            "allow-http = [\"https://a.example/\"]",
            &["line 1", "is not methods and a URL"],
        ),
        ("allow-net = \"yes\"", &["line 1", "expected a boolean"]),
        ("cacert = [\"a\"]", &["line 1", "expected path string"]),
        (
            "[[client-cert]]\nhost = \"a\"",
            &["line 1", "missing field `cert`"],
        ),
        (
            "[[client-cert]]\nhost = \"*.a\"\ncert = \"b\"",
            &["client-cert: `*.a` is"],
        ),
        ("[limits]\nmax-socket = 1", &["`max-socket` is not a limit"]),
        (
            "[limits]\nmax-sockets = -1",
            &["`max-sockets` can't be `-1`"],
        ),
        (
            "[limits]\nmax-memory = \"x\"",
            &["`max-memory` can't be `x`"],
        ),
        ("[limits]\nmax-memory = true", &["line 2"]),
        ("[profile.a.profile.b]", &["`a` contains profiles"]),
        (
            "[profile.a]\nallow-nett = true",
            &["line 2", "unknown field"],
        ),
        ("x", &["line 1"]),
        (
            "allow-net = true\nallow-net = true",
            &["line 2", "duplicate key"],
        ),
    ] {
        let error = PolicyFile::parse(text).unwrap_err().to_string();
        for word in expected {
            assert!(error.contains(word), "{text:?}: {error}");
        }
    }
}

#[test]
fn an_invalid_secret_is_told_without_its_value() {
    for (text, expected) in [
        (
            "proxy = \"https://u:hunter2@a\"",
            "proxy: a proxy is reached with http, and not with `https`",
        ),
        (
            "secret-header = [\"https://a.example/=X-Key: hunter2\"]",
            "the value of the secret header `X-Key` names neither a variable nor a file",
        ),
        (
            "[[secret-header]]\nurl = \"https://a.example/\"\nname = \"X-Key\"\nvalue = \"hunter2 {x}\"",
            "the value of the secret header `X-Key` has a brace",
        ),
        (
            "[[profile.a.secret-header]]\nurl = \"http://a.example/\"\nname = \"X-Key\"\nvalue = \"hunter2\"",
            "is for http://a.example/, which is not encrypted",
        ),
        (
            "[[secret-header]]\nurl = \"https://a.example/\"\nname = \"X-Key\"",
            "missing field `value`",
        ),
        (
            "[[secret-header]]\nheader = \"X-Key\"",
            "unknown field `header`",
        ),
        ("secret-header = [1]", "a string, or a table with `url`"),
    ] {
        let error = PolicyFile::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(!error.contains("hunter2"), "{text:?}: {error}");
    }
}

#[test]
fn directories_are_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let text = "dir = [\"data\", \"/tmp\"]\n\
                cacert = \"ca.pem\"\n\
                client-cert = [{ host = \"a\", cert = \"me.pem\", key = \"me.key\" }]\n\
                secret-header = [\"https://a.example/=X-Key: {file:key}{file:/b}\"]";
    fs::write(&path, text).unwrap();
    let profile = PolicyFile::read(&path).unwrap().profile(None).unwrap();
    assert_eq!(profile.dirs[0].host, folder.path().join("data"));
    assert_eq!(profile.dirs[0].guest, "data");
    assert_eq!(profile.dirs[1].host, Path::new("/tmp"));
    assert_eq!(profile.tls.cacert, [folder.path().join("ca.pem")]);
    let keys: Vec<_> = profile.tls.keys().collect();
    assert_eq!(keys, [folder.path().join("me.key")]);
    assert_eq!(
        profile.tls.client_certs[0].certificate,
        folder.path().join("me.pem")
    );
    let files: Vec<_> = profile.secret_headers[0].sources().cloned().collect();
    let key = folder.path().join("key");
    let expected = [key, "/b".into()].map(crate::SecretSource::File);
    assert_eq!(files, expected);

    let missing = folder.path().join("missing.toml");
    let error = PolicyFile::read(missing).unwrap_err();
    assert!(matches!(error, PolicyFileError::Read { .. }), "{error}");
    fs::write(&path, "#".repeat(MAX_FILE_BYTES as usize + 1)).unwrap();
    let error = PolicyFile::read(&path).unwrap_err();
    assert!(matches!(error, PolicyFileError::TooLarge { .. }), "{error}");
    fs::write(&path, "nonsense").unwrap();
    let error = PolicyFile::read(&path).unwrap_err().to_string();
    assert!(
        error.starts_with("invalid policy in ") && error.contains("policy.toml"),
        "{error}"
    );
}
