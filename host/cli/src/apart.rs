//! Checks that the audit record is no other file of the run. The other files are the inputs, and those that the
//! component, a server or sockbox itself writes.

use crate::exit::Failure;
use crate::identity::Identity;
use sockbox::profile::Dir;
use std::fs::{self, File, Metadata};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// A standard stream. The component, or another part of the run, uses it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Input,
    Output,
    Error,
}

impl Stream {
    const ALL: [Stream; 3] = [Stream::Input, Stream::Output, Stream::Error];

    fn name(self) -> &'static str {
        match self {
            Stream::Input => "standard input",
            Stream::Output => "standard output",
            Stream::Error => "standard error",
        }
    }

    fn is_terminal(self) -> bool {
        match self {
            Stream::Input => io::stdin().is_terminal(),
            Stream::Output => io::stdout().is_terminal(),
            Stream::Error => io::stderr().is_terminal(),
        }
    }

    /// The metadata of the stream's file.
    #[cfg(unix)]
    fn metadata(self) -> io::Result<Metadata> {
        use std::os::fd::AsFd;

        let file = match self {
            Stream::Input => io::stdin().as_fd().try_clone_to_owned(),
            Stream::Output => io::stdout().as_fd().try_clone_to_owned(),
            Stream::Error => io::stderr().as_fd().try_clone_to_owned(),
        };
        File::from(file?).metadata()
    }
}

/// Refuse a record that the component could read or change. It has all standard streams, and it can change files in the
/// directories that are granted without `:ro`.
pub fn from_component(audit: Option<&PathBuf>, dirs: &[Dir]) -> Result<(), Failure> {
    let Some(audit) = audit else {
        return Ok(());
    };
    if audit == Path::new("-") {
        return Err(shared(audit, Stream::Output, "the component"));
    }
    if let Some(stream) = Stream::ALL.into_iter().find(|it| is_same(audit, *it)) {
        return Err(shared(audit, stream, "the component"));
    }
    let writable = dirs.iter().filter(|dir| !dir.read_only);
    match writable.into_iter().find(|dir| is_within(audit, dir)) {
        Some(dir) => Err(refused(
            audit,
            &format!(
                "the component may change it through --dir {} (name a file that is outside, or add \
                 :ro to the directory)",
                dir.host.display()
            ),
        )),
        None => Ok(()),
    }
}

/// Refuse a record that is a standard stream of `sockbox fetch`. The response body, the messages and `-T -` use these
/// streams.
pub fn from_fetch(audit: Option<&PathBuf>) -> Result<(), Failure> {
    let Some(audit) = audit else {
        return Ok(());
    };
    if audit == Path::new("-") || is_same(audit, Stream::Output) {
        return Err(shared(audit, Stream::Output, "the response body"));
    }
    from_messages(audit)
}

/// Refuse a record that is a standard stream of `sockbox serve`. Only `-` is allowed, which means standard output.
pub fn from_serve(audit: Option<&PathBuf>) -> Result<(), Failure> {
    let Some(audit) = audit.filter(|audit| *audit != Path::new("-")) else {
        return Ok(());
    };
    if is_same(audit, Stream::Output) {
        // Opening the stream by its path gives a second position in the file. The record and the log would then
        // overwrite each other.
        let problem = "it is standard output, which has the lines of the server too (name it \
                       --audit -, or name a file: --audit FILE)";
        return Err(refused(audit, problem));
    }
    from_messages(audit)
}

/// Refuse a record that is standard error or standard input.
fn from_messages(audit: &Path) -> Result<(), Failure> {
    for (stream, user) in [
        (Stream::Error, "sockbox's messages"),
        (Stream::Input, "the input"),
    ] {
        if is_same(audit, stream) {
            return Err(shared(audit, stream, user));
        }
    }
    Ok(())
}

/// A file that an option names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The option that names the file, or a description of the file.
    pub what: String,
    pub path: PathBuf,
}

impl NamedFile {
    pub fn new(what: impl Into<String>, path: impl Into<PathBuf>) -> NamedFile {
        NamedFile {
            what: what.into(),
            path: path.into(),
        }
    }
}

/// Refuse a record that is one of these files, also under another name. Call this before any of the files is opened: a
/// refused run then creates and empties no file.
pub fn from_files(audit: Option<&PathBuf>, files: &[NamedFile]) -> Result<(), Failure> {
    let Some(audit) = audit.filter(|audit| *audit != Path::new("-")) else {
        return Ok(());
    };
    let Some(record) = Identity::of(audit) else {
        return Ok(());
    };
    let same = |file: &&NamedFile| Identity::of(&file.path).is_some_and(|it| it == record);
    match files.iter().find(same) {
        None => Ok(()),
        Some(file) => Err(refused(
            audit,
            &format!(
                "it is the same file as {} {} (name another one: --audit FILE)",
                file.what,
                file.path.display()
            ),
        )),
    }
}

fn shared(audit: &Path, stream: Stream, other: &str) -> Failure {
    let name = stream.name();
    let problem = format!("it is {name}, which {other} has too (name a file: --audit FILE)");
    refused(audit, &problem)
}

fn refused(audit: &Path, problem: &str) -> Failure {
    Failure::Usage {
        problem: format!("cannot write the audit to {}: {problem}", audit.display()),
    }
}

