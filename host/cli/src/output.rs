//! Where a page is written: standard output, or a file that appears whole or not at all, where that is
//! possible.

use crate::descriptors::Descriptor;
use crate::exit::Failure;
use crate::saving::{Beside, Saving};
use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

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
    /// A file that can't be written beside its place: written where it is, once there is something to
    /// be written.
    InPlace {
        file: File,
        /// Whether what it had before is gone.
        emptied: Cell<bool>,
    },
    /// Written beside its place, and moved there at the end.
    Beside(Beside),
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

impl Output {
    /// Open `path`; none, and `-`, are standard output.
    pub fn open(path: Option<&Path>) -> Result<Output, Failure> {
        match path {
            None => Output::stdout(),
            Some(path) if path == Path::new("-") => Output::stdout(),
            Some(path) => Output::file(path, Making::default()),
        }
    }

    /// A file that appears when it is committed, where that is possible ([`saving`](crate::saving) says
    /// where not); what isn't a regular one is written to as it is.
    pub fn file(path: &Path, making: Making) -> Result<Output, Failure> {
        folders(path, making)
            .and_then(|()| Saving::open(path, making.replace))
            .map(|saving| Output {
                name: path.display().to_string(),
                kind: match saving {
                    Saving::Stream(file) => Kind::Direct(file),
                    Saving::InPlace(file) => Kind::InPlace {
                        file,
                        emptied: Cell::new(false),
                    },
                    Saving::Beside(beside) => Kind::Beside(beside),
                },
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
            Kind::Beside(beside) => beside.file(),
            Kind::InPlace { file, emptied } => {
                if !emptied.replace(true) {
                    file.set_len(0).map_err(|source| self.failed(source))?;
                }
                file
            }
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

    /// Whether [`Output::commit`] is to give the file a name and nothing else.
    pub fn is_renamed(&self) -> bool {
        matches!(&self.kind, Kind::Beside(beside) if beside.is_renamed())
    }

    /// Put the file in its place, and tell where that is, if it isn't the one that was named.
    pub fn commit(self) -> Result<Option<PathBuf>, Failure> {
        if let Kind::InPlace { .. } = self.kind {
            // An empty page is one, too.
            self.writer()?;
        }
        match self.kind {
            Kind::Direct(_) | Kind::InPlace { .. } => Ok(None),
            Kind::Beside(beside) => beside
                .commit()
                .map_err(|source| Failure::output(self.name, source)),
        }
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
    use crate::saving::MAX_NUMBER;
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
        use std::fs::Permissions;
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
            for mode in [0o600, 0o640, 0o755] {
                fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                write(&path);
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode);
                assert_eq!(fs::read(&path).unwrap(), b"new");
            }
        }

        #[test]
        fn a_link_stays_and_what_it_points_to_is_replaced() {
            let folder = tempfile::tempdir().unwrap();
            let (old, link) = (folder.path().join("old"), folder.path().join("link"));
            fs::write(&old, "old").unwrap();
            symlink(&old, &link).unwrap();
            write(&link);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&old).unwrap(), b"new");
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
