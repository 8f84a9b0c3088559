//! Where compiled components are kept.

use crate::environment;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder that the environment says; none if it says none.
pub fn folder() -> Option<PathBuf> {
    named(environment::variable)
}

fn named(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| {
        let path = variable(name).filter(|path| !path.is_empty())?;
        Some(PathBuf::from(path))
    };
    // The XDG Base Directory specification has relative paths ignored.
    let caches = path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let caches = || caches.or_else(|| Some(path("HOME")?.join(".cache")));
    path("SOCKBOX_CACHE_DIR").or_else(|| Some(caches()?.join(Path::new("sockbox"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("HOME", "/h")], Some("/h/.cache/sockbox")),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
                Some("/x/sockbox"),
            ),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "x")],
                Some("/h/.cache/sockbox"),
            ),
            (&[("HOME", "")], None),
            (
                &[("HOME", "/h"), ("XDG_CACHE_HOME", "")],
                Some("/h/.cache/sockbox"),
            ),
            (
                &[("HOME", "/h"), ("SOCKBOX_CACHE_DIR", "")],
                Some("/h/.cache/sockbox"),
            ),
            (
                &[("XDG_CACHE_HOME", "/x"), ("SOCKBOX_CACHE_DIR", "s")],
                Some("s"),
            ),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(
                named(variable),
                expected.map(PathBuf::from),
                "{variables:?}"
            );
        }
    }
}
