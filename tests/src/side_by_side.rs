//! The same command line for curl and for sockbox, and both results.

use crate::process::Finished;
use crate::program::Program;
use crate::text::readable;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

/// The comparable result of a command, without its messages and its duration.
#[derive(PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    pub stdout: Vec<u8>,
    /// The files in its folder, by their path in it, with their content.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// A command line, to be run by curl and by `sockbox fetch`: each in a folder of its own.
pub struct SideBySide<'a> {
    args: Vec<String>,
    files: Vec<(&'a str, &'a [u8])>,
    stdin: Option<&'a [u8]>,
}

impl<'a> SideBySide<'a> {
    /// These arguments, without the program's own name. Both are told to be silent (`-s`).
    ///
    /// `{program}` in them is `curl` for the one and `sockbox` for the other, for servers that remember.
    pub fn new<A: AsRef<str>>(args: impl IntoIterator<Item = A>) -> Self {
        Self {
            args: args
                .into_iter()
                .map(|arg| arg.as_ref().to_owned())
                .collect(),
            files: Vec::new(),
            stdin: None,
        }
    }

    /// Let the folder have this file beforehand. It was written long ago: on the day of [`OLD`].
    pub fn file(mut self, name: &'a str, content: &'a [u8]) -> Self {
        self.files.push((name, content));
        self
    }

    /// Give this on standard input.
    pub fn stdin(mut self, content: &'a [u8]) -> Self {
        self.stdin = Some(content);
        self
    }

    /// The result of curl.
    pub fn curl(&self) -> Outcome {
        self.run(Program::curl([""; 0]), "curl")
    }

    /// The result of sockbox.
    pub fn sockbox(&self) -> Outcome {
        self.run(Program::sockbox(["fetch", "-s"]), "sockbox")
    }

    fn run(&self, program: Program, name: &str) -> Outcome {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, content) in &self.files {
            let path = dir.path().join(name);
            fs::write(&path, content).expect("a file");
            let file = fs::File::options().write(true).open(&path).expect("a file");
            file.set_modified(std::time::UNIX_EPOCH + OLD)
                .expect("a file's date");
        }
        let args = self.args.iter().map(|arg| arg.replace("{program}", name));
        let program = program.args(args).current_dir(dir.path());
        let finished = match self.stdin {
            None => program.run(),
            Some(content) => {
                let mut process = program.with_stdin().start();
                // It may well end without having read all of it.
                let _ = process.stdin().write_all(content);
                process.wait()
            }
        };
        Outcome::of(&finished, dir.path())
    }
}

/// When the files of [`SideBySide::file`] were written, from 1970 on: the first day of 2001.
pub const OLD: std::time::Duration = std::time::Duration::from_secs(978_307_200);

impl Outcome {
    fn of(finished: &Finished, dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(dir, "", &mut files);
        Self {
            code: finished.code(),
            stdout: finished.stdout().to_vec(),
            files,
        }
    }
}

/// All files below a folder.
fn collect(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).expect("a folder's files") {
        let entry = entry.expect("a file");
        let name = format!("{prefix}{}", entry.file_name().display());
        let path = entry.path();
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(&path).expect("a file's content"));
        }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {}", self.code)?;
        for (name, content) in self.outputs() {
            show(f, name, content)?;
        }
        Ok(())
    }
}

impl Outcome {
    /// The differences of two results, as a text. None if they are equal.
    pub fn difference(curl: &Self, sockbox: &Self) -> Option<String> {
        if curl == sockbox {
            return None;
        }
        let only = |these: &Self, those: &Self| {
            let mut text = format!("exit code {}\n", these.code);
            for (name, content) in these.outputs() {
                if those.outputs().all(|other| other != (name, content)) {
                    // Writing to a string doesn't fail.
                    let _ = show(&mut text, name, content);
                }
            }
            text
        };
        Some(format!(
            "==== curl: {}==== sockbox: {}",
            only(curl, sockbox),
            only(sockbox, curl)
        ))
    }

    fn outputs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.files.iter();
        let files = files.map(|(name, content)| (name.as_str(), content.as_slice()));
        std::iter::once(("standard output", self.stdout.as_slice())).chain(files)
    }
}

fn show(to: &mut impl fmt::Write, name: &str, content: &[u8]) -> fmt::Result {
    writeln!(
        to,
        "-- {name}, {} bytes: {}",
        content.len(),
        readable(content)
    )
}
