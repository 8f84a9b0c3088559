//! The proof that no name was asked for.

use crate::process::Finished;
use crate::program::Program;
use crate::text::skipped;
use std::process::{Command, Stdio};

/// Runs programs where every question to a name server is seen, and answered with "no such name".
///
/// That needs namespaces (`unshare`), which some machines do not permit to every user.
pub struct NameTrap(());

impl NameTrap {
    /// None where this machine has no namespaces for us. It says so on standard error then, since the
    /// test is about to be skipped.
    pub fn new() -> Option<Self> {
        let mut probe = Command::new("unshare");
        probe.args(["-r", "-m", "-n", "true"]).stdin(Stdio::null());
        match probe.output() {
            Ok(output) if output.status.success() => Some(Self(())),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).into_owned();
                skipped(&format!("no namespaces here: {}", why.trim()));
                None
            }
            Err(error) => {
                skipped(&format!("unshare can't be run: {error}"));
                None
            }
        }
    }

    /// Run a program to its end; also returns the names that were asked for, without repetitions.
    pub fn run(&self, program: Program) -> (Finished, Vec<String>) {
        let dir = tempfile::tempdir().expect("a folder");
        let names = dir.path().join("names");
        let finished = program
            .in_namespaces(include_str!("name_server.py"), &[&names])
            .run();
        let asked = std::fs::read_to_string(&names).expect("the names");
        let mut asked: Vec<String> = asked.lines().map(str::to_owned).collect();
        asked.sort();
        asked.dedup();
        (finished, asked)
    }
}
