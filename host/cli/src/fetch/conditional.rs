//! Pages that are fetched only if they have changed: `-z` and `--etag-compare`.

use super::input::os_string;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use sockbox::Header;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What `-z` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeCondition {
    kind: Kind,
    date: HttpDate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Only if it is younger.
    IfModified,
    /// Only if it isn't.
    IfUnmodified,
}

/// A date that HTTP can write: from 1970 to the year 9999, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct HttpDate(u64);

/// Reads mail's dates, with the wrong day of the week too: the date is what counts.
const MAIL_DATES: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new().relaxed_weekday(true);

/// The first second that HTTP can't write: the year 10000.
const END_OF_DATES: u64 = 253_402_300_800;

impl TimeCondition {
    /// Read what was typed: a date, or a file whose date it is. None if it is neither.
    pub fn read(typed: &OsStr) -> Option<TimeCondition> {
        let bytes = typed.as_encoded_bytes();
        let (kind, rest) = match bytes.first() {
            Some(b'-') => (Kind::IfUnmodified, &bytes[1..]),
            Some(b'+') => (Kind::IfModified, &bytes[1..]),
            _ => (Kind::IfModified, bytes),
        };
        let named = || {
            let metadata = fs::metadata(Path::new(&os_string(rest))).ok()?;
            HttpDate::of(metadata.modified().ok()?)
        };
        let date = str::from_utf8(rest).ok().and_then(HttpDate::read);
        Some(TimeCondition {
            kind,
            date: date.or_else(named)?,
        })
    }

    /// The header field that says it to the server.
    pub fn header(&self) -> Header {
        let name = match self.kind {
            Kind::IfModified => "If-Modified-Since",
            Kind::IfUnmodified => "If-Unmodified-Since",
        };
        let date = UNIX_EPOCH + Duration::from_secs(self.date.0);
        Header {
            name: name.to_owned(),
            value: httpdate::fmt_http_date(date).into_bytes(),
        }
    }

    /// Whether a page with this `Last-Modified` is wanted: a server may not have looked.
    pub fn is_met(&self, last_modified: Option<&[u8]>) -> bool {
        let modified = last_modified
            .and_then(|value| httpdate::parse_http_date(str::from_utf8(value).ok()?).ok())
            .and_then(HttpDate::of);
        match (modified, self.kind) {
            (None, _) => true,
            (Some(modified), Kind::IfModified) => modified > self.date,
            (Some(modified), Kind::IfUnmodified) => modified <= self.date,
        }
    }
}

impl HttpDate {
    fn of(time: SystemTime) -> Option<HttpDate> {
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
        (seconds < END_OF_DATES).then_some(HttpDate(seconds))
    }

    /// Read a date as people write it: HTTP's forms, mail's, and ISO 8601, with or without a time.
    /// What names no zone is in UTC, as it is to curl.
    fn read(text: &str) -> Option<HttpDate> {
        let text = text.trim();
        let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok();
        let found = httpdate::parse_http_date(text).ok().or_else(|| {
            let timestamp = (text.parse::<Timestamp>().ok())
                .or_else(|| MAIL_DATES.parse_timestamp(text).ok())
                .or_else(|| Some(utc(text.parse::<DateTime>().ok()?)?.timestamp()))
                .or_else(|| Some(utc(text.parse::<Date>().ok()?.into())?.timestamp()))?;
            Some(timestamp.into())
        })?;
        HttpDate::of(found)
    }
}

