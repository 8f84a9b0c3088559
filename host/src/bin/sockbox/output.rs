//! Where a page is written: standard output, or a file that appears whole or not at all.

use crate::exit::Failure;
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
    },
}

impl Output {
    /// Open `path`; none, and `-`, are standard output.
    pub fn open(path: Option<&Path>) -> Result<Output, Failure> {
        match path {
            None => Output::stdout(),
            Some(path) if path == Path::new("-") => Output::stdout(),
            Some(path) => {
                let name = path.display().to_string();
                match open(path) {
                    Ok(kind) => Ok(Output { name, kind }),
                    Err(source) => Err(Failure::output(name, source)),
                }
            }
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

    /// Put the file in its place.
    pub fn commit(self) -> Result<(), Failure> {
        let Kind::Atomic {
            temporary,
            target,
            permissions,
        } = self.kind
        else {
            return Ok(());
        };
        let done = match permissions {
            Some(permissions) => temporary.as_file().set_permissions(permissions),
            None => Ok(()),
        };
        done.and_then(|()| temporary.persist(target).map_err(|failed| failed.error))
            .map(|_| ())
            .map_err(|source| Failure::output(self.name, source))
    }

    /// What it means that writing failed.
    pub fn failed(&self, source: io::Error) -> Failure {
        Failure::output(&*self.name, source)
    }
}

fn open(path: &Path) -> io::Result<Kind> {
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
    Ok(Kind::Atomic {
        temporary,
        target: path.to_owned(),
        permissions,
    })
}

/// Standard output as a file: nothing of it waits in a buffer.
fn stdout() -> io::Result<File> {
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
            assert!(!fs::metadata("/dev/null").unwrap().is_file());
        }
    }
}