/// Whether a path leads to the file of a standard stream.
#[cfg(unix)]
fn is_same(path: &Path, stream: Stream) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    // A file that does not exist yet is not a stream, and neither is a stream that is closed.
    let (Ok(file), Ok(stream_is)) = (fs::metadata(path), stream.metadata()) else {
        return false;
    };
    if !file.file_type().is_char_device() {
        return id(&file) == id(&stream_is);
    }
    // A terminal can have several names, and `/dev/tty` stands for each of them. Other character devices are no problem:
    // `/dev/null`, for example, keeps no data.
    let is_null = fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == file.rdev());
    let is_tty = fs::metadata("/dev/tty").is_ok_and(|tty| tty.rdev() == file.rdev());
    !is_null && stream.is_terminal() && (is_tty || file.rdev() == stream_is.rdev())
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: Stream) -> bool {
    false
}

/// The device and inode of a file, which are equal for all its names.
#[cfg(unix)]
fn id(file: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn id(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// Whether a file has other hard links. They can be in any directory.
#[cfg(unix)]
fn has_other_names(file: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.is_file() && file.nlink() > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}

/// Whether a component can change or replace a file through a directory. The file need not exist yet.
fn is_within(file: &Path, dir: &Dir) -> bool {
    if fs::metadata(file).is_ok_and(|file| has_other_names(&file)) {
        return true;
    }
    let dir_path = fs::canonicalize(&dir.host).unwrap_or_else(|_| dir.host.clone());
    let dir_id = fs::metadata(&dir.host).ok().and_then(|dir| id(&dir));
    // The directory that contains the name, and the file itself, which is somewhere else if the name is a link.
    let parent = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let places = [fs::canonicalize(parent), fs::canonicalize(file)];
    places.iter().flatten().any(|place| {
        place.ancestors().any(|above| {
            above == dir_path
                || dir_id.is_some() && fs::metadata(above).is_ok_and(|above| id(&above) == dir_id)
        })
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn dir(host: &Path, read_only: bool) -> Dir {
        let mut dir: Dir = host.to_str().unwrap().parse().unwrap();
        dir.read_only = read_only;
        dir
    }

    #[test]
    fn a_record_that_the_component_could_change_through_a_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        let new = |place: &Path, name: &str| {
            fs::write(place.join(name), "").unwrap();
            place.join(name)
        };
        symlink(outside.join("audit"), inside.join("link-out")).unwrap();
        symlink(inside.join("deep"), outside.join("link-in")).unwrap();
        let linked = new(&outside, "linked");
        fs::hard_link(&linked, inside.join("other-name")).unwrap();
        for (audit, refused) in [
            (new(&inside, "audit"), true),
            (inside.join("not-there-yet"), true),
            (new(&inside.join("deep"), "audit"), true),
            (inside.join("deep/../../in/audit"), true),
            (inside.join("link-out"), true),
            (outside.join("link-in/audit"), true),
            (linked, true),
            (new(&outside, "audit"), false),
            (outside.join("not-there-yet"), false),
            (inside.join("../out/audit"), false),
        ] {
            let checked = from_component(Some(&audit), &[dir(&inside, false)]);
            assert_eq!(checked.is_err(), refused, "{audit:?}");
            if let Err(failure) = checked {
                assert_eq!(failure.code(), 2);
                let message = failure.message(false).unwrap();
                assert!(message.contains(":ro"), "{message}");
            }
            from_component(Some(&audit), &[dir(&inside, true)]).unwrap();
            from_component(Some(&audit), &[]).unwrap();
            from_fetch(Some(&audit)).unwrap();
            from_serve(Some(&audit)).unwrap();
        }
    }

    #[test]
    fn a_record_that_is_another_file_of_the_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("page"), "").unwrap();
        fs::hard_link(at("page"), at("hard")).unwrap();
        symlink("new", at("link")).unwrap();
        let files = [
            NamedFile::new("-o", at("page")),
            NamedFile::new("-D", at("new")),
            NamedFile::new("-o", "/dev/null"),
        ];
        for (audit, option) in [
            ("page", Some("-o")),
            ("hard", Some("-o")),
            ("new", Some("-D")),
            ("link", Some("-D")),
            ("other", None),
            ("/dev/null", None),
        ] {
            let audit = at(audit);
            let found = from_files(Some(&audit), &files).err();
            let found = found.map(|failure| {
                assert_eq!(failure.code(), 2);
                failure.message(false).unwrap()
            });
            let expected = option.map(|option| {
                let path = &files.iter().find(|it| it.what == option).unwrap().path;
                format!(
                    "cannot write the audit to {}: it is the same file as {option} {} (name another \
                     one: --audit FILE)",
                    audit.display(),
                    path.display()
                )
            });
            assert_eq!(found, expected, "{audit:?}");
            assert!(!at("new").exists());
        }
        from_files(None, &files).unwrap();
        from_files(Some(&"-".into()), &files).unwrap();
    }

    #[test]
    fn standard_output_is_refused_by_all_its_names() {
        for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            let name = PathBuf::from(name);
            let is_null = fs::metadata(&name)
                .and_then(|file| Ok(id(&file) == id(&fs::metadata("/dev/null")?)))
                .unwrap_or(false);
            let expected = !is_null;
            assert_eq!(from_fetch(Some(&name)).is_err(), expected, "{name:?}");
            let by_path = expected && name != Path::new("-");
            assert_eq!(from_serve(Some(&name)).is_err(), by_path, "{name:?}");
            let checked = from_component(Some(&name), &[]);
            assert_eq!(checked.is_err(), expected, "{name:?}");
        }
        let null = PathBuf::from("/dev/null");
        from_component(Some(&null), &[]).unwrap();
        from_component(None, &[]).unwrap();
    }
}
