//! The readings of a path: the other paths that a server may take it for.
//!
//! Servers, and the proxies before them, take several [steps](Step) with a path before they use it, in any order and any
//! number of times. Whether a path is below another one depends on these steps: `/v1/a/..%2Fz` is below `/v1/a/` for a
//! server that does not decode `%2F`, and is `/v1/z` for one that does. So a rule looks at the path after each sequence
//! of steps.
//!
//! The readings are written like the path of a URL. There, a character that a server has decoded and one that is still
//! encoded can look the same: both `?` and `%3F` are written `%3F`. Each step takes such a character for decoded. This
//! gives some readings too many, and never one too few.

use super::path::{encode, hex, merged, resolved, spell};
use super::{HttpTarget, HttpUrlError};
use std::cell::OnceCell;

/// How many rounds of decoding a path may need. A request whose path needs more is refused.
const MAX_ENCODINGS: usize = 4;

/// How many readings a path may have, itself included: 64. A URL that is percent-encoded twice inside of another has
/// some dozens if it has a query and a fragment.
pub(super) const MAX_READINGS: usize = 64;

/// The most bytes that the readings of a path may have together: 64 KiB, eight times the longest path.
pub(super) const MAX_READING_BYTES: usize = 64 * 1024;

/// What a server may do with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Decode the percent-encoding once.
    Decode,
    /// Decode it once, apart from slashes.
    DecodeButSlashes,
    /// Take a backslash for a slash.
    Backslashes,
    /// Decode encoded dots and nothing else, as in the URL standard of browsers.
    DecodeDots,
    /// Take repeated slashes for one.
    MergeSlashes,
    /// Resolve dot segments.
    DropDots,
    /// Ignore the parameters of each segment: what is behind its first `;`.
    DropParameters,
    /// Ignore what is behind the first `?`.
    DropQuery,
    /// Ignore what is behind the first `#`.
    DropFragment,
}

impl Step {
    const ALL: [Step; 9] = [
        Step::Decode,
        Step::DecodeButSlashes,
        Step::Backslashes,
        Step::DecodeDots,
        Step::MergeSlashes,
        Step::DropDots,
        Step::DropParameters,
        Step::DropQuery,
        Step::DropFragment,
    ];

    /// The path after this step.
    ///
    /// # Errors
    /// Decoding gives a control character.
    fn of(self, path: &str) -> Result<String, HttpUrlError> {
        let until = |end| path.split(end).next().unwrap_or_default().to_owned();
        Ok(match self {
            Step::Decode => decoded(path, false)?,
            Step::DecodeButSlashes => decoded(path, true)?,
            Step::Backslashes => path.replace("%5C", "/"),
            Step::DecodeDots => path.replace("%2E", "."),
            Step::MergeSlashes => merged(path),
            Step::DropDots => resolved(path),
            Step::DropParameters => without_parameters(path),
            Step::DropQuery => until("%3F"),
            Step::DropFragment => until("%23"),
        })
    }
}

/// A request that is judged, and the readings of its path. They are found when a rule first needs them.
pub(crate) struct Asked<'a> {
    pub(crate) target: &'a HttpTarget,
    readings: OnceCell<Option<Vec<[String; 1]>>>,
}

impl Asked<'_> {
    pub(crate) fn of(target: &HttpTarget) -> Asked<'_> {
        Asked {
            target,
            readings: OnceCell::new(),
        }
    }

    /// Whether the path has no other reading than itself.
    pub(super) fn is_plain(&self) -> bool {
        is_plain(self.target.url.path())
    }

    /// The readings of the path, itself included, unless it [is plain](Self::is_plain).
    ///
    /// None: there are too many. The path of an [`HttpUrl`](super::HttpUrl) has been checked, so this is not expected.
    pub(super) fn readings(&self) -> Option<impl Iterator<Item = &str>> {
        let readings = self
            .readings
            .get_or_init(|| readings([self.target.url.path()]).ok());
        let readings = readings.as_ref()?;
        Some(readings.iter().map(|[path]| path.as_str()))
    }
}

/// Whether a path that [`normal`](super::path::normal) returned has no other reading than itself.
pub(super) fn is_plain(path: &str) -> bool {
    !path.contains(['%', ';'])
}

