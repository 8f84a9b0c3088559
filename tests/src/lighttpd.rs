//! The real lighttpd, with a configuration and a folder of its own.

use crate::ports::OnFreePort;
use crate::process::Process;
use crate::program::Program;
use crate::site::Site;
use crate::tools;
use std::fs;

/// A running lighttpd: a server of files with ranges, entity tags, and few requests per connection.
/// When its test fails, it prints its log.
///
/// | path | page |
/// |---|---|
/// | `/page.html` | 268 bytes |
/// | `/empty.txt` | 0 bytes |
/// | `/1m.bin` | 1 MiB |
/// | `/moved` | a redirect to `/page.html` |
pub struct Lighttpd {
    site: Site,
    process: Option<Process>,
    port: u16,
}

impl Lighttpd {
    /// Start it on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let site = Site::new();
        let server = OnFreePort {
            name: "lighttpd",
            ipv6: false,
            token: site.token(),
            errors: &|| site.log("error.log"),
        };
        let (process, port) = server.start(|port| {
            let configuration = configuration(site.dir(), port);
            fs::write(site.dir().join("lighttpd.conf"), configuration).expect("a configuration");
            let tool = tools::lighttpd();
            let mut program =
                Program::new(&tool.path, ["-D", "-f", "lighttpd.conf"]).libraries(tool);
            // Unpacked somewhere else than it was built for, it has to be told where its modules are.
            let usr = tool.path.parent().and_then(|sbin| sbin.parent());
            let modules = usr.map(|usr| usr.join("lib/lighttpd"));
            if let Some(modules) = modules.filter(|modules| modules.is_dir()) {
                program = program.args(["-m".as_ref(), modules.as_os_str()]);
            }
            program.current_dir(site.dir()).start()
        });
        Self {
            site,
            process: Some(process),
            port,
        }
    }

    /// The URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Add a page.
    pub fn write_page(&self, name: &str, content: impl AsRef<[u8]>) {
        self.site.write_page(name, content);
    }

    /// The content of a page.
    pub fn page(&self, name: &str) -> Vec<u8> {
        self.site.page(name)
    }
}

impl Drop for Lighttpd {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("---- lighttpd:\n{}\n----", self.site.log("error.log"));
        }
    }
}

fn configuration(dir: &std::path::Path, port: u16) -> String {
    format!(
        r#"server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{dir}/html"
server.errorlog = "{dir}/error.log"
server.max-keep-alive-requests = 2
server.modules = ( "mod_redirect" )
mimetype.assign = ( ".html" => "text/html", "" => "application/octet-stream" )
url.redirect = ( "^/moved$" => "/page.html" )
"#,
        dir = dir.display(),
    )
}
