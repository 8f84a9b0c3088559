//! The rule for showing text from an untrusted source.
//!
//! A server, a component, a certificate or a file name may contain characters that steer a terminal:
//! they move its cursor, change its colours, answer its keyboard, turn the direction in which the
//! next words are read, or are not visible at all. [`is_hazard`] says which characters these are. Everything
//! that sockbox shows, in the component, in the library and in the command, has each of them replaced by
//! [`REPLACEMENT`]; JSON has them escaped ([`json`]).
//!
//! Data is not shown text: a response body, a head in a file or in a pipe, and a component's own output
//! stay as they are, byte by byte.
//!
//! Terminals are taken to read UTF-8. What is not UTF-8 is replaced as well ([`bytes`]): a terminal that
//! reads one byte as one character takes the bytes 0x80 to 0x9F for control characters.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt::{self, Write};

/// What is shown in place of a hazard.
pub const REPLACEMENT: char = '?';

/// The characters that are not shown, by Unicode 16: ranges, both ends included, in order.
///
/// These are the control characters (general category `Cc`), the line and paragraph separators (`Zl`,
/// `Zp`), the format characters (`Cf`) without the thirteen signs among them that have a shape of their own
/// (U+0600 to U+0605 and the like), and all that a terminal shows as nothing
/// (`Default_Ignorable_Code_Point`): zero-width characters, fillers, variation selectors and tags.
const HAZARDS: [(char, char); 26] = [
    ('\u{0}', '\u{1f}'),        // C0 controls
    ('\u{7f}', '\u{9f}'),       // delete, and C1 controls
    ('\u{ad}', '\u{ad}'),       // soft hyphen
    ('\u{34f}', '\u{34f}'),     // combining grapheme joiner
    ('\u{61c}', '\u{61c}'),     // Arabic letter mark
    ('\u{115f}', '\u{1160}'),   // Hangul fillers
    ('\u{17b4}', '\u{17b5}'),   // Khmer vowels that are not visible
    ('\u{180b}', '\u{180f}'),   // Mongolian variation selectors, vowel separator
    ('\u{200b}', '\u{200f}'),   // zero-width characters, direction marks
    ('\u{2028}', '\u{202e}'),   // separators, direction embeddings and overrides
    ('\u{2060}', '\u{206f}'),   // word joiner, direction isolates, deprecated controls
    ('\u{3164}', '\u{3164}'),   // Hangul filler
    ('\u{fe00}', '\u{fe0f}'),   // variation selectors
    ('\u{feff}', '\u{feff}'),   // byte order mark
    ('\u{ffa0}', '\u{ffa0}'),   // half-width Hangul filler
    ('\u{fff0}', '\u{fff8}'),   // reserved, and to be ignored
    ('\u{fff9}', '\u{fffb}'),   // interlinear annotations
    ('\u{13430}', '\u{1343f}'), // hieroglyph format controls
    ('\u{1bca0}', '\u{1bca3}'), // shorthand format controls
    ('\u{1d173}', '\u{1d17a}'), // musical format controls
    ('\u{e0000}', '\u{e0000}'), // reserved, and to be ignored
    ('\u{e0001}', '\u{e0001}'), // language tag
    ('\u{e0002}', '\u{e001f}'), // reserved, and to be ignored
    ('\u{e0020}', '\u{e007f}'), // tags
    ('\u{e0080}', '\u{e00ff}'), // reserved, and to be ignored
    ('\u{e0100}', '\u{e0fff}'), // more variation selectors, and what is reserved for such
];

/// Whether a character could steer a terminal, or hide.
///
/// # Examples
/// ```
/// use sockbox_printable::is_hazard;
///
/// assert!(is_hazard('\u{1b}') && is_hazard('\u{9b}') && is_hazard('\u{202e}') && is_hazard('\n'));
/// assert!(!is_hazard('a') && !is_hazard('é') && !is_hazard('語'));
/// ```
pub fn is_hazard(c: char) -> bool {
    // Most text is this.
    if matches!(c, ' '..='~') {
        return false;
    }
    let end = HAZARDS.partition_point(|&(first, _)| first <= c);
    end > 0 && c <= HAZARDS[end - 1].1
}

