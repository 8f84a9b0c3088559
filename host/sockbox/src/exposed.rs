//! Whether a directory that a component may write to gives it something that it must not have.

use crate::error::{Error, Result};
use crate::profile::Dir;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links a path may lead over, as Linux has it.
const MAX_LINKS: usize = 40;

/// Make sure that a component which sees the directory `dir` can't change what is at `place`, nor put
/// anything there: that it sees it read-only, or that neither is in the other, whatever links and mounts
/// there are. `what` says what is there, for the message: `the cache of compiled code`.
///
/// # Errors
/// [`Error::InvalidOptions`]: it could, or that can't be told.
pub fn must_not_expose(dir: &Dir, place: &Path, what: &str) -> Result<()> {
    if dir.read_only {
        return Ok(());
    }
    let reason = match exposes(&dir.host, place) {
        Ok(false) => return Ok(()),
        Ok(true) => format!("a component could change {what} there, {}", place.display()),
        Err(error) => format!(
            "whether a component could change {what} there, {}, is unknown: {error}",
            place.display()
        ),
    };
    Err(Error::InvalidOptions {
        reason: format!(
            "cannot give the directory {} to be written to: {reason} (give another directory, or \
             this one read-only, with :ro)",
            dir.host.display()
        ),
    })
}

/// Whether who may write to everything below `dir` could change what is at `place`, or what is found under that
/// path, which needn't exist: whether the one is in the other, seen through links and through mounts.
///
/// Files are compared by what they are, not by their names: a bind mount or a link gives a directory a second
/// name.
///
/// # Errors
/// What is on the way to one of them can't be looked at.
fn exposes(dir: &Path, place: &Path) -> io::Result<bool> {
    let Some(dir_id) = id(dir)? else {
        // There is nothing to be given.
        return Ok(false);
    };
    let way = way_to(place)?;
    if way.contains(&dir_id) {
        return Ok(true);
    }
    // Within the place, or at it.
    if let Some(place_id) = id(place)?
        && way_to(dir)?.contains(&place_id)
    {
        return Ok(true);
    }
    // What is mounted below the directory may be what the place is in.
    let dir = fs::canonicalize(dir)?;
    for mount in mounts() {
        if mount.starts_with(&dir)
            && let Ok(Some(id)) = id(&mount)
            && way.contains(&id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Everything that the path leads through, and what is at its end, as far as it exists: the folders that it is in
/// and those that links on the way are in.
fn way_to(path: &Path) -> io::Result<Vec<Id>> {
    let path = std::path::absolute(path)?;
    let mut way = Vec::new();
    let mut at = PathBuf::new();
    let mut links = 0;
    let mut rest: VecDeque<PathBuf> = parts(&path).collect();
    while let Some(part) = rest.pop_front() {
        match part.components().next() {
            Some(Component::ParentDir) => {
                at.pop();
                continue;
            }
            Some(Component::CurDir) | None => continue,
            _ => {}
        }
        let next = at.join(&part);
        let metadata = match fs::symlink_metadata(&next) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => break,
            Err(error) => return Err(error),
        };
        if metadata.is_symlink() {
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::other("the path has too many symbolic links"));
            }
            for part in parts(&fs::read_link(&next)?).rev() {
                rest.push_front(part);
            }
            continue;
        }
        at = next;
        way.extend(id(&at)?);
    }
    Ok(way)
}

/// The parts of a path, of which an absolute one replaces what is before it.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    path.components()
        .map(|part| PathBuf::from(part.as_os_str()))
}

/// Whether there is nothing under a path, or nothing that this user, as whom a component works, can get at.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// What is under a path, whatever its name; None if nothing is.
fn id(path: &Path) -> io::Result<Option<Id>> {
    match identify(path) {
        Ok(id) => Ok(Some(id)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file system and a file in it.
#[cfg(unix)]
type Id = (u64, u64);

#[cfg(unix)]
fn identify(path: &Path) -> io::Result<Id> {
    use std::os::unix::fs::MetadataExt;

    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Elsewhere a file is what its path resolves to.
#[cfg(not(unix))]
type Id = PathBuf;

#[cfg(not(unix))]
fn identify(path: &Path) -> io::Result<Id> {
    fs::canonicalize(path)
}

/// Where file systems, and parts of them, are mounted.
#[cfg(target_os = "linux")]
fn mounts() -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    table
        .split(|byte| *byte == b'\n')
        .filter_map(mount_point)
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn mounts() -> Vec<PathBuf> {
    Vec::new()
}

/// The mount point in a line of mountinfo, as proc(5) has it: the fifth field, with some characters
/// written as three octal digits behind a backslash.
#[cfg(target_os = "linux")]
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let mut rest = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::new();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        let octal = others.first_chunk::<3>().filter(|_| *first == b'\\');
        let number = octal.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match number {
            Some(byte) => {
                path.push(byte);
                rest = others.get(3..).unwrap_or_default();
            }
            None => path.push(*first),
        }
    }
    Some(OsString::from_vec(path).into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_a_directory_exposes() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for folder in [
            "home/.cache/sockbox",
            "home/work",
            "data/real/deep",
            "other",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        // A cache that is elsewhere than its name says, over two links.
        symlink(root.join("data/hop"), root.join("home/linked")).unwrap();
        symlink("real/deep", root.join("data/hop")).unwrap();
        symlink(root.join("home"), root.join("other/house")).unwrap();
        for (dir, place, expected) in [
            ("home", "home/.cache/sockbox", true),
            ("home/.cache", "home/.cache/sockbox", true),
            ("home/.cache/sockbox", "home/.cache/sockbox", true),
            ("home/work", "home/.cache/sockbox", false),
            ("other", "home/.cache/sockbox", false),
            // Under another name.
            ("other/house", "home/.cache/sockbox", true),
            ("home/work/../.cache", "home/.cache/sockbox", true),
            ("home", "other/house/.cache/sockbox", true),
            // Where links are, and where they lead.
            ("home", "home/linked", true),
            ("data", "home/linked", true),
            ("data/real", "home/linked", true),
            ("data/real/deep", "home/linked", true),
            ("other", "home/linked", false),
            // What doesn't exist yet could be made.
            ("home", "home/new/sockbox", true),
            ("home/work", "home/new/sockbox", false),
            // Within it.
            ("data/real/deep", "data/real", true),
            // What isn't there can't be given.
            ("nothing", "nothing/sockbox", false),
        ] {
            assert_eq!(
                exposes(&root.join(dir), &root.join(place)).unwrap(),
                expected,
                "{dir} exposes {place}"
            );
        }
    }

    #[test]
    fn links_without_an_end_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("a");
        symlink(&link, &link).unwrap();
        exposes(root.path(), &link).unwrap_err();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn mount_points_are_read_as_they_are_written() {
        for (line, expected) in [
            (
                "36 35 98:0 /root /mnt rw,noatime - ext3 /dev/root rw",
                Some("/mnt"),
            ),
            (r"36 35 98:0 / /a\040b\134c rw - ext3 x rw", Some(r"/a b\c")),
            (r"36 35 98:0 / /a\04 rw - ext3 x rw", Some(r"/a\04")),
            ("36 35", None),
            ("", None),
        ] {
            let found = mount_point(line.as_bytes());
            assert_eq!(found.as_deref(), expected.map(Path::new), "{line}");
        }
        assert!(mounts().contains(&PathBuf::from("/")));
    }
}
