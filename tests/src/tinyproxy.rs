//! The real tinyproxy, with a configuration and a folder of its own.

use crate::ports::OnFreePort;
use crate::process::Process;
use crate::program::Program;
use crate::site::Site;
use crate::tools;
use std::fs;
use std::path::Path;

/// A running proxy that takes clients with the name `user` and the password `pass`, and resolves `a.example` to 127.0.0.1.
/// When its test fails, it prints its log.
pub struct Tinyproxy {
    site: Site,
    process: Option<Process>,
    port: u16,
}

impl Tinyproxy {
    /// Start it on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let site = Site::new();
        let hosts = site.dir().join("hosts");
        fs::write(&hosts, "127.0.0.1 a.example\n").expect("a file of hosts");
        // What it answers to a client that doesn't ask for a proxy.
        fs::write(site.dir().join("error.html"), site.token()).expect("a page");
        let server = OnFreePort {
            name: "tinyproxy",
            ipv6: false,
            token: site.token(),
            errors: &|| site.log("tinyproxy.log"),
        };
        let (process, port) = server.start(|port| {
            let file = site.dir().join("tinyproxy.conf");
            fs::write(&file, configuration(site.dir(), port)).expect("a configuration");
            let tool = tools::tinyproxy();
            Program::new(&tool.path, ["-d", "-c", "tinyproxy.conf"])
                .libraries(tool)
                .with_file_mounted(&hosts, Path::new("/etc/hosts"))
                .current_dir(site.dir())
                .start()
        });
        Self {
            site,
            process: Some(process),
            port,
        }
    }

    /// The URL for these credentials.
    pub fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}@127.0.0.1:{}", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.site.log("tinyproxy.log")
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        self.process = None;
        if std::thread::panicking() {
            eprintln!("---- tinyproxy:\n{}\n----", self.log());
        }
    }
}

fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nBasicAuth user pass\nTimeout 60\nMaxClients 20\n\
         DefaultErrorFile \"{dir}/error.html\"\nLogFile \"{dir}/tinyproxy.log\"\nLogLevel Info\n"
    )
}
