//! The real nginx, with a configuration and a folder of its own.

use crate::authority::Identity;
use crate::ports::OnFreePort;
use crate::process::Process;
use crate::program::Program;
use crate::site::Site;
use crate::tools;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

/// A running nginx. When its test fails, it prints its logs.
///
/// | path | page |
/// |---|---|
/// | `/page.html` | 268 bytes |
/// | `/empty.txt` | 0 bytes |
/// | `/1m.bin` | 1 MiB |
/// | `/chunked/…` | the same pages in chunks, without a length |
/// | `/close/…` | the same pages up to the connection's end, without a length |
/// | `/gzip/…` | the same pages, coded where the client takes that |
/// | `/moved` | a redirect to `/page.html` |
pub struct Nginx {
    site: Site,
    process: Option<Process>,
    port: u16,
    ipv6: bool,
}

impl Nginx {
    /// Start it on a free port of 127.0.0.1, and of ::1 where there is one.
    pub fn start() -> Self {
        Self::start_as(None)
    }

    /// As [`Nginx::start`], and with TLS at the same port of 127.0.0.2.
    pub fn start_with_tls(identity: &Identity) -> Self {
        Self::start_as(Some(identity))
    }

    fn start_as(identity: Option<&Identity>) -> Self {
        let site = Site::new();
        let ipv6 = TcpListener::bind("[::1]:0").is_ok();
        let server = OnFreePort {
            name: "nginx",
            ipv6,
            token: site.token(),
            errors: &|| site.log("error.log"),
        };
        let (process, port) = server.start(|port| {
            let configuration = configuration(port, ipv6, identity);
            fs::write(site.dir().join("nginx.conf"), configuration).expect("a configuration");
            let tool = tools::nginx();
            Program::new(&tool.path, ["-c", "nginx.conf", "-p", "."])
                .libraries(tool)
                .current_dir(site.dir())
                .start()
        });
        Self {
            site,
            process: Some(process),
            port,
            ipv6,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The URL of a page over TLS.
    pub fn tls_url(&self, path: &str) -> String {
        format!("https://127.0.0.2:{}{path}", self.port)
    }

    /// The URL of a page on another name or address of this machine.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    /// Whether it listens on ::1, too.
    pub fn has_ipv6(&self) -> bool {
        self.ipv6
    }

    /// Add a page.
    pub fn write_page(&self, name: &str, content: impl AsRef<[u8]>) {
        self.site.write_page(name, content);
    }

    /// The file of a page.
    pub fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// The content of a page.
    pub fn page(&self, name: &str) -> Vec<u8> {
        self.site.page(name)
    }

    /// The requests that it has logged. A line ends with the connection's number and the request's on
    /// that connection: `#3.1`.
    pub fn access_log(&self) -> String {
        self.site.log("access.log")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed first: its logs are whole then.
        self.process = None;
        if std::thread::panicking() {
            eprintln!(
                "---- nginx, access:\n{}\n---- errors:\n{}\n----",
                self.access_log(),
                self.site.log("error.log")
            );
        }
    }
}

/// nginx's configuration: one process that is easy to end, and nothing outside its own folder.
fn configuration(port: u16, ipv6: bool, identity: Option<&Identity>) -> String {
    let listen_tls = identity.map_or_else(String::new, |identity| {
        format!(
            "listen 127.0.0.2:{port} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {};
        ssl_certificate_key {};",
            identity.certificate.display(),
            identity.key.display()
        )
    });
    let listen_ipv6 = if ipv6 {
        format!("listen [::1]:{port};")
    } else {
        String::new()
    };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path tmp;"));
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {{ worker_connections 512; }}
http {{
    {temporary}
    log_format numbered '$request_method $request_uri $status #$connection.$connection_requests';
    access_log access.log numbered;
    lingering_close off;
    server {{
        listen 127.0.0.1:{port};
        {listen_ipv6}
        {listen_tls}
        root html;
        types {{ text/html html; }}
        default_type application/octet-stream;
        location /chunked/ {{ alias html/; ssi on; ssi_types *; }}
        location /close/ {{ alias html/; ssi on; ssi_types *; chunked_transfer_encoding off; }}
        location /gzip/ {{ alias html/; gzip on; gzip_types *; gzip_min_length 0; gzip_http_version 1.0; }}
        location = /moved {{ return 302 /page.html; }}
    }}
}}
",
        temporary = temporary.join("\n    "),
    )
}

/// Facts that the tests of this package need.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::Program;
    use crate::ports::{TOKEN_PAGE, get};

    #[test]
    fn pages_are_served_in_each_framing() {
        let nginx = Nginx::start();
        assert_eq!(nginx.page("page.html").len(), 268);
        for (path, page, sign) in [
            ("/page.html", "page.html", "Content-Length: 268\r\n"),
            ("/empty.txt", "empty.txt", "Content-Length: 0\r\n"),
            (
                "/chunked/1m.bin",
                "1m.bin",
                "Transfer-Encoding: chunked\r\n",
            ),
            ("/close/1m.bin", "1m.bin", "Connection: close\r\n"),
            ("/gzip/page.html", "page.html", "Content-Length: 268\r\n"),
        ] {
            let answer = Program::curl(["-i", &nginx.url(path)]).run();
            answer.assert_quiet_success();
            let head_end = answer
                .stdout()
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .expect("a head")
                + 4;
            let head = String::from_utf8_lossy(&answer.stdout()[..head_end]).into_owned();
            assert!(head.contains(sign), "{path}: {head}");
            assert_eq!(
                head.contains("Content-Length"),
                sign.starts_with("Content-Length"),
                "{path}: {head}"
            );
            assert!(
                answer.stdout()[head_end..] == nginx.page(page),
                "{path} differs"
            );
        }
        assert!(nginx.access_log().contains("GET /page.html"));
    }

    #[test]
    fn it_listens_on_both_loopback_addresses() {
        let nginx = Nginx::start();
        if !nginx.has_ipv6() {
            return;
        }
        let answer = Program::curl(["-g", &nginx.url_at("[::1]", "/page.html")]).run();
        answer
            .assert_quiet_success()
            .assert_stdout(&nginx.page("page.html"));
    }

    #[test]
    fn many_can_run_at_once() {
        let all: Vec<Nginx> = (0..5).map(|_| Nginx::start()).collect();
        let dirs: Vec<&std::path::Path> = all.iter().map(|nginx| nginx.site.dir()).collect();
        for nginx in &all {
            let answer = get(nginx.address(), TOKEN_PAGE).expect("an answer");
            let dir = format!("{:?}", nginx.site.dir());
            assert!(
                answer.contains(&dir),
                "{dir} of {dirs:?} is not in {answer}"
            );
        }
    }
}
