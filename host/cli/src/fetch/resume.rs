//! Going on with a file that has a page's beginning.
//!
//! Nothing is remembered between two runs: whether the rest belongs to what is there is seen from
//! the file itself. The server is asked for a little more than the rest, and what that has in common
//! with the file has to be the same.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::time::SystemTime;

/// How many bytes of what is there are asked for again, to be compared, unless that is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap(u64);

impl Default for Overlap {
    /// 4 KiB.
    fn default() -> Overlap {
        Overlap(4096)
    }
}

impl Overlap {
    /// What to ask for after a connection that brought no more of it than `same` bytes, each of them the
    /// file's: half as much, so that one which brings no more than that one gets further.
    pub fn after(self, same: u64) -> Overlap {
        match same {
            // It has brought nothing; the next one may bring what was asked for.
            0 => self,
            same => Overlap((same / 2).clamp(1, self.0)),
        }
    }
}

/// A file with the beginning of a page, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// How many bytes it has.
    pub size: u64,
    modified: Option<SystemTime>,
    overlap: Overlap,
}

impl Beginning {
    /// What a file has; none if that is nothing.
    pub fn of(metadata: &Metadata, overlap: Overlap) -> Option<Beginning> {
        (metadata.len() > 0).then(|| Beginning {
            size: metadata.len(),
            modified: metadata.modified().ok(),
            overlap,
        })
    }

    /// Where what is asked for begins.
    pub fn from(&self) -> u64 {
        self.size - self.overlap()
    }

    /// How many bytes are compared.
    pub fn overlap(&self) -> u64 {
        self.size.min(self.overlap.0)
    }

    /// The value of the `Range` field to send.
    pub fn range(&self) -> String {
        format!("bytes={}-", self.from())
    }

    /// Read what is compared.
    pub fn tail(&self, file: &mut File) -> io::Result<Vec<u8>> {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(self.from()))?;
        file.take(self.overlap()).read_to_end(&mut tail)?;
        Ok(tail)
    }
}

/// What of a response's head matters here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    pub status: u16,
    pub content_range: Option<&'a [u8]>,
    pub last_modified: Option<&'a [u8]>,
}

/// What a response means to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, if what both have is the same.
    GoOn {
        /// How many bytes the page has, where that is known: a server may send less than the rest.
        size: Option<u64>,
    },
    /// It is the whole page: what is there is replaced.
    Whole,
    /// The file isn't this page's beginning, for this reason: the page is to be asked for anew.
    StartOver(String),
    /// It is neither.
    Neither,
}

/// Judge a response to a request for the rest of `beginning`, or for all if there is none.
pub fn judge(answer: &Answer, beginning: Option<&Beginning>) -> Verdict {
    let Some(beginning) = beginning else {
        return match answer.status {
            200 => Verdict::Whole,
            _ => Verdict::Neither,
        };
    };
    match answer.status {
        200 => return Verdict::Whole,
        206 => {}
        416 => return start_over("the page is shorter than the file"),
        _ => return Verdict::Neither,
    }
    let modified = answer
        .last_modified
        .and_then(|value| httpdate::parse_http_date(str::from_utf8(value).ok()?).ok());
    if let (Some(modified), Some(written)) = (modified, beginning.modified)
        && modified > written
    {
        return start_over("the page is younger than the file");
    }
    match answer.content_range.and_then(ContentRange::parse) {
        Some(range) if range.first != beginning.from() => {
            start_over("the server sent another part than the one asked for")
        }
        Some(range) if range.total.unwrap_or(range.end()) < beginning.size => {
            start_over("the page is shorter than the file")
        }
        Some(range) => Verdict::GoOn { size: range.total },
        None => start_over("the server doesn't say which part it sent"),
    }
}

fn start_over(reason: &str) -> Verdict {
    Verdict::StartOver(reason.to_owned())
}

/// A strong entity tag (RFC 9110 section 8.8.3), as `If-Range` wants it.
pub fn strong_tag(etag: &[u8]) -> Option<&[u8]> {
    (etag.len() >= 2 && etag.starts_with(b"\"") && etag.ends_with(b"\"")).then_some(etag)
}

/// What a `Content-Range` field says (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    /// How many bytes the page has, where that is known.
    total: Option<u64>,
}

impl ContentRange {
    fn parse(value: &[u8]) -> Option<ContentRange> {
        let text = str::from_utf8(value).ok()?;
        let (unit, rest) = text.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        let range = ContentRange {
            first: number(first)?,
            last: number(last)?,
            total,
        };
        let sound = range.first <= range.last
            && range.last < u64::MAX
            && range.total.is_none_or(|total| range.last < total);
        (unit.eq_ignore_ascii_case("bytes") && sound).then_some(range)
    }