/// What one server may take each of these paths for, the paths themselves first. [`normal`](super::path::normal)
/// returned them. Paths that stand together result from the same steps.
///
/// # Errors
/// One of the paths needs more than [`MAX_ENCODINGS`] rounds of decoding, or decoding finds a control character, or
/// there are too many readings.
pub(super) fn readings<const N: usize>(paths: [&str; N]) -> Result<Vec<[String; N]>, HttpUrlError> {
    for path in paths {
        check_encodings(path)?;
    }
    let longest = |paths: &[String; N]| paths.iter().map(String::len).max().unwrap_or(0);
    let mut found = vec![paths.map(str::to_owned)];
    let mut bytes = found.iter().map(longest).sum::<usize>();
    let mut next = 0;
    while let Some(paths) = found.get(next).cloned() {
        next += 1;
        for step in Step::ALL {
            let mut reading = [const { String::new() }; N];
            for (path, read) in paths.iter().zip(&mut reading) {
                *read = step.of(path)?;
            }
            if found.contains(&reading) {
                continue;
            }
            bytes += longest(&reading);
            if found.len() == MAX_READINGS || bytes > MAX_READING_BYTES {
                return Err(HttpUrlError::TooManyReadings);
            }
            found.push(reading);
        }
    }
    Ok(found)
}

/// Check that a path needs at most [`MAX_ENCODINGS`] rounds of decoding.
fn check_encodings(path: &str) -> Result<(), HttpUrlError> {
    let mut latest = decoded(path, false)?;
    for _ in 0..MAX_ENCODINGS {
        let next = decoded(&latest, false)?;
        if next == latest {
            return Ok(());
        }
        latest = next;
    }
    Err(HttpUrlError::TooManyEncodings)
}

/// The path decoded once. With `but_slashes`, slashes stay encoded. Backslashes always do, see [`Step::Backslashes`].
///
/// # Errors
/// A control character.
fn decoded(path: &str, but_slashes: bool) -> Result<String, HttpUrlError> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match escaped(*byte, behind) {
            Some(b'/') if but_slashes => plain.extend(b"%2F"),
            Some(b'\\') => plain.extend(b"%5C"),
            Some(decoded) => plain.push(decoded),
            None => {
                plain.push(*byte);
                continue;
            }
        }
        rest = &behind[2..];
    }
    let mut spelled = String::with_capacity(plain.len());
    let mut rest = plain.as_slice();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match escaped(*byte, behind) {
            // The next round decodes this one.
            Some(_) => {
                spelled.push('%');
                for digit in &behind[..2] {
                    spelled.push(digit.to_ascii_uppercase().into());
                }
                rest = &behind[2..];
            }
            None if *byte == b'%' => encode(&mut spelled, *byte)?,
            None => spell(&mut spelled, *byte)?,
        }
    }
    Ok(spelled)
}

