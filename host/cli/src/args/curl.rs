//! Error messages for options of curl that `sockbox fetch` does not have.
//!
//! For an unknown option the parser proposes the option with the most similar name. For an option of curl that is
//! misleading: for `--range` it would propose `--referer`. The message therefore says that there is no such option.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The long names, from curl 8. Options for protocols other than HTTP are left out.
const LONG: [&str; 92] = [
    "abstract-unix-socket",
    "alt-svc",
    "anyauth",
    "aws-sigv4",
    "basic",
    "cert-status",
    "cert-type",
    "ciphers",
    "compressed-ssh",
    "config",
    "connect-to",
    "cookie",
    "cookie-jar",
    "crlfile",
    "curves",
    "delegation",
    "digest",
    "disable",
    "disallow-username-in-url",
    "dns-interface",
    "dns-ipv4-addr",
    "dns-ipv6-addr",
    "dns-servers",
    "doh-cert-status",
    "doh-insecure",
    "doh-url",
    "dump-ca-embed",
    "ech",
    "fail-early",
    "false-start",
    "form",
    "form-escape",
    "form-string",
    "globoff",
    "haproxy-clientip",
    "haproxy-protocol",
    "hsts",
    "http0.9",
    "http1.0",
    "http1.1",
    "http2",
    "http2-prior-knowledge",
    "http3",
    "http3-only",
    "ignore-content-length",
    "interface",
    "ipfs-gateway",
    "junk-session-cookies",
    "keepalive-cnt",
    "keepalive-time",
    "key-type",
    "libcurl",
    "local-port",
    "location-trusted",
    "negotiate",
    "netrc",
    "netrc-file",
    "netrc-optional",
    "next",
    "no-alpn",
    "no-buffer",
    "no-keepalive",
    "no-sessionid",
    "ntlm",
    "oauth2-bearer",
    "out-null",
    "pass",
    "path-as-is",
    "pinnedpubkey",
    "post301",
    "post302",
    "post303",
    "preproxy",
    "progress-bar",
    "proto",
    "proto-default",
    "proto-redir",
    "range",
    "rate",
    "raw",
    "remote-header-name",
    "remote-name-all",
    "remote-time",
    "request-target",
    "socks5",
    "socks5-hostname",
    "stderr",
    "tcp-fastopen",
    "tcp-nodelay",
    "tls13-ciphers",
    "trace-ascii",
    "unix-socket",
];

/// The short names.
const SHORT: &str = "bcFgjJKnNPqrRtV#:01239";

/// If `error` is about such an option, replace the parser's proposals with a text that says that there is no such option.
pub fn explain(mut error: Error) -> Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let name = typed.split('=').next().unwrap_or_default().to_owned();
    let is_curls = match (name.strip_prefix("--"), name.strip_prefix('-')) {
        (Some(long), _) => LONG.contains(&long),
        (None, Some(short)) => short.chars().count() == 1 && SHORT.contains(short),
        (None, None) => false,
    };
    if is_curls {
        for proposal in [
            ContextKind::SuggestedArg,
            ContextKind::SuggestedValue,
            ContextKind::Suggested,
        ] {
            error.remove(proposal);
        }
        let text = format!("curl has {name}; sockbox fetch has no such option");
        let tip = ContextValue::StyledStrs(vec![text.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::super::Args;
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn an_option_of_curls_is_not_taken_for_another() {
        for (option, is_curls) in [
            ("--range", true),
            ("--range=0-1", true),
            ("--cookie", true),
            ("-b", true),
            ("-F", true),
            ("--locatoin", false),
            ("--nonsense", false),
        ] {
            let error = Args::try_parse_from(["sockbox", "fetch", option, "a"]).unwrap_err();
            let text = explain(error).render().to_string();
            let name = option.split('=').next().unwrap();
            let tip = format!("tip: curl has {name}; sockbox fetch has no such option");
            assert_eq!(text.contains(&tip), is_curls, "{text}");
            assert!(text.matches("tip:").count() <= 1, "{text}");
        }
        let typo = Args::try_parse_from(["sockbox", "fetch", "--locatoin", "a"]).unwrap_err();
        assert!(explain(typo).render().to_string().contains("--location"));
    }

    #[test]
    fn the_lists_have_none_of_our_options() {
        let command = Args::command();
        let fetch = command.find_subcommand("fetch").unwrap();
        for argument in fetch.get_arguments() {
            if let Some(long) = argument.get_long() {
                assert!(!LONG.contains(&long), "--{long}");
            }
            if let Some(short) = argument.get_short() {
                assert!(!SHORT.contains(short), "-{short}");
            }
        }
    }
}
