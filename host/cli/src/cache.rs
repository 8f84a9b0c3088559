//! Where compiled components are kept.

use crate::environment;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where compiled components are kept, and the secret that seals them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub folder: PathBuf,
    pub secret: PathBuf,
}

/// What the environment says; none if it says none.
pub fn place() -> Option<Place> {
    places(environment::variable).into_iter().next()
}

/// All places where this command keeps compiled code, with this environment or a part of it, of which the
/// first is used: another run may have been told less.
pub fn all_places() -> Vec<Place> {
    places(environment::variable)
}

fn places(variable: impl Fn(&str) -> Option<OsString>) -> Vec<Place> {
    let path = |name| {
        let path = variable(name).filter(|path| !path.is_empty())?;
        Some(PathBuf::from(path))
    };
    // The XDG Base Directory specification has relative paths ignored.
    let absolute = |name| path(name).filter(|path| path.is_absolute());
    let home = path("HOME");
    let states = absolute("XDG_STATE_HOME").or_else(|| Some(home.as_ref()?.join(".local/state")));
    let default = |caches: PathBuf| {
        let folder = caches.join("sockbox");
        let secret = match &states {
            Some(states) => states.join("sockbox/cache.key"),
            None => beside(&folder),
        };
        Place { folder, secret }
    };
    let named = path("SOCKBOX_CACHE_DIR").map(|folder| Place {
        secret: beside(&folder),
        folder,
    });
    let caches = absolute("XDG_CACHE_HOME").map(default);
    let home = home.as_ref().map(|home| default(home.join(".cache")));
    [named, caches, home].into_iter().flatten().collect()
}

/// A file of the folder's name, with `.key` behind it.
fn beside(folder: &Path) -> PathBuf {
    // Without a slash at its end, behind which the file would be in the folder.
    let mut file: OsString = folder.components().collect::<PathBuf>().into();
    file.push(".key");
    file.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where() {
        for (variables, expected) in [
            (&[][..], &[][..]),
            (
                &[("HOME", "/h")],
                &[("/h/.cache/sockbox", "/h/.local/state/sockbox/cache.key")],
            ),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
                &[
                    ("/x/sockbox", "/h/.local/state/sockbox/cache.key"),
                    ("/h/.cache/sockbox", "/h/.local/state/sockbox/cache.key"),
                ],
            ),
            (
                &[
                    ("HOME", "/h"),
                    ("XDG_CACHE_HOME", "x"),
                    ("XDG_STATE_HOME", "/s"),
                ],
                &[("/h/.cache/sockbox", "/s/sockbox/cache.key")],
            ),
            (&[("HOME", "")], &[]),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "")],
                &[("/h/.cache/sockbox", "/h/.local/state/sockbox/cache.key")],
            ),
            (
                &[("HOME", "/h"), ("SOCKBOX_CACHE_DIR", "")],
                &[("/h/.cache/sockbox", "/h/.local/state/sockbox/cache.key")],
            ),
            (
                &[("XDG_CACHE_HOME", "/x"), ("SOCKBOX_CACHE_DIR", "s/")],
                &[("s/", "s.key"), ("/x/sockbox", "/x/sockbox.key")],
            ),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let expected: Vec<_> = expected
                .iter()
                .map(|(folder, secret)| Place {
                    folder: folder.into(),
                    secret: secret.into(),
                })
                .collect();
            assert_eq!(places(variable), expected, "{variables:?}");
        }
    }
}