/// The byte that an escape (`%2F`) stands for, if `byte` and those `behind` it are one.
fn escaped(byte: u8, behind: &[u8]) -> Option<u8> {
    match (byte, behind) {
        (b'%', [high, low, ..]) => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let (before, _) = segment.split_once(';').unwrap_or((segment, ""));
        before
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::super::path::normal;
    use super::*;

    fn found(path: &str) -> Result<Vec<String>, HttpUrlError> {
        let normal = normal(path)?;
        let found = readings([&normal])?;
        assert_eq!(found[0][0], normal);
        assert!(!is_plain(&normal) || found.len() == 1, "{path:?}");
        Ok(found.into_iter().skip(1).map(|[path]| path).collect())
    }

    #[test]
    fn what_a_server_may_take_a_path_for_is_known() {
        for (path, expected) in [
            ("/a/b", &[][..]),
            ("/a%2Fb", &["/a/b"]),
            ("/a/..%2Fb", &["/a/../b", "/b"]),
            ("/a/%2E%2E%5Cb", &["/a/../b", "/b"]),
            ("/a/%252e%252e/b", &["/a/%2E%2E/b", "/a/../b", "/b"]),
            (
                "/a/%25252e%25252e/b",
                &["/a/%252e%252e/b", "/a/%2E%2E/b", "/a/../b", "/b"],
            ),
            ("/a/..;x/b", &["/a/../b", "/b"]),
            ("/a;x/b", &["/a/b"]),
            ("/a%3Bx/b", &["/a;x/b", "/a/b"]),
            ("/a%3Fx/b", &["/a"]),
            ("/a%23x%3Fb", &["/a%23x", "/a"]),
            ("/a%253Fx", &["/a%3Fx", "/a"]),
            ("/a%2F%2F..", &["/a//..", "/a/..", "/", "/a/"]),
            ("/100%25", &[]),
            ("/%25zz", &[]),
            ("/%C3%BC%20", &[]),
        ] {
            let mut found = found(path).unwrap();
            let mut expected = expected.to_vec();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{path:?}");
        }
    }

    #[test]
    fn a_reading_can_take_any_order_of_steps() {
        for (path, expected) in [
            // Parameters are dropped before anything is decoded.
            ("/v1/a/..%2Fz;p%2F..%2Fa%2Fq", "/v1/z"),
            ("/admin%2Fz;p%2F..%2F..%2Fok", "/admin/z"),
            // After decoding, and before dot segments are resolved.
            ("/a/..%3Bx%2F..%2Fb", "/b"),
            // Dot segments are resolved before parameters are dropped.
            ("/a%2F..;x%2F..%2Fb", "/a/b"),
            // Everything but slashes is decoded, then parameters are dropped.
            ("/a%2Fb%3Bx%2Fc/d", "/a/b/d"),
            // The query is cut off between two rounds of decoding.
            ("/a%3F%2F..%252Fb", "/a"),
            ("/a%2F..%2Fb%253Fx", "/b"),
            // Backslashes become slashes at the end.
            ("/a%5C;x%5Cy%2Fz", "/a/"),
            // An empty segment is what a dot segment removes.
            ("/admin/%2F..%2Fok", "/admin/ok"),
            ("/admin/%2F..%2Fok", "/ok"),
        ] {
            let found = found(path).unwrap();
            assert!(found.iter().any(|it| it == expected), "{path:?}: {found:?}");
        }
    }

    #[test]
    fn readings_are_bounded() {
        for (path, expected) in [
            ("/%2500", HttpUrlError::Character),
            ("/%252525252e", HttpUrlError::TooManyEncodings),
        ] {
            assert_eq!(found(path), Err(expected), "{path:?}");
        }
        assert_eq!(found("/%2525252e").map(|it| it.len()), Ok(5));

        // An address inside of an address.
        let inner = "https%3A%2F%2Fa.example%2Fb%3Fc%3Dd%23e;f";
        let encoded_again = inner.replace('%', "%25");
        for path in [inner, &encoded_again] {
            let found = found(&format!("/proxy/{path}")).unwrap();
            assert!(found.len() < MAX_READINGS, "{path}: {}", found.len());
        }

        // Each pair of dots is resolved on its own, in one step: these have few readings.
        assert_eq!(
            found(&"/a/..%2F".repeat(1000)).map(|it| it.len() < 10),
            Ok(true)
        );
        // These have many.
        let many = "/%2F%3B%3F%23%5C/%252F%253B%253F%2523%255C";
        assert_eq!(found(many), Err(HttpUrlError::TooManyReadings));

        // Each of the five readings is two bytes shorter than the one before.
        let longest = |bytes: usize| {
            let path = format!("/%2525252e{}", "a".repeat(bytes - "/%2525252e".len()));
            found(&path).map(drop)
        };
        let most = (MAX_READING_BYTES + 20) / 5;
        assert_eq!(longest(most), Ok(()));
        assert_eq!(longest(most + 1), Err(HttpUrlError::TooManyReadings));
    }

    #[test]
    fn two_paths_are_read_in_the_same_way() {
        let found = readings(["/a;b/", "/a;b/..%2F..%2Fa%2Fz"]).unwrap();
        let pair = |one: &str, other: &str| [one.to_owned(), other.to_owned()];
        assert!(found.contains(&pair("/a;b/", "/a/z")));
        assert!(found.contains(&pair("/a/", "/a/../../a/z")));
        assert!(!found.contains(&pair("/a/", "/a;b/..%2F..%2Fa%2Fz")));
    }
}
