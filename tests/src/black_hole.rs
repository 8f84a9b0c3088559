//! A network that drops packets.

use crate::process::Finished;
use crate::program::Program;
use crate::text::skipped;
use std::path::Path;

/// Runs programs on a network that has addresses from which nothing ever comes back, not even a refusal:
/// what a host behind a silent firewall looks like.
///
/// A question for an unknown name gets no answer either.
///
/// A web server listens on port 80 of the good ones. Its pages say `hello`; but `/to?URL` redirects there.
///
/// That takes namespaces (`unshare`) and devices in them (`ip`), which not every machine gives to
/// every user.
pub struct BlackHole(());

impl BlackHole {
    /// An IPv4 address at which the server listens.
    pub const GOOD_V4: &str = "203.0.113.1";
    /// The same of IPv6.
    pub const GOOD_V6: &str = "2001:db8::1";
    /// An IPv4 address at which packets vanish.
    pub const HOLE_V4: &str = "203.0.113.2";
    /// The same of IPv6.
    pub const HOLE_V6: &str = "2001:db8::2";
    /// A name with two addresses: first the IPv6 hole, then the good one of IPv4.
    pub const SIX_FIRST: &str = "six-first.example";
    /// A name with two addresses, both of them holes.
    pub const NOWHERE: &str = "nowhere.example";

    /// None where this machine has no such network for us. It says so on standard error then, since the
    /// test is about to be skipped.
    pub fn new() -> Option<Self> {
        let hole = Self(());
        let (finished, _) = hole.run(Program::new(Path::new("/bin/true"), [""; 0]));
        match finished.code() {
            0 => Some(hole),
            _ => {
                skipped(finished.stderr().trim());
                None
            }
        }
    }

    /// Run a program to its end; also returns at which addresses the server was asked for something.
    pub fn run(&self, program: Program) -> (Finished, Vec<String>) {
        let dir = tempfile::tempdir().expect("a folder");
        let asked = dir.path().join("asked");
        std::fs::write(&asked, "").expect("a file");
        let finished = program
            .in_namespaces(include_str!("black_hole.py"), &[&asked])
            .run();
        let asked = std::fs::read_to_string(&asked).expect("the log");
        (finished, asked.lines().map(str::to_owned).collect())
    }
}