/// The entity tag in a file that `--etag-save` has written; none if there is none.
pub fn saved_tag(content: &[u8]) -> Option<&[u8]> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    Some(line.trim_ascii()).filter(|tag| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const NOVEMBER: u64 = 784_111_777;
    const MIDNIGHT: u64 = 784_080_000;

    #[test]
    fn dates_are_read_as_people_write_them() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(NOVEMBER)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(NOVEMBER)),
            ("Sun Nov  6 08:49:37 1994", Some(NOVEMBER)),
            ("Sun, 6 Nov 1994 09:49:37 +0100", Some(NOVEMBER)),
            ("Mon, 06 Nov 1994 08:49:37 GMT", Some(NOVEMBER)),
            ("06 Nov 1994 08:49:37 GMT", Some(NOVEMBER)),
            ("1994-11-06T08:49:37Z", Some(NOVEMBER)),
            ("1994-11-06T09:49:37+01:00", Some(NOVEMBER)),
            ("1994-11-06 08:49:37", Some(NOVEMBER)),
            ("1994-11-06T08:49:37.9", Some(NOVEMBER)),
            ("1994-11-06", Some(MIDNIGHT)),
            ("19941106", Some(MIDNIGHT)),
            (" 1994-11-06 ", Some(MIDNIGHT)),
            ("1970-01-01", Some(0)),
            ("9999-12-30", Some(253_402_128_000)),
            ("1969-12-31", None),
            ("-9999-01-01", None),
            ("1994-13-06", None),
            ("1994-11-31", None),
            ("yesterday", None),
            ("06", None),
            ("", None),
        ] {
            let found = HttpDate::read(text).map(|date| date.0);
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn conditions_have_a_direction() {
        for (typed, expected) in [
            (
                "1994-11-06",
                Some("If-Modified-Since: Sun, 06 Nov 1994 00:00:00 GMT"),
            ),
            (
                "+1994-11-06",
                Some("If-Modified-Since: Sun, 06 Nov 1994 00:00:00 GMT"),
            ),
            (
                "-1994-11-06",
                Some("If-Unmodified-Since: Sun, 06 Nov 1994 00:00:00 GMT"),
            ),
            ("no such file", None),
            ("-", None),
            ("", None),
        ] {
            let found = TimeCondition::read(OsStr::new(typed)).map(|condition| {
                let header = condition.header();
                format!(
                    "{}: {}",
                    header.name,
                    String::from_utf8(header.value).unwrap()
                )
            });
            assert_eq!(found.as_deref(), expected, "{typed:?}");
        }
    }

    #[test]
    fn a_files_date_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(NOVEMBER))
            .unwrap();
        let found = TimeCondition::read(path.as_os_str());
        assert_eq!(
            found.map(|condition| condition.date),
            Some(HttpDate(NOVEMBER))
        );
        file.set_modified(UNIX_EPOCH - Duration::from_secs(1))
            .unwrap();
        assert_eq!(TimeCondition::read(path.as_os_str()), None);
    }

    #[test]
    fn what_http_cannot_write_is_no_date() {
        for (time, expected) in [
            (UNIX_EPOCH, Some(HttpDate(0))),
            (
                UNIX_EPOCH + Duration::from_secs(END_OF_DATES - 1),
                Some(HttpDate(END_OF_DATES - 1)),
            ),
            (UNIX_EPOCH + Duration::from_secs(END_OF_DATES), None),
            (UNIX_EPOCH - Duration::from_secs(1), None),
        ] {
            let found = HttpDate::of(time);
            assert_eq!(found, expected, "{time:?}");
            let Some(date) = found else { continue };
            let kind = Kind::IfModified;
            assert!(!TimeCondition { kind, date }.header().value.is_empty());
        }
    }

    #[test]
    fn a_server_that_did_not_look_changes_nothing() {
        for (typed, modified, expected) in [
            ("1994-11-06", None, true),
            ("1994-11-06", Some("Sat, 05 Nov 1994 23:59:59 GMT"), false),
            ("1994-11-06", Some("Sun, 06 Nov 1994 00:00:00 GMT"), false),
            ("1994-11-06", Some("Sun, 06 Nov 1994 00:00:01 GMT"), true),
            ("-1994-11-06", Some("Sun, 06 Nov 1994 00:00:00 GMT"), true),
            ("-1994-11-06", Some("Sun, 06 Nov 1994 00:00:01 GMT"), false),
            ("1994-11-06", Some("nonsense"), true),
        ] {
            let condition = TimeCondition::read(OsStr::new(typed)).unwrap();
            let met = condition.is_met(modified.map(str::as_bytes));
            assert_eq!(met, expected, "{typed} {modified:?}");
        }
    }

    #[test]
    fn saved_tags() {
        for (content, expected) in [
            (&b"\"a\"\n"[..], Some(&b"\"a\""[..])),
            (b"W/\"a\"\r\nmore", Some(b"W/\"a\"")),
            (b"\n", None),
            (b"", None),
        ] {
            assert_eq!(saved_tag(content), expected);
        }
    }
}
