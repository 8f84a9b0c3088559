//! Checks that a directory which is given to a component does not expose protected files.

use crate::error::{Error, Result};
use crate::mounts::mounts;
use crate::profile::Dir;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links a path may lead over, as Linux has it.
const MAX_LINKS: usize = 40;

/// Check that a component with access to `dir` can neither change nor create `place`: `dir` is
/// read-only, or neither path is inside the other, taking links and mounts into account. `what`
/// describes the place in the message: `the cache of compiled code`.
///
/// # Errors
/// [`Error::InvalidOptions`]: it can, or the check failed.
pub fn must_not_expose(dir: &Dir, place: &Path, what: &str) -> Result<()> {
    if dir.read_only {
        return Ok(());
    }
    let reason = match exposes(&dir.host, place) {
        Ok(false) if has_other_names(place) => {
            format!(
                "{what} has other names, and one may be there: {}",
                place.display()
            )
        }
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

/// Check that a component with access to `dir`, read-only or not, can't read the file `place`: the file is not in the
/// directory, taking links and mounts into account. `what` describes the file's content in the message.
///
/// # Errors
/// [`Error::InvalidOptions`]: it can, or the check failed.
pub fn must_not_show(dir: &Dir, place: &Path, what: &str) -> Result<()> {
    let reason = match exposes(&dir.host, place) {
        Ok(false) if has_other_names(place) => format!(
            "the file of {what}, {}, has other names, and one may be there",
            place.display()
        ),
        Ok(false) => return Ok(()),
        Ok(true) => format!(
            "a component could read the file of {what} there, {}",
            place.display()
        ),
        Err(error) => format!(
            "whether a component could read the file of {what} there, {}, is unknown: {error}",
            place.display()
        ),
    };
    Err(Error::InvalidOptions {
        reason: format!(
            "cannot give the directory {}: {reason} (give a directory that does not contain it)",
            dir.host.display()
        ),
    })
}

/// Make sure that a directory holds files, and not what the kernel shows as files: through `/proc` a component could
/// read and change the memory of this process, through `/dev` and `/sys` the machine. Read-only makes no difference:
/// memory can be read.
///
/// # Errors
/// [`Error::InvalidOptions`]: it doesn't.
pub(crate) fn must_hold_files(dir: &Dir) -> Result<()> {
    let problem = match fs::canonicalize(&dir.host) {
        // There is nothing to be given, and opening it says so.
        Err(_) => return Ok(()),
        Ok(path) => kernel_files(&path),
    };
    match problem {
        None => Ok(()),
        Some(place) => Err(Error::InvalidOptions {
            reason: format!(
                "cannot give the directory {}: {} is not made of files, but of the kernel's memory, processes \
                 and devices (give a directory that does not contain it)",
                dir.host.display(),
                place.display()
            ),
        }),
    }
}

/// Where the kernel shows something as files: in a directory, or around it.
fn kernel_files(dir: &Path) -> Option<PathBuf> {
    let mounts = mounts();
    let below = mounts.iter().filter(|mount| mount.path.starts_with(dir));
    // The last of those mounted at one place hides the others.
    let around = mounts
        .iter()
        .filter(|mount| dir.starts_with(&mount.path))
        .max_by_key(|mount| mount.path.components().count());
    let shown = below.chain(around).find(|mount| mount.is_kernels());
    if let Some(mount) = shown {
        return Some(mount.path.clone());
    }
    // In a container, devices are in a file system of another kind.
    let devices = Path::new("/dev");
    let has_devices = exposes(dir, &devices.join("null")).unwrap_or(true);
    has_devices.then(|| devices.to_owned())
}

/// Whether a file has other names, which may be anywhere. The program that runs needs no such care: the system
/// refuses to open it for writing.
#[cfg(unix)]
fn has_other_names(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let Ok(metadata) = fs::metadata(file) else {
        return false;
    };
    let is_running = || {
        let program = std::env::current_exe().and_then(fs::metadata);
        program.is_ok_and(|it| (it.dev(), it.ino()) == (metadata.dev(), metadata.ino()))
    };
    metadata.is_file() && metadata.nlink() > 1 && !is_running()
}

#[cfg(not(unix))]
fn has_other_names(_: &Path) -> bool {
    false
}

/// Whether a component that may write to everything below `dir` could change `place`, or what that path leads to:
/// whether one is inside the other, through links and mounts. `place` need not exist.
///
/// Files are compared by identity, not by name, because a bind mount or a link gives a directory a second
/// name.
///
/// # Errors
/// A component of one of the paths can't be inspected.
fn exposes(dir: &Path, place: &Path) -> io::Result<bool> {
    let Some(dir_id) = id(dir)? else {
        // The directory does not exist, so it can't be given.
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
    // A file system mounted below the directory may contain the place.
    let dir = fs::canonicalize(dir)?;
    for mount in mounts() {
        if mount.path.starts_with(&dir)
            && let Ok(Some(id)) = id(&mount.path)
            && way.contains(&id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Everything that the path leads through, and its end, as far as it exists: its parent folders, and those of
/// links on the way.
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

/// The parts of a path. An absolute part replaces the parts before it.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = PathBuf> {
    path.components()
        .map(|part| PathBuf::from(part.as_os_str()))
}

/// Whether the path does not exist, or this user, whose permissions the component has, can't access it.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
    )
}

/// The identity of the file at a path. None: it does not exist.
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
            "home/project",
            "data/real/deep",
            "other",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        // A cache whose path leads elsewhere through two links.
        symlink(root.join("data/hop"), root.join("home/linked")).unwrap();
        symlink("real/deep", root.join("data/hop")).unwrap();
        symlink(root.join("home"), root.join("other/house")).unwrap();
        for (dir, place, expected) in [
            ("home", "home/.cache/sockbox", true),
            ("home/.cache", "home/.cache/sockbox", true),
            ("home/.cache/sockbox", "home/.cache/sockbox", true),
            ("home/project", "home/.cache/sockbox", false),
            ("other", "home/.cache/sockbox", false),
            // Under another name.
            ("other/house", "home/.cache/sockbox", true),
            ("home/project/../.cache", "home/.cache/sockbox", true),
            ("home", "other/house/.cache/sockbox", true),
            // Where links are, and where they lead.
            ("home", "home/linked", true),
            ("data", "home/linked", true),
            ("data/real", "home/linked", true),
            ("data/real/deep", "home/linked", true),
            ("other", "home/linked", false),
            // What doesn't exist yet could be made.
            ("home", "home/new/sockbox", true),
            ("home/project", "home/new/sockbox", false),
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

    /// As a machine and a container have them, whatever is mounted where the tests run.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_kernel_shows_is_not_given_as_files() {
        let dir = |path: &str| path.parse::<Dir>().unwrap();
        for path in [
            "/proc",
            "/proc/self",
            "/proc/self/fd",
            "/dev",
            "/",
            "/proc:ro",
            "/:ro",
        ] {
            let refused = must_hold_files(&dir(path)).unwrap_err();
            assert!(matches!(refused, Error::InvalidOptions { .. }), "{refused}");
            let place = if path.starts_with("/dev") {
                "/dev"
            } else {
                "/proc"
            };
            let text = refused.to_string();
            let named = text.contains(&format!("{place} is not made of files"));
            assert!(named || path.starts_with("/:") || path == "/", "{text}");
        }
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        symlink("/proc/self", &link).unwrap();
        must_hold_files(&dir(link.to_str().unwrap())).unwrap_err();
        for path in [root.path().to_str().unwrap(), "/usr", "/nowhere/at/all"] {
            must_hold_files(&dir(path)).unwrap();
        }
    }

    #[test]
    fn a_file_with_other_names_may_be_anywhere() {
        let root = tempfile::tempdir().unwrap();
        let (place, given) = (root.path().join("policy"), root.path().join("given"));
        fs::write(&place, "").unwrap();
        fs::create_dir(&given).unwrap();
        let mut dir: Dir = given.to_str().unwrap().parse().unwrap();
        must_not_expose(&dir, &place, "the policy file").unwrap();
        fs::hard_link(&place, given.join("other")).unwrap();
        let refused = must_not_expose(&dir, &place, "the policy file").unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("the policy file has other names"), "{text}");
        dir.read_only = true;
        must_not_expose(&dir, &place, "the policy file").unwrap();
        // The system refuses to open what runs for writing.
        dir.read_only = false;
        must_not_expose(&dir, &std::env::current_exe().unwrap(), "this program").unwrap();
    }
}
