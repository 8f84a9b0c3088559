//! An internet on one machine, whose names may change their addresses.

use crate::process::Finished;
use crate::program::Program;
use crate::text::skipped;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// Runs programs on a network where every address there is, public or not, is the machine itself, and
/// where the first packet of every connection, and every datagram, is recorded.
///
/// On ports 80 and 81 of every address a server answers `hello from ADDRESS:PORT`, over TCP (when the
/// client has sent all that it will send) and UDP. Over HTTP that is a page; but `/to?URL` redirects there, and
/// `/busy` is a 503. Each response ends its connection.
///
/// The names are the test's own, and each answer for them may differ from the one before: as a name
/// server does that leads a client into the client's own network (DNS rebinding).
///
/// That takes namespaces (`unshare`) and routes in them (`ip`), which not every machine gives to
/// every user.
#[derive(Default)]
pub struct Internet {
    names: Map<String, Value>,
}

/// What went over the network while a program ran.
#[derive(Debug)]
pub struct Seen {
    /// The names that were asked for, each once, in order.
    pub names: Vec<String>,
    /// Where connections were begun and datagrams sent: `tcp 1.2.3.4:80`, `udp [2a00::1]:81`, each as
    /// often as it happened.
    pub packets: Vec<String>,
}

impl Internet {
    /// A public IPv4 address.
    pub const PUBLIC_V4: &str = "1.2.3.4";
    /// The same of IPv6.
    pub const PUBLIC_V6: &str = "2a00::1";
    /// Another public IPv4 address.
    pub const OTHER_V4: &str = "5.6.7.8";
    /// An address that is the machine's own.
    pub const OWN_V4: &str = "9.8.7.6";
    /// The same of IPv6.
    pub const OWN_V6: &str = "2a01:1::6";
    /// Another address of the network that the machine's own is in.
    pub const NEIGHBOUR_V4: &str = "9.8.7.9";
    /// The same of IPv6.
    pub const NEIGHBOUR_V6: &str = "2a01:1::9";
    /// The metadata address of clouds, from which a machine reads its identity and passwords.
    pub const METADATA: &str = "169.254.169.254";

    /// None where this machine has no such network for us. It says so on standard error then, since the
    /// test is about to be skipped.
    pub fn new() -> Option<Self> {
        let internet = Self::default();
        let (finished, _) = internet.run(Program::new(Path::new("/bin/true"), [""; 0]));
        match finished.code() {
            0 => Some(internet),
            _ => {
                skipped(finished.stderr().trim());
                None
            }
        }
    }

    /// Add a name. The first question for it gets the first of these answers, and so on; further
    /// questions get the last one.
    #[must_use]
    pub fn name(mut self, name: &str, answers: &[&[&str]]) -> Self {
        self.names.insert(name.to_owned(), json!(answers));
        self
    }

    /// Run a program to its end; also returns what went over the network.
    pub fn run(&self, program: Program) -> (Finished, Seen) {
        let dir = tempfile::tempdir().expect("a folder");
        let (names, seen) = (dir.path().join("names"), dir.path().join("seen"));
        fs::write(&names, Value::Object(self.names.clone()).to_string()).expect("a file");
        fs::write(&seen, "").expect("a file");
        let finished = program
            .in_namespaces(include_str!("internet.py"), &[&names, &seen])
            .run();
        let seen = fs::read_to_string(&seen).expect("what was seen");
        (finished, Seen::parse(&seen))
    }
}

impl Seen {
    fn parse(lines: &str) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut packets = Vec::new();
        for line in lines.lines() {
            match line.strip_prefix("name ") {
                // Each name is asked for twice, once per family.
                Some(name) if names.iter().any(|known| known == name) => {}
                Some(name) => names.push(name.to_owned()),
                None => packets.push(line.to_owned()),
            }
        }
        Self { names, packets }
    }

    /// Assert that nothing was asked for and nothing sent.
    #[track_caller]
    pub fn assert_nothing(&self) {
        self.assert(&[], &[]);
    }

    /// Assert that these names were asked for, and that this was sent, and nothing else.
    #[track_caller]
    pub fn assert(&self, names: &[&str], packets: &[&str]) {
        assert_eq!(self.names, names, "names that were asked for");
        assert_eq!(self.packets, packets, "packets that began something");
    }
}
