//! The servers of the cases.

use crate::case::Case;
use sockbox_tests::{
    Authority, ConnectProxy, Httpbin, Lighttpd, Nginx, Node, Outcome, RawPeer, Refuser, SideBySide,
    TlsPeer, TlsSettings, pattern,
};
use std::sync::LazyLock;

/// The servers of the cases.
pub(crate) struct Servers {
    authority: Authority,
    /// What [`Authority::file`] has in it.
    trusted: Vec<u8>,
    nginx: Nginx,
    lighttpd: Lighttpd,
    node: Node,
    /// Started when it is needed, because its start is slow.
    httpbin: LazyLock<Httpbin>,
    refuser: Refuser,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let authority = Authority::new();
        Self {
            trusted: std::fs::read(authority.file()).expect("the authority's file"),
            nginx: Nginx::start_with_tls(&authority.server(&["127.0.0.2"])),
            authority,
            lighttpd: Lighttpd::start(),
            node: Node::start(),
            httpbin: LazyLock::new(Httpbin::start),
            refuser: Refuser::new(),
        }
    }

    fn fill_in(&self, text: &str) -> String {
        let text = match text.contains("{httpbin}") {
            true => text.replace("{httpbin}", &self.httpbin.url("")),
            false => text.to_owned(),
        };
        text.replace("{nginx}", &self.nginx.url(""))
            .replace("{tls}", &self.nginx.tls_url(""))
            .replace(
                "{without-tls}",
                &format!("https://{}", self.nginx.address()),
            )
            .replace("{lighttpd}", &self.lighttpd.url(""))
            .replace("{node}", &self.node.url(""))
            .replace("{refused}", &format!("http://{}", self.refuser.address()))
            .replace("{port}", &self.node.port().to_string())
    }

    /// The results of curl and of sockbox for a case.
    pub(crate) fn run(&self, case: &Case) -> (Outcome, Outcome) {
        let cut = case.args.contains("{cut}").then(|| {
            let identity = self.authority.server(&["127.0.0.1"]);
            let settings = TlsSettings {
                cut: true,
                ..TlsSettings::default()
            };
            TlsPeer::start(&identity, settings, case.answer)
        });
        let peer = (cut.is_none() && !case.answer.is_empty())
            .then(|| RawPeer::answering(self.fill_in(case.answer)));
        let proxy = case.args.contains("{proxy}").then(|| {
            let node = ([127, 0, 0, 1], self.node.port()).into();
            let tls = ([127, 0, 0, 2], self.nginx.address().port()).into();
            ConnectProxy::start_for(
                case.args
                    .contains("me:secret")
                    .then_some("Basic bWU6c2VjcmV0"),
                [
                    // curl asks for the name.
                    ("a.example:80", node),
                    ("192.0.2.1:80", node),
                    ("a.example:443", tls),
                    ("192.0.2.1:443", tls),
                ],
            )
        });
        // Made only when it is needed, because making it takes longer than most of the cases.
        let large = case.args.contains("large").then(|| pattern(3 << 20));
        let args = case.words().into_iter().map(|arg| {
            let mut arg = self.fill_in(&arg);
            if let Some(proxy) = &proxy {
                arg = arg.replace("{proxy}", &proxy.address().to_string());
            }
            match (&peer, &cut) {
                (Some(peer), _) => arg.replace("{raw}", &format!("http://{}", peer.address())),
                (_, Some(cut)) => arg.replace("{cut}", cut.url().trim_end_matches('/')),
                (None, None) => arg,
            }
        });
        let mut both = SideBySide::new(args)
            .file("old", b"as it was")
            .file("file", b"first line\nsecond line\r\nlast line")
            .file("fields", b"X-A: 1\nX-B: 2\n")
            .file("etag", b"\"v1\"\n")
            .file("ca.pem", &self.trusted)
            .file("other", b"\"v0\"\n")
            .file("format", b"%{http_code}\\n%{size_download}\n")
            .stdin(b"standard\ninput\n");
        if let Some(large) = &large {
            both = both.file("large", large);
        }
        (both.curl(), both.sockbox())
    }
}