    /// The place behind the part.
    fn end(&self) -> u64 {
        self.last + 1
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    /// 1994-11-06 08:49:37 GMT.
    const WRITTEN: Duration = Duration::from_secs(784_111_777);

    fn beginning(size: u64) -> Beginning {
        Beginning {
            size,
            modified: Some(UNIX_EPOCH + WRITTEN),
            overlap: Overlap::default(),
        }
    }

    #[test]
    fn a_little_more_than_the_rest_is_asked_for() {
        for (size, expected) in [
            (1, "bytes=0-"),
            (4095, "bytes=0-"),
            (4096, "bytes=0-"),
            (4097, "bytes=1-"),
            (10_000, "bytes=5904-"),
        ] {
            assert_eq!(beginning(size).range(), expected, "{size}");
        }
    }

    #[test]
    fn less_is_asked_for_again_where_connections_bring_little() {
        let mut overlap = Overlap::default();
        for (same, expected) in [
            (0, 4096),
            (4095, 2047),
            (1000, 500),
            (0, 500),
            (1, 1),
            (1, 1),
        ] {
            overlap = overlap.after(same);
            assert_eq!(overlap, Overlap(expected), "{same}");
        }
        assert_eq!(Overlap(10).after(u64::MAX), Overlap(10));
    }

    #[test]
    fn what_is_compared_is_the_files_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..10_000).map(|n| n as u8).collect();
        for size in [0, 1, 4095, 4096, 4097, 10_000] {
            fs::write(&path, &content[..size]).unwrap();
            let mut file = File::open(&path).unwrap();
            let Some(beginning) = Beginning::of(&file.metadata().unwrap(), Overlap::default())
            else {
                assert_eq!(size, 0);
                continue;
            };
            let tail = beginning.tail(&mut file).unwrap();
            assert_eq!(tail, content[beginning.from() as usize..size], "{size}");
            assert_eq!(tail.len() as u64, beginning.overlap());
        }
    }

    #[test]
    fn content_ranges() {
        for (value, expected) in [
            ("bytes 0-9/10", Some((0, 9, Some(10)))),
            ("bytes 5-9/*", Some((5, 9, None))),
            ("BYTES  5-9/10 ", Some((5, 9, Some(10)))),
            ("bytes */10", None),
            ("bytes 9-5/10", None),
            ("bytes 0-10/10", None),
            ("bytes 0-9", None),
            ("bytes=0-9/10", None),
            ("items 0-9/10", None),
            ("bytes +0-9/10", None),
            ("bytes -9/10", None),
            ("bytes 0-/10", None),
            ("bytes 0-9/", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ] {
            let found = ContentRange::parse(value.as_bytes())
                .map(|range| (range.first, range.last, range.total));
            assert_eq!(found, expected, "{value:?}");
        }
    }

    #[test]
    fn answers_are_judged() {
        let whole = || Verdict::Whole;
        let over = |reason: &str| Verdict::StartOver(reason.to_owned());
        let go_on = |size| Verdict::GoOn { size: Some(size) };
        let another = "the server sent another part than the one asked for";
        let shorter = "the page is shorter than the file";
        let younger = "the page is younger than the file";
        let unsaid = "the server doesn't say which part it sent";
        for (size, status, range, modified, expected) in [
            (0, 200, "", "", whole()),
            (0, 206, "bytes 0-9/10", "", Verdict::Neither),
            (0, 404, "", "", Verdict::Neither),
            (10, 200, "", "", whole()),
            (10, 206, "bytes 0-19/20", "", go_on(20)),
            (10, 206, "bytes 0-9/10", "", go_on(10)),
            (10, 206, "bytes 0-19/*", "", Verdict::GoOn { size: None }),
            (10, 206, "bytes 0-8/9", "", over(shorter)),
            (10, 206, "bytes 0-8/*", "", over(shorter)),
            // Less than what was asked for.
            (10, 206, "bytes 0-8/20", "", go_on(20)),
            (10, 206, "bytes 1-19/20", "", over(another)),
            (10, 206, "", "", over(unsaid)),
            (10, 206, "nonsense", "", over(unsaid)),
            (10, 416, "bytes */9", "", over(shorter)),
            (10, 404, "", "", Verdict::Neither),
            (10, 302, "", "", Verdict::Neither),
            (
                10,
                206,
                "bytes 0-19/20",
                "Sun, 06 Nov 1994 08:49:37 GMT",
                go_on(20),
            ),
            (
                10,
                206,
                "bytes 0-19/20",
                "Sun, 06 Nov 1994 08:49:38 GMT",
                over(younger),
            ),
            (10, 206, "bytes 0-19/20", "nonsense", go_on(20)),
            (10_000, 206, "bytes 5904-19999/20000", "", go_on(20000)),
            (10_000, 206, "bytes 10000-19999/20000", "", over(another)),
        ] {
            let beginning = (size > 0).then(|| beginning(size));
            let field = |value: &'static str| Some(value.as_bytes()).filter(|v| !v.is_empty());
            let answer = Answer {
                status,
                content_range: field(range),
                last_modified: field(modified),
            };
            let found = judge(&answer, beginning.as_ref());
            assert_eq!(found, expected, "{size} {status} {range:?} {modified:?}");
        }
    }

    #[test]
    fn weak_tags_prove_nothing() {
        for (etag, expected) in [
            (&b"\"a\""[..], true),
            (b"\"\"", true),
            (b"W/\"a\"", false),
            (b"\"", false),
            (b"a", false),
            (b"", false),
        ] {
            assert_eq!(strong_tag(etag).is_some(), expected, "{etag:?}");
        }
    }
}
