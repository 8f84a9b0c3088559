//! What a file is besides its content, on Unix.

use rustix::fs::{Access, AtFlags, CWD, Gid, OFlags, Uid};
use rustix::io::Errno;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The mode of a temporary file that replaces another one, until it gets that one's.
const PRIVATE: u32 = 0o600;

/// The most bytes of extended attributes' names that are looked at. A file with more has some.
const ATTRIBUTES: usize = 4096;

/// What is kept of a replaced file's mode: not set-user-ID and set-group-ID, which the system takes from
/// a file that is written to as well.
const KEPT_MODE: u32 = 0o1777;

/// Let a file that is going to be made be read by its owner only.
pub fn make_private(options: &mut OpenOptions) {
    options.mode(PRIVATE);
}

/// Let no link be followed by opening a path.
pub fn follow_no_link(options: &mut OpenOptions) {
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
}

/// The permissions that a file gets from the one that it replaces.
pub fn kept_permissions(found: &Metadata) -> Permissions {
    Permissions::from_mode(found.mode() & KEPT_MODE)
}

/// Refuse a link that another user has put into a folder where every user may write, as Linux does when it
/// follows links itself (`fs.protected_symlinks`).
pub fn check_link(link: &Path, folder: &Path) -> io::Result<()> {
    const SHARED: u32 = 0o1002;
    let (link, folder) = (fs::symlink_metadata(link)?, fs::metadata(folder)?);
    let ours = rustix::process::geteuid().as_raw();
    let is_shared = folder.mode() & SHARED == SHARED;
    if is_shared && link.uid() != ours && link.uid() != folder.uid() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// Refuse what this process may not write: a process that may write in the folder could replace it all the same.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) {
        // Asked for another user than the one that started it (a set-user-ID program), some systems
        // can't tell; opening it tells.
        Err(Errno::NOSYS) => OpenOptions::new().write(true).open(path).map(drop),
        asked => Ok(asked?),
    }
}

/// Whether `path` itself, and not what it may be a link to, is the file that was found.
pub fn is_path_of(path: &Path, found: &Metadata) -> bool {
    let is_it = |it: Metadata| (it.dev(), it.ino()) == (found.dev(), found.ino());
    fs::symlink_metadata(path).is_ok_and(is_it)
}

/// Whether `file` can take the place of the one that was found at `path`: it is given its owner and
/// group here.
pub fn can_be(file: &File, path: &Path, found: &Metadata) -> bool {
    let mut names = [0; ATTRIBUTES];
    let of_new = rustix::fs::flistxattr(file, &mut names[..]);
    let new_has = has_attributes(of_new, &names);
    let of_old = rustix::fs::listxattr(path, &mut names[..]);
    let old_has = has_attributes(of_old, &names);
    found.nlink() == 1 && !new_has && !old_has && has_owner_of(file, found)
}

/// Whether a file has extended attributes: one that has some isn't like another one that has none, and
/// an access control list, which a folder may give to new files, lets others read than the mode says.
///
/// Those of the system's own (labels, capabilities) are not for us to keep: it gives each file its own.
fn has_attributes(listed: rustix::io::Result<usize>, names: &[u8]) -> bool {
    match listed {
        Ok(length) => names
            .get(..length)
            .unwrap_or(names)
            .split(|byte| *byte == 0)
            .any(|name| !name.is_empty() && !name.starts_with(b"security.")),
        // The file system has none, or it can't be told; then it has some for all we know.
        Err(error) => error != Errno::OPNOTSUPP,
    }
}

fn has_owner_of(file: &File, found: &Metadata) -> bool {
    let Ok(has) = file.metadata() else {
        return false;
    };
    if (has.uid(), has.gid()) == (found.uid(), found.gid()) {
        return true;
    }
    let (uid, gid) = (Uid::from_raw(found.uid()), Gid::from_raw(found.gid()));
    rustix::fs::fchown(file, Some(uid), Some(gid)).is_ok()
}
