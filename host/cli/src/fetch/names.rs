//! Under which name a page is saved.

use super::data;
use crate::args::SaveAs;
use std::path::{Component, Path, PathBuf};
use url::Url;

/// Where a page is to be saved; none means standard output.
///
/// # Errors
/// Its URL has no name to save it under, which is given.
pub fn target(
    save_as: Option<&SaveAs>,
    folder: Option<&Path>,
    url: &str,
) -> Result<Option<PathBuf>, String> {
    let name = match save_as {
        None => return Ok(None),
        Some(SaveAs::File(path)) if path.as_os_str() == "-" => return Ok(None),
        Some(SaveAs::File(path)) => path.clone(),
        Some(SaveAs::RemoteName) => remote_name(url).ok_or_else(|| url.to_owned())?.into(),
    };
    Ok(Some(match folder {
        Some(folder) => folder.join(name),
        None => name,
    }))
}

/// The last part of a URL's path, as it is written there: nothing of it is decoded, so that nothing
/// in it leads elsewhere. None where it is no name.
pub fn remote_name(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let name = url.path_segments()?.next_back()?;
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name => Some(name.to_owned()),
        _ => None,
    }
}

/// The URL of an upload: one that names a folder gets the file's name.
pub fn upload_url(url: &str, file: &Path) -> String {
    let (Ok(mut parsed), Some(name)) = (Url::parse(url), file.file_name()) else {
        return url.to_owned();
    };
    if file.as_os_str() == "-" || !parsed.path().ends_with('/') || parsed.query().is_some() {
        return url.to_owned();
    }
    if parsed.cannot_be_a_base() {
        return url.to_owned();
    }
    match name.to_str() {
        Some(name) => {
            if let Ok(mut segments) = parsed.path_segments_mut() {
                segments.pop_if_empty().push(name);
            }
        }
        // Byte by byte, whatever encoding it is in.
        None => {
            let mut path = parsed.path().to_owned();
            for &byte in name.as_encoded_bytes() {
                match byte {
                    _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                        path.push(byte.into());
                    }
                    _ => data::push_percent(&mut path, byte),
                }
            }
            parsed.set_path(&path);
        }
    }
    parsed.into()
}

/// A URL as it is told: without user name and password. Nothing is told of what isn't one.
pub fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return String::new();
    };
    // Both fail only for URLs without a host, and those have no credentials.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_a_password() {
        for (url, expected) in [
            ("http://a/b?c#d", "http://a/b?c#d"),
            ("http://me:secret@a/b", "http://a/b"),
            ("http://me@a/b", "http://a/b"),
            ("mailto:me@a", "mailto:me@a"),
            ("http://me:secret@a b/", ""),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn a_name_never_leads_elsewhere() {
        for (url, expected) in [
            ("http://a/page.html", Some("page.html")),
            ("http://a/b/c?q=/x#/y", Some("c")),
            ("http://a/a%20b", Some("a%20b")),
            ("http://a/a b", Some("a%20b")),
            ("http://a/a/../b", Some("b")),
            ("http://a/x;p", Some("x;p")),
            ("http://a/.hidden", Some(".hidden")),
            ("http://a/-rf", Some("-rf")),
            (
                "http://a/..%2f..%2fetc%2fpasswd",
                Some("..%2f..%2fetc%2fpasswd"),
            ),
            ("http://a/..\\..\\b", Some("b")),
            ("http://a/%00", Some("%00")),
            ("http://a/\u{202e}", Some("%E2%80%AE")),
            ("http://a", None),
            ("http://a/", None),
            ("http://a/b/", None),
            ("http://a/..", None),
            ("http://a/.", None),
            ("http://a/%2e%2e", None),
            ("http://a/%2E.", None),
            ("http://a/?b", None),
            ("nonsense", None),
            ("mailto:a", None),
        ] {
            assert_eq!(remote_name(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn pages_go_where_they_are_told_to() {
        let file = |name: &str| SaveAs::File(name.into());
        let folder = Path::new("folder");
        for (save_as, folder, expected) in [
            (None, None, None),
            (None, Some(folder), None),
            (Some(file("-")), Some(folder), None),
            (Some(file("a")), None, Some("a")),
            (Some(file("a/b")), Some(folder), Some("folder/a/b")),
            (Some(SaveAs::RemoteName), None, Some("page")),
            (Some(SaveAs::RemoteName), Some(folder), Some("folder/page")),
        ] {
            let found = target(save_as.as_ref(), folder, "http://a/page");
            assert_eq!(found, Ok(expected.map(PathBuf::from)), "{save_as:?}");
        }
        assert_eq!(
            target(Some(&SaveAs::RemoteName), None, "http://a/"),
            Err("http://a/".to_owned())
        );
    }

    #[test]
    fn a_folder_gets_the_files_name() {
        for (url, file, expected) in [
            ("http://a/", "x/b c", "http://a/b%20c"),
            ("http://a", "b", "http://a/b"),
            ("http://a/d/", "b/c?#", "http://a/d/c%3F%23"),
            ("http://a/d", "b", "http://a/d"),
            ("http://a/?q", "b", "http://a/?q"),
            ("http://a/", "-", "http://a/"),
            ("nonsense", "b", "nonsense"),
        ] {
            assert_eq!(upload_url(url, Path::new(file)), expected, "{url} {file}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_files_name_is_sent_byte_by_byte() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        for (name, expected) in [
            (
                &b"caf\xe9 %/x/na\xefve %2F?.txt"[..],
                "http://a/d/na%EFve%20%252F%3F.txt",
            ),
            (b"\xff", "http://a/d/%FF"),
            (b"\xff..", "http://a/d/%FF.."),
            ("caf\u{e9}".as_bytes(), "http://a/d/caf%C3%A9"),
        ] {
            let file = Path::new(OsStr::from_bytes(name));
            assert_eq!(upload_url("http://a/d/", file), expected);
        }
        let file = Path::new(OsStr::from_bytes(b"\xff"));
        assert_eq!(upload_url("http://a", file), "http://a/%FF");
        assert_eq!(upload_url("mailto:a/", file), "mailto:a/");
    }
}
