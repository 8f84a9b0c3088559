//! The real nginx, with a configuration and a folder of its own.

use crate::deadline::{Deadline, PATIENCE};
use crate::process::Process;
use crate::program::Program;
use crate::text::pattern;
use crate::tools;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How often a port is tried: each time another program may take it before nginx does.
const PORT_ATTEMPTS: u32 = 20;

/// A running nginx. When its test fails, it prints its logs.
///
/// | path | page |
/// |---|---|
/// | `/page.html` | 268 bytes |
/// | `/empty.txt` | 0 bytes |
/// | `/1m.bin` | 1 MiB |
/// | `/chunked/…` | the same pages in chunks, without a length |
/// | `/close/…` | the same pages up to the connection's end, without a length |
/// | `/moved` | a redirect to `/page.html` |
pub struct Nginx {
    dir: tempfile::TempDir,
    process: Option<Process>,
    port: u16,
    ipv6: bool,
}

impl Nginx {
    /// Start it on a free port of 127.0.0.1, and of ::1 where there is one.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder for nginx");
        let html = dir.path().join("html");
        fs::create_dir(&html).expect("a folder for pages");
        let ipv6 = TcpListener::bind("[::1]:0").is_ok();
        let mut nginx = Self {
            dir,
            process: None,
            port: 0,
            ipv6,
        };
        nginx.write_page("page.html", page());
        nginx.write_page("empty.txt", b"");
        nginx.write_page("1m.bin", pattern(1 << 20));
        // Nobody else's server has this page.
        let token = format!("{:?} {:?}", nginx.dir.path(), std::time::Instant::now());
        nginx.write_page("token.txt", &token);

        for _ in 0..PORT_ATTEMPTS {
            nginx.port = free_port(ipv6);
            let configuration = configuration(nginx.port, ipv6);
            fs::write(nginx.dir.path().join("nginx.conf"), configuration).expect("a configuration");
            let tool = tools::nginx();
            let program = Program::new(&tool.path, ["-c", "nginx.conf", "-p", "."]);
            let mut process = program
                .libraries(tool)
                .current_dir(nginx.dir.path())
                .start();
            if nginx.wait_until_ready(&mut process, &token) {
                nginx.process = Some(process);
                return nginx;
            }
            let finished = process.wait();
            let log = nginx.error_log() + finished.stderr();
            assert!(
                log.contains("Address already in use"),
                "nginx ended with code {}:\n{log}",
                finished.code()
            );
        }
        panic!("no port stayed free for nginx, {PORT_ATTEMPTS} times");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
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
        let path = self.dir.path().join("html").join(name);
        fs::write(&path, content)
            .unwrap_or_else(|error| panic!("{} can't be written: {error}", path.display()));
    }

    /// The content of a page.
    pub fn page(&self, name: &str) -> Vec<u8> {
        let path = self.dir.path().join("html").join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{} can't be read: {error}", path.display()))
    }

    /// The requests that it has logged.
    pub fn access_log(&self) -> String {
        self.read_log("access.log")
    }

    fn error_log(&self) -> String {
        self.read_log("error.log")
    }

    fn read_log(&self, name: &str) -> String {
        fs::read(self.dir.path().join(name))
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Wait until it is this nginx that answers; false when it has ended instead.
    fn wait_until_ready(&self, process: &mut Process, token: &str) -> bool {
        let deadline = Deadline::after(PATIENCE);
        loop {
            if get(self.address(), "/token.txt").is_ok_and(|answer| answer.ends_with(token)) {
                return true;
            }
            if process.has_ended() {
                return false;
            }
            assert!(
                !deadline.passed(),
                "nginx didn't answer within {PATIENCE:?}: {}",
                self.error_log()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
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
                self.error_log()
            );
        }
    }
}

/// A page of 268 bytes.
fn page() -> Vec<u8> {
    let (head, tail) = ("<!doctype html>\n<title>sockbox</title>\n<p>", "</p>\n");
    let text = "A page of 268 bytes. "
        .chars()
        .cycle()
        .take(268 - head.len() - tail.len());
    format!("{head}{}{tail}", text.collect::<String>()).into_bytes()
}

/// A port that is free on both loopback addresses, for now.
fn free_port(ipv6: bool) -> u16 {
    for _ in 0..PORT_ATTEMPTS {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of 127.0.0.1");
        let port = listener
            .local_addr()
            .expect("a listener has an address")
            .port();
        if !ipv6 || TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free on both 127.0.0.1 and ::1");
}

/// One page of a server, head and all.
fn get(server: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// nginx's configuration: one process that is easy to end, and nothing outside its own folder.
fn configuration(port: u16, ipv6: bool) -> String {
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
    access_log access.log;
    lingering_close off;
    server {{
        listen 127.0.0.1:{port};
        {listen_ipv6}
        root html;
        types {{ text/html html; }}
        default_type application/octet-stream;
        location /chunked/ {{ alias html/; ssi on; ssi_types *; }}
        location /close/ {{ alias html/; ssi on; ssi_types *; chunked_transfer_encoding off; }}
        location = /moved {{ return 302 /page.html; }}
    }}
}}
",
        temporary = temporary.join("\n    "),
    )
}

/// What the tests of this package rely on.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::Program;

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
        let dirs: Vec<&std::path::Path> = all.iter().map(|nginx| nginx.dir.path()).collect();
        for nginx in &all {
            let answer = get(nginx.address(), "/token.txt").expect("an answer");
            let dir = format!("{:?}", nginx.dir.path());
            assert!(
                answer.contains(&dir),
                "{dir} of {dirs:?} is not in {answer}"
            );
        }
    }
}
