//! The identity of the file that a path leads to. Two paths can be compared before either file is opened.

use std::fs;
#[cfg(unix)]
use std::fs::Metadata;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The most links that are followed to a file: 40, as on Linux (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The file that a path leads to. Two paths with equal identities name the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A file that exists. All its names have this identity.
    File { device: u64, inode: u64 },
    /// A character device, which can have several names.
    Device(u64),
    /// A file that does not exist yet, with the path that it would get.
    New(PathBuf),
}

impl Identity {
    /// The identity of `path`. None for a device that keeps no data, such as `/dev/null`, and for a path at which no
    /// file exists and none can be created.
    pub fn of(path: &Path) -> Option<Identity> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            match of_existing(&path) {
                Ok(identity) => return identity,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return None,
                Err(_) => {}
            }
            // Writing through a link whose target does not exist creates the target.
            match fs::read_link(&path) {
                Ok(target) => path = parent(&path).join(target),
                Err(_) => return created_at(&path).map(Identity::New),
            }
        }
        None
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn of_existing(path: &Path) -> io::Result<Option<Identity>> {
    fs::metadata(path).map(|found| of_metadata(&found))
}

/// The identity of a file with this metadata. None for a device that keeps no data.
#[cfg(unix)]
pub fn of_metadata(found: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    if !found.file_type().is_char_device() {
        return Some(Identity::File {
            device: found.dev(),
            inode: found.ino(),
        });
    }
    let keeps_nothing = ["/dev/null", "/dev/zero", "/dev/full"]
        .iter()
        .any(|name| fs::metadata(name).is_ok_and(|it| it.rdev() == found.rdev()));
    (!keeps_nothing).then(|| Identity::Device(found.rdev()))
}

#[cfg(not(unix))]
fn of_existing(path: &Path) -> io::Result<Option<Identity>> {
    fs::canonicalize(path).map(|path| Some(Identity::New(path)))
}

/// The path that a file gets when it is created as `path`. Its missing directories can be created with it
/// (`--create-dirs`). These contain no links, so `..` in them needs no lookup.
fn created_at(path: &Path) -> Option<PathBuf> {
    let mut missing: Vec<Component<'_>> = Vec::new();
    let mut rest = path;
    let mut resolved = loop {
        let folder = if rest == Path::new("") {
            Path::new(".")
        } else {
            rest
        };
        if let Ok(resolved) = fs::canonicalize(folder) {
            break resolved;
        }
        missing.push(rest.components().next_back()?);
        rest = rest.parent().unwrap_or(Path::new(""));
    };
    for component in missing.into_iter().rev() {
        match component {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    Some(resolved)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_names_of_a_file_have_one_identity() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("in")).unwrap();
        fs::write(at("file"), "").unwrap();
        fs::write(at("other"), "").unwrap();
        fs::hard_link(at("file"), at("hard")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("link", at("in/../link2")).unwrap();
        symlink("new", at("to-new")).unwrap();
        symlink("to-new", at("to-link")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let file = Identity::of(&at("file"));
        assert!(matches!(file, Some(Identity::File { .. })), "{file:?}");
        for name in ["hard", "link", "link2", "in/../file"] {
            assert_eq!(Identity::of(&at(name)), file, "{name}");
        }
        assert_ne!(Identity::of(&at("other")), file);
        let new = Identity::of(&at("new"));
        assert!(matches!(new, Some(Identity::New(_))), "{new:?}");
        for name in [
            "to-new",
            "to-link",
            "in/../new",
            "missing/../new",
            "missing/deep/../../in/../new",
        ] {
            assert_eq!(Identity::of(&at(name)), new, "{name}");
        }
        for name in ["newer", "in/new", "missing/new", "file"] {
            assert_ne!(Identity::of(&at(name)), new, "{name}");
        }
        for name in ["/dev/null", "/dev/full"] {
            assert_eq!(Identity::of(Path::new(name)), None, "{name}");
        }
        for name in ["loop", "file/below"] {
            assert_eq!(Identity::of(&at(name)), None, "{name}");
        }
        assert_eq!(
            Identity::of(Path::new("no-such-file")),
            Identity::of(Path::new("./no-such-file"))
        );
    }
}