/// A text that has to stay on one line: line ends and tabs are replaced, too.
///
/// # Examples
/// ```
/// assert_eq!(sockbox_printable::line("a\u{1b}[2J\nb"), "a?[2J?b");
/// ```
pub fn line(text: &str) -> Cow<'_, str> {
    without(text, is_hazard)
}

/// A text that may have several lines, and tabs.
pub fn lines(text: &str) -> Cow<'_, str> {
    without(text, |c| is_hazard(c) && c != '\n' && c != '\t')
}

fn without(text: &str, is_out: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&is_out) {
        let replaced = |c| if is_out(c) { REPLACEMENT } else { c };
        text.chars().map(replaced).collect()
    } else {
        text.into()
    }
}

/// Bytes of several lines that are shown on a terminal: a head, for example. Tabs and line ends (LF, and CR
/// before LF) stay; each sequence of bytes that is not UTF-8 becomes one [`REPLACEMENT`].
///
/// # Examples
/// ```
/// let head = b"HTTP/1.1 200 OK\r\nX: \x9b2J\r\n\r\n";
/// assert_eq!(*sockbox_printable::bytes(head), *b"HTTP/1.1 200 OK\r\nX: ?2J\r\n\r\n");
/// ```
pub fn bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    let stays = |c: char| c == '\n' || c == '\t' || !is_hazard(c);
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(stays)
    {
        return bytes.into();
    }
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid().chars().peekable();
        while let Some(c) = rest.next() {
            let ends_line = c == '\r' && rest.peek() == Some(&'\n');
            shown.push(if ends_line || stays(c) {
                c
            } else {
                REPLACEMENT
            });
        }
        if !chunk.invalid().is_empty() {
            shown.push(REPLACEMENT);
        }
    }
    shown.into_bytes().into()
}

/// JSON in which no hazard is left but for the line ends between its members: those in strings become
/// `\u` escapes, and the value stays the same.
///
/// # Examples
/// ```
/// let json = sockbox_printable::json("\"a\u{9b}\u{e0041}\"".to_owned());
/// assert_eq!(json, r#""a\u009b\udb40\udc41""#);
/// ```
pub fn json(json: String) -> String {
    // Those that stand outside of strings are line ends, and serialisers escape those in strings.
    let is_out = |c: char| is_hazard(c) && c != '\n';
    if !json.contains(is_out) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_out(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A string takes whatever is written to it.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Shows a value as [`line()`] does.
#[derive(Clone, Copy, Debug)]
pub struct Line<T>(pub T);

impl<T: fmt::Display> fmt::Display for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Filter(f, line), "{}", self.0)
    }
}

/// Shows a value as [`lines`] does.
#[derive(Clone, Copy, Debug)]
pub struct Lines<T>(pub T);

impl<T: fmt::Display> fmt::Display for Lines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Filter(f, lines), "{}", self.0)
    }
}

