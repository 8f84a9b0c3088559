//! Where a page is written: standard output, or a file that appears whole or not at all.

use crate::descriptors::Descriptor;
use crate::exit::Failure;
use crate::watchdog;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// An output that is open.
///
/// Dropped without [`Output::commit`], a file that was to be made, or replaced, is left as it was.
#[derive(Debug)]
pub struct Output {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Written as it comes: standard output, or a file that isn't a regular one.
    Direct(File),
    /// Written beside its place, and moved there at the end.
    Atomic {
        temporary: NamedTempFile,
        target: PathBuf,
        /// Those of the file that is replaced.
        permissions: Option<Permissions>,
        /// Whether one that is there may be replaced.
        replace: bool,
    },
}

/// How a file is made.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    /// Make the folders that it is in.
    pub folders: bool,
    /// Replace one that is there; if not, another name is found for it.
    pub replace: bool,
}

impl Default for Making {
    fn default() -> Making {
        Making {
            folders: false,
            replace: true,
        }
    }
}

/// The most names that are tried for a file that may not replace another, as curl has it.
const MAX_NUMBER: u32 = 100;

impl Output {
    /// Open `path`; none, and `-`, are standard output.
    pub fn open(path: Option<&Path>) -> Result<Output, Failure> {
        match path {
            None => Output::stdout(),
            Some(path) if path == Path::new("-") => Output::stdout(),
            Some(path) => Output::file(path, Making::default()),
        }
    }

    /// A file that appears when it is committed; what isn't a regular one is written to as it is.
    pub fn file(path: &Path, making: Making) -> Result<Output, Failure> {
        make(path, making)
            .map(|kind| Output {
                name: path.display().to_string(),
                kind,
            })
            .map_err(|source| Failure::output(path.display().to_string(), source))
    }

    /// A file that is written to in its place, and read. What there was of it stays.
    pub fn in_place(path: &Path, making: Making) -> Result<Output, Failure> {
        let opened = folders(path, making).and_then(|()| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(path)
        });
        match opened {
            Ok(file) => Ok(Output {
                name: path.display().to_string(),
                kind: Kind::Direct(file),
            }),
            Err(source) => Err(Failure::output(path.display().to_string(), source)),
        }
    }

    pub fn stdout() -> Result<Output, Failure> {
        let name = "standard output";
        let file = stdout().map_err(|source| Failure::output(name, source))?;
        Ok(Output {
            name: name.to_owned(),
            kind: Kind::Direct(file),
        })
    }

    /// What to write to.
    pub fn writer(&self) -> Result<File, Failure> {
        let file = match &self.kind {
            Kind::Direct(file) => file,
            Kind::Atomic { temporary, .. } => temporary.as_file(),
        };
        file.try_clone().map_err(|source| self.failed(source))
    }

    /// Cut off what is behind the first `size` bytes, where there are such things as files' sizes.
    pub fn truncate(&self, size: u64) -> Result<(), Failure> {
        let file = self.writer()?;
        let cut = file.metadata().and_then(|metadata| {
            // A file that isn't changed doesn't become younger.
            if metadata.is_file() && metadata.len() != size {
                file.set_len(size)
            } else {
                Ok(())
            }
        });
        cut.map_err(|source| self.failed(source))
    }

    /// Put the file in its place, and tell where that is, if it isn't the one that was named.
    pub fn commit(self) -> Result<Option<PathBuf>, Failure> {
        let Kind::Atomic {
            temporary,
            target,
            permissions,
            replace,
        } = self.kind
        else {
            return Ok(None);
        };
        let done = match permissions {
            Some(permissions) => temporary.as_file().set_permissions(permissions),
            None => Ok(()),
        };
        done.and_then(|()| {
            if replace {
                let moved = temporary.persist(target);
                moved.map(|_| None).map_err(|failed| failed.error)
            } else {
                persist_beside(temporary, &target)
            }
        })
        .map_err(|source| Failure::output(self.name, source))
    }

    /// What it means that writing failed.
    pub fn failed(&self, source: io::Error) -> Failure {
        Failure::output(&*self.name, source)
    }
}

