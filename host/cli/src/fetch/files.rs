//! Checks the files of `sockbox fetch` before the run: no output may destroy another output, and the audit record must be
//! no other file of the run.

use super::input;
use super::plan::{Plan, Task};
use crate::apart::{self, NamedFile};
use crate::args::{DataKind, Fetch, SaveAs};
use crate::exit::Failure;
use crate::identity::Identity;
use std::ffi::OsStr;
use std::path::Path;

/// Refuse an audit record that is also another file of this run. Refuse an output file that another output would
/// replace. This check creates and empties no file.
pub fn check(plan: &Plan, tasks: &[Task]) -> Result<(), Failure> {
    let written = written(plan, tasks);
    let mut all = written.clone();
    all.extend(plan.args.common.files());
    all.extend(read(&plan.args));
    apart::from_files(plan.args.common.audit.as_ref(), &all)?;
    outputs_apart(&written)
}

/// Refuse two outputs with the same file, because the later one would replace the earlier one. Two `-o` or `-O` may name
/// the same file: each replaces the response body before it, as with curl.
fn outputs_apart(written: &[NamedFile]) -> Result<(), Failure> {
    let is_page = |file: &NamedFile| matches!(&*file.what, "-o" | "-O");
    for (index, one) in written.iter().enumerate() {
        let Some(identity) = Identity::of(&one.path) else {
            continue;
        };
        for other in &written[index + 1..] {
            // With `>>` the text of -w is appended, so it may go to the file of any output. Several texts of -w may
            // share a file.
            let may_be_one = is_page(one) && is_page(other)
                || other.what == APPENDED
                || is_text(one) && is_text(other);
            if !may_be_one && Identity::of(&other.path).as_ref() == Some(&identity) {
                return Err(Failure::Usage {
                    problem: format!(
                        "{} and {} name the same file, {}: give each a file of its own",
                        one.what,
                        other.what,
                        one.path.display()
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Text of `-w` that replaces a file, and text that is appended to a file.
const REPLACED: &str = "%output{}";
const APPENDED: &str = "%output{>>}";

fn is_text(file: &NamedFile) -> bool {
    matches!(&*file.what, REPLACED | APPENDED)
}

/// The output files. The files of `-w` come last, because they are written last.
fn written(plan: &Plan, tasks: &[Task]) -> Vec<NamedFile> {
    let args = &plan.args;
    let mut files = Vec::new();
    if let Some(path) = args.dump_header.as_deref().filter(is_no_stream) {
        files.push(NamedFile::new("-D", path));
    }
    if let Some(path) = args.etag_save.as_deref().filter(is_no_stream) {
        files.push(NamedFile::new("--etag-save", path));
    }
    for task in tasks {
        if let Ok(Some(path)) = &task.target {
            let option = match args.outputs.0.get(task.number) {
                Some(SaveAs::RemoteName) => "-O",
                _ => "-o",
            };
            files.push(NamedFile::new(option, path));
        }
    }
    for (path, append) in plan.format.iter().flat_map(|format| format.files()) {
        files.push(NamedFile::new(
            if append { APPENDED } else { REPLACED },
            path,
        ));
    }
    files
}

/// The input files of `sockbox fetch`, without those that every subcommand reads.
fn read(args: &Fetch) -> Vec<NamedFile> {
    let mut files = Vec::new();
    let mut add = |what: &str, path: &Path| {
        if is_no_stream(&path) {
            files.push(NamedFile::new(what, path));
        }
    };
    for path in &args.uploads {
        add("-T", path);
    }
    for (kind, text) in &args.data.0 {
        if *kind == DataKind::UrlEncode {
            let bytes = text.as_encoded_bytes();
            let sign = bytes.iter().position(|byte| b"=@".contains(byte));
            if let Some(at) = sign.filter(|at| bytes[*at] == b'@') {
                let path = input::os_string(&bytes[at + 1..]);
                add("--data-urlencode", Path::new(&path));
            }
        } else if let Some(path) = input::file_name(text).filter(|_| *kind != DataKind::Raw) {
            add("-d", Path::new(&path));
        }
    }
    for text in &args.headers {
        if let Some(path) = input::file_name(text) {
            add("-H", Path::new(&path));
        }
    }
    if let Some(path) = args.write_out.as_deref().and_then(input::file_name) {
        add("-w", Path::new(&path));
    }
    if let Some(path) = &args.etag_compare {
        add("--etag-compare", path);
    }
    if let Some(path) = &args.tls.cacert {
        add("--cacert", path);
    }
    if let Some(certificate) = &args.tls.cert {
        add("--cert", &certificate.file);
    }
    if let Some(path) = &args.tls.key {
        add("--key", path);
    }
    files
}

/// Whether a path names a file. `-` names a standard stream.
fn is_no_stream(path: &&Path) -> bool {
    path.as_os_str() != OsStr::new("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn checked(words: &str) -> Result<(), String> {
        let plan = Plan::new(Fetch::typed(words)).unwrap();
        let tasks = plan.tasks().unwrap();
        check(&plan, &tasks).map_err(|failure| {
            assert_eq!(failure.code(), 2, "{words}");
            failure.message(false).unwrap()
        })
    }

    #[test]
    fn each_output_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let (a, b) = (a.display(), b.display());
        for (words, options) in [
            (format!("-D {a} -o {a} http://x/"), Some("-D and -o")),
            (
                format!(
                    "-D {a} -O --output-dir {} http://x/a",
                    folder.path().display()
                ),
                Some("-D and -O"),
            ),
            (
                format!("-D {a} --etag-save {a} http://x/"),
                Some("-D and --etag-save"),
            ),
            (
                format!("--etag-save {a} -o {a} http://x/"),
                Some("--etag-save and -o"),
            ),
            (
                format!("-o {a} -w %output{{{a}}}x http://x/"),
                Some("-o and %output{}"),
            ),
            (format!("-o {a} -w %output{{>>{a}}}x http://x/"), None),
            (
                format!("-w %output{{{a}}}x%output{{>>{a}}}y http://x/"),
                None,
            ),
            (format!("-D {a} -o {b} http://x/"), None),
            (format!("-o {a} -o {a} http://x/ http://y/"), None),
            ("-D /dev/null -o /dev/null http://x/".to_owned(), None),
            ("-D - -o - http://x/".to_owned(), None),
            (
                format!("--etag-save {a} --etag-compare {a} http://x/"),
                None,
            ),
        ] {
            let expected = options.map(|options| {
                format!("{options} name the same file, {a}: give each a file of its own")
            });
            assert_eq!(checked(&words).err(), expected, "{words}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_record_is_no_file_that_is_read_or_written() {
        let folder = tempfile::tempdir().unwrap();
        let audit = folder.path().join("audit");
        // The content is also valid for -H @FILE.
        fs::write(&audit, "A: b\n").unwrap();
        let audit = audit.display();
        for (words, option) in [
            (format!("-o {audit} http://x/"), "-o"),
            (
                format!("-O --output-dir {} http://x/audit", folder.path().display()),
                "-O",
            ),
            (format!("-D {audit} http://x/"), "-D"),
            (format!("--etag-save {audit} http://x/"), "--etag-save"),
            (format!("-w %output{{{audit}}}x http://x/"), "%output{}"),
            (format!("-w %output{{>>{audit}}}x http://x/"), "%output{>>}"),
            (format!("-C - -o {audit} http://x/"), "-o"),
            (format!("-T {audit} http://x/"), "-T"),
            (format!("-d @{audit} http://x/"), "-d"),
            (format!("--data-binary @{audit} http://x/"), "-d"),
            (
                format!("--data-urlencode a@{audit} http://x/"),
                "--data-urlencode",
            ),
            (format!("-H @{audit} http://x/"), "-H"),
            (format!("-w @{audit} http://x/"), "-w"),
            (
                format!("--etag-compare {audit} http://x/"),
                "--etag-compare",
            ),
        ] {
            let expected = format!(
                "cannot write the audit to {audit}: it is the same file as {option} {audit} (name \
                 another one: --audit FILE)"
            );
            let words = format!("--audit {audit} {words}");
            assert_eq!(checked(&words), Err(expected), "{words}");
            assert_eq!(fs::read(audit.to_string()).unwrap(), b"A: b\n");
        }
        for words in ["-o other http://x/", "--data-raw @audit http://x/"] {
            let words = format!("--audit {audit} {words}");
            assert_eq!(checked(&words), Ok(()), "{words}");
        }
    }
}