/// Filters what is written through it. Each character is judged by itself, so pieces can be.
struct Filter<'a, 'b>(&'a mut fmt::Formatter<'b>, fn(&str) -> Cow<'_, str>);

impl fmt::Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(&(self.1)(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for pair in HAZARDS.windows(2) {
            assert!(pair[0].1 < pair[1].0, "{pair:?}");
        }
        for (first, last) in HAZARDS {
            assert!(first <= last, "{first:?} {last:?}");
            assert!(is_hazard(first) && is_hazard(last), "{first:?} {last:?}");
        }
    }

    #[test]
    fn what_steers_or_hides_is_a_hazard_and_what_is_read_is_not() {
        for c in '\0'..=char::MAX {
            if c.is_control() {
                assert!(is_hazard(c), "{c:?}");
            }
            if c.is_alphanumeric() && !"\u{115f}\u{1160}\u{3164}\u{ffa0}".contains(c) {
                // Letters of every script are shown, but for the four that are blank.
                assert!(
                    !is_hazard(c) || ('\u{17b4}'..='\u{17b5}').contains(&c),
                    "{c:?}"
                );
            }
        }
        for (c, expected) in [
            ('\u{9b}', true),     // CSI
            ('\u{9d}', true),     // OSC
            ('\u{90}', true),     // DCS
            ('\u{85}', true),     // next line
            ('\u{ad}', true),     // soft hyphen
            ('\u{61c}', true),    // Arabic letter mark
            ('\u{200b}', true),   // zero-width space
            ('\u{200d}', true),   // zero-width joiner
            ('\u{200e}', true),   // left-to-right mark
            ('\u{2028}', true),   // line separator
            ('\u{2029}', true),   // paragraph separator
            ('\u{202e}', true),   // right-to-left override
            ('\u{2066}', true),   // left-to-right isolate
            ('\u{2069}', true),   // pop directional isolate
            ('\u{feff}', true),   // byte order mark
            ('\u{fffa}', true),   // interlinear annotation separator
            ('\u{e0041}', true),  // tag A
            ('\u{e0100}', true),  // variation selector 17
            ('\u{a0}', false),    // no-break space
            ('\u{600}', false),   // Arabic number sign, which is visible
            ('\u{2027}', false),  // hyphenation point
            ('\u{202f}', false),  // narrow no-break space
            ('\u{2070}', false),  // superscript zero
            ('\u{fffc}', false),  // object replacement character
            ('\u{fffd}', false),  // replacement character
            ('\u{e1000}', false), // not assigned
            ('\u{10ffff}', false),
        ] {
            assert_eq!(is_hazard(c), expected, "{c:?}");
        }
    }

    /// Something of each kind.
    const HOSTILE: &str = "a\x1b[2J\x07\r\nb\tc\u{9b}é\u{202e}\u{7f}\u{e0041}";

    #[test]
    fn text_is_shown_without_hazards() {
        assert_eq!(line(HOSTILE), "a?[2J???b?c?é???");
        assert_eq!(lines(HOSTILE), "a?[2J??\nb\tc?é???");
        assert_eq!(Line(HOSTILE).to_string(), line(HOSTILE));
        assert_eq!(Lines(HOSTILE).to_string(), lines(HOSTILE));
        for harmless in ["", "wasi:cli/run@0.2.0", "größe 語"] {
            assert!(matches!(line(harmless), Cow::Borrowed(_)), "{harmless}");
            assert!(matches!(lines(harmless), Cow::Borrowed(_)), "{harmless}");
        }
    }

    #[test]
    fn bytes_are_shown_without_hazards() {
        for (raw, expected) in [
            (&b""[..], ""),
            (b"A: b\r\n\tc\n\r\n", "A: b\r\n\tc\n\r\n"),
            (b"a\rb\r\n", "a?b\r\n"),
            (b"a\r", "a?"),
            (b"\r\xff\n", "??\n"),
            (b"\x1b[2J\x07\0\x7f", "?[2J???"),
            (b"raw \x9b2J, caf\xe9", "raw ?2J, caf?"),
            (b"cut short \xe8\xaa", "cut short ?"),
            ("utf-8 \u{9b}2J \u{202e}é".as_bytes(), "utf-8 ?2J ?é"),
            (HOSTILE.as_bytes(), "a?[2J?\r\nb\tc?é???"),
        ] {
            let shown = bytes(raw);
            assert_eq!(String::from_utf8_lossy(&shown), expected, "{raw:?}");
        }
        assert!(matches!(bytes(b"A: b\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_value() {
        let json_text = "{\n  \"a\": \"\u{9b}\u{202e}\u{7f}\u{e0041}é\"\n}".to_owned();
        assert_eq!(
            json(json_text),
            "{\n  \"a\": \"\\u009b\\u202e\\u007f\\udb40\\udc41é\"\n}"
        );
        assert_eq!(json("{}\n".to_owned()), "{}\n");
    }
}