/// Make the folders that `path` is in, if they are wanted.
fn folders(path: &Path, making: Making) -> io::Result<()> {
    match path.parent() {
        Some(folder) if making.folders => fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

fn make(path: &Path, making: Making) -> io::Result<Kind> {
    folders(path, making)?;
    let permissions = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        // There is nothing to be moved into the place of a device or a pipe.
        Ok(found) if !found.is_file() => {
            return OpenOptions::new().write(true).open(path).map(Kind::Direct);
        }
        Ok(found) => Some(found.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Opened by ourselves, so that it gets the permissions that any new file gets.
    let temporary = tempfile::Builder::new()
        .prefix(".sockbox-")
        .suffix(".part")
        .make_in(folder, |path| File::create_new(path))?;
    watchdog::remove_if_ended(temporary.path());
    Ok(Kind::Atomic {
        temporary,
        target: path.to_owned(),
        // A file beside another one is a new one.
        permissions: permissions.filter(|_| making.replace),
        replace: making.replace,
    })
}

/// Move a file to `target`, or to `target.1` and so on if that is taken.
fn persist_beside(mut temporary: NamedTempFile, target: &Path) -> io::Result<Option<PathBuf>> {
    for number in 0..=MAX_NUMBER {
        let path = match number {
            0 => target.to_owned(),
            number => {
                let mut name = target.as_os_str().to_owned();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            }
        };
        match temporary.persist_noclobber(&path) {
            Ok(_) => return Ok((number > 0).then_some(path)),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                temporary = failed.file;
            }
            Err(failed) => return Err(failed.error),
        }
    }
    let taken = format!("it exists, and so do those with .1 to .{MAX_NUMBER} behind the name");
    Err(io::Error::new(io::ErrorKind::AlreadyExists, taken))
}

/// Standard output as a file: nothing of it waits in a buffer.
///
/// # Errors
/// EBADF: this process was started without one.
pub fn stdout() -> io::Result<File> {
    Descriptor::Output.check()?;
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
    Ok(File::from(handle))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_appears_when_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let output = Output::open(Some(&path)).unwrap();
        output.writer().unwrap().write_all(b"whole").unwrap();
        assert!(!path.exists());
        output.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["page"]);
    }

    #[test]
    fn nothing_is_left_of_what_is_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        for before in [None, Some("old")] {
            if let Some(before) = before {
                fs::write(&path, before).unwrap();
            }
            let output = Output::open(Some(&path)).unwrap();
            output.writer().unwrap().write_all(b"half").unwrap();
            drop(output);
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), before);
            assert_eq!(names(folder.path()).len(), usize::from(before.is_some()));
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_output_failure() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            folder.path().to_owned(),
            folder.path().join("missing/page"),
            folder.path().join("page/below"),
        ] {
            fs::write(folder.path().join("page"), "a file").unwrap();
            let failure = Output::open(Some(&path)).unwrap_err();
            assert_eq!(failure.code(), 23, "{failure:?}");
            let message = failure.message(false).unwrap();
            let expected = format!("could not write {}: ", path.display());
            assert!(message.starts_with(&expected), "{message}");
            assert!(!message.contains(".part"), "{message}");
        }
    }

    #[test]
    fn nothing_is_replaced_that_may_not_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        let making = Making {
            replace: false,
            ..Making::default()
        };
        let write = |text: &str| {
            let output = Output::file(&path, making).unwrap();
            output.writer().unwrap().write_all(text.as_bytes()).unwrap();
            output.commit()
        };
        for (text, expected) in [("0", None), ("1", Some("page.1")), ("2", Some("page.2"))] {
            let expected = expected.map(|name| folder.path().join(name));
            assert_eq!(write(text).unwrap(), expected);
            let path = expected.as_ref().unwrap_or(&path);
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
        for number in 3..=MAX_NUMBER {
            write("more").unwrap_or_else(|failure| panic!("{number}: {failure:?}"));
        }
        assert_eq!(write("too many").unwrap_err().code(), 23);
        assert_eq!(names(folder.path()).len() as u32, 1 + MAX_NUMBER);
        assert_eq!(fs::read_to_string(&path).unwrap(), "0");
    }

    #[test]
    fn folders_are_made_where_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/page");
        assert!(Output::file(&path, Making::default()).is_err());
        assert!(Output::in_place(&path, Making::default()).is_err());
        let making = Making {
            folders: true,
            ..Making::default()
        };
        Output::file(&path, making).unwrap().commit().unwrap();
        assert!(path.exists());
        let path = folder.path().join("c/page");
        Output::in_place(&path, making).unwrap();
        assert!(path.exists());
    }

    #[test]
    fn a_file_in_its_place_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page");
        fs::write(&path, "0123").unwrap();
        let output = Output::in_place(&path, Making::default()).unwrap();
        output.writer().unwrap().write_all(b"ab").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab23");
        output.truncate(3).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab2");
        assert_eq!(output.commit().unwrap(), None);
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

        fn write(path: &Path) {
            let output = Output::open(Some(path)).unwrap();
            output.writer().unwrap().write_all(b"new").unwrap();
            output.commit().unwrap();
        }

        #[test]
        fn a_new_file_has_the_usual_permissions() {
            let folder = tempfile::tempdir().unwrap();
            let usual = folder.path().join("usual");
            File::create(&usual).unwrap();
            let path = folder.path().join("page");
            write(&path);
            assert_eq!(
                fs::metadata(&path).unwrap().mode(),
                fs::metadata(&usual).unwrap().mode()
            );
        }

        #[test]
        fn a_file_that_is_replaced_keeps_its_permissions() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("page");
            fs::write(&path, "old").unwrap();
            for mode in [0o600, 0o640, 0o755, 0o444] {
                fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                write(&path);
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
                assert_eq!(fs::read(&path).unwrap(), b"new");
            }
        }

        #[test]
        fn a_link_is_replaced_and_what_it_points_to_is_not() {
            let folder = tempfile::tempdir().unwrap();
            let (old, link) = (folder.path().join("old"), folder.path().join("link"));
            fs::write(&old, "old").unwrap();
            symlink(&old, &link).unwrap();
            write(&link);
            assert!(fs::symlink_metadata(&link).unwrap().is_file());
            assert_eq!(fs::read(&link).unwrap(), b"new");
            assert_eq!(fs::read(&old).unwrap(), b"old");
        }

        #[test]
        fn a_device_is_written_to() {
            write(Path::new("/dev/null"));
            let null = Output::in_place(Path::new("/dev/null"), Making::default()).unwrap();
            null.truncate(0).unwrap();
            assert!(!fs::metadata("/dev/null").unwrap().is_file());
        }
    }
}
