//! How a file is made or replaced: whole where that is possible, and without losing what its path was.
//!
//! A page is written to a temporary file beside its place, and renamed at the end: the path has all of
//! it or what it had before. But a rename gives the path to another file, so it is done only where that
//! file can be like the old one:
//!
//! - links are followed, and what is replaced is the file that they lead to;
//! - the owner, the group and the mode are kept, without set-user-ID and set-group-ID;
//! - a file that this process may not write is refused, whatever its folder allows.
//!
//! In two cases there can be no such rename:
//!
//! - The file has hard links, extended attributes (an access control list is one), an owner that this
//!   process can't give to the new file, or a path that can't be renamed to (a mount, a file of another
//!   user in a folder with the sticky bit). The temporary file is copied into it when it is whole. What
//!   the path had before is lost only if the copying fails.
//! - The folder takes no temporary file. The file is written where it is, from the first byte of the
//!   page on, and half a page stays if the rest doesn't come.

#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use other as system;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
#[cfg(unix)]
use unix as system;

/// The most links that are followed to a file: 40, as Linux has it (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The most names that are tried for a file that may not replace another, as curl has it.
pub const MAX_NUMBER: u32 = 100;

/// How a path is written to.
#[derive(Debug)]
pub enum Saving {
    /// As it is: a device, a pipe.
    Stream(File),
    /// Where it is. It still has what it had before.
    InPlace(File),
    /// Beside it, until it is whole.
    Beside(Beside),
}

/// A file that isn't in its place yet. Dropped without [`Beside::commit`], it is removed.
#[derive(Debug)]
pub struct Beside {
    temporary: NamedTempFile,
    target: PathBuf,
    then: Then,
}

/// What is done with a temporary file that is whole.
#[derive(Debug)]
enum Then {
    /// It gets the name, if nothing else has it; if something has, another name.
    Number,
    /// It gets the name.
    Rename,
    /// It gets the name and these permissions, or if that can't be is copied into what has the name.
    Replace { permissions: Permissions },
    /// It is copied into what has the name.
    Copy,
}

impl Saving {
    /// Open what `path` is to be written to. With `replace` a file that is there is replaced, without
    /// it another name is found.
    ///
    /// # Errors
    /// The path can't be written: it is a folder, a file that this process may not write, or a new file
    /// in a folder that takes none.
    pub fn open(path: &Path, replace: bool) -> io::Result<Saving> {
        let found = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            // There is nothing to be moved into the place of a device or a pipe.
            Ok(found) if !found.is_file() => {
                return OpenOptions::new()
                    .write(true)
                    .open(path)
                    .map(Saving::Stream);
            }
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if !replace {
            return beside(path.to_owned(), Mode::Usual, |_| Then::Number);
        }
        let target = behind_links(path)?;
        let Some(found) = found else {
            // A link that leads to no file is followed as well.
            let target = target.unwrap_or_else(|| path.to_owned());
            return beside(target, Mode::Usual, |_| Then::Rename);
        };
        system::check_writable(path)?;
        let in_place = || {
            let file = OpenOptions::new().write(true).open(path);
            file.map(Saving::InPlace)
        };
        // A path that isn't the file's own is that of an open file (`/dev/stdout`).
        let Some(target) = target.filter(|target| system::is_path_of(target, &found)) else {
            return in_place();
        };
        let made = beside(target, Mode::Private, |file| {
            match system::can_be(file, path, &found) {
                true => Then::Replace {
                    permissions: system::kept_permissions(&found),
                },
                false => Then::Copy,
            }
        });
        match made {
            Err(error) if is_no_folder_for_us(&error) => in_place(),
            made => made,
        }
    }
}

impl Beside {
    /// What to write to.
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Whether putting it in its place is to rename it. It may have to be copied even so.
    pub fn is_renamed(&self) -> bool {
        matches!(self.then, Then::Rename | Then::Replace { .. })
    }

    /// Put it in its place. Tells where that is if it isn't the one that was named.
    ///
    /// # Errors
    /// It can't be renamed or copied.
    pub fn commit(self) -> io::Result<Option<PathBuf>> {
        let Beside {
            temporary,
            target,
            then,
        } = self;
        match then {
            Then::Number => return persist_beside(temporary, &target),
            Then::Rename => drop(temporary.persist(target)?),
            Then::Copy => copy(&temporary, &target)?,
            Then::Replace { permissions } => {
                temporary.as_file().set_permissions(permissions)?;
                match temporary.persist(&target) {
                    Ok(_) => {}
                    Err(failed) if is_no_rename(&failed.error) => copy(&failed.file, &target)?,
                    Err(failed) => return Err(failed.error),
                }
            }
        }
        Ok(None)
    }
}

/// Which users may read a temporary file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Those that may read any new file.
    Usual,
    /// Its owner: it is never more readable than the file that it replaces.
    Private,
}

fn beside(target: PathBuf, mode: Mode, then: impl FnOnce(&File) -> Then) -> io::Result<Saving> {
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Opened by ourselves, so that a new file gets the permissions that any new file gets.
    let temporary = tempfile::Builder::new()
        .prefix(".sockbox-")
        .suffix(".part")
        .make_in(folder, |path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            if mode == Mode::Private {
                system::make_private(&mut options);
            }
            options.open(path)
        })?;
    crate::watchdog::remove_if_ended(temporary.path());
    let then = then(temporary.as_file());
    Ok(Saving::Beside(Beside {
        temporary,
        target,
        then,
    }))
}

/// Where the links that `path` may be lead to. None if one of them is the system's name of an open
/// file, such as `/dev/stdout`: what that is can't be replaced, since others have it open.
fn behind_links(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // What isn't there, or is no link, is the end.
        let Ok(to) = fs::read_link(&path) else {
            return Ok(Some(path));
        };
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let folder = fs::canonicalize(folder)?;
        if folder.starts_with("/proc") {
            return Ok(None);
        }
        system::check_link(&path, &folder)?;
        path = folder.join(to);
    }
    Err(io::Error::other("there are too many links"))
}

/// Whether a folder takes no file of ours.
fn is_no_folder_for_us(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// Whether a path can't be renamed to, but perhaps be written to: it is a mount (EBUSY), one of
/// another file system (EXDEV), or another user's file in a folder with the sticky bit (EPERM).
fn is_no_rename(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ResourceBusy};
    matches!(
        error.kind(),
        CrossesDevices | PermissionDenied | ResourceBusy
    )
}

/// Put what a temporary file has into another one, in the place of what that has.
fn copy(temporary: &NamedTempFile, target: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    // Links were followed before. One that is there now was put there by another process.
    system::follow_no_link(&mut options);
    let mut file = options.open(target)?;
    let mut from = temporary.as_file();
    from.rewind()?;
    file.set_len(0)?;
    io::copy(&mut from, &mut file).map(drop)
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
