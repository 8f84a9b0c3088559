//! Messages out of bytes, answers out of messages. No I/O.

use std::rc::Rc;

/// The most bytes of a message, without its newline, unless told otherwise: 64 KiB. Far above any
/// line that a person or a tutorial sends, and small enough to keep for thousands of clients.
pub const DEFAULT_MAX_MESSAGE_SIZE: u32 = 64 * 1024;

/// The message that closes the connection.
const EXIT: &[u8] = b"exit";

/// How a conversation goes on after some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// More messages may come.
    Continue,
    /// The client sent `exit`.
    Exit,
    /// The client sent a message that is too long, and has been told so.
    TooLong,
}

/// What ends a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// A newline, or the socket having nothing more to give.
    #[default]
    Auto,
    /// A newline alone; the last line may end with the input.
    Line,
    /// The end of what one read returned. A newline is part of the message.
    Chunk,
}

/// What is the same for all clients.
#[derive(Debug)]
pub struct Rules {
    framing: Framing,
    /// What an answer begins with, up to the message.
    opening: Vec<u8>,
    max_message_size: usize,
}

impl Rules {
    pub fn new(framing: Framing, greeting: &str, max_message_size: u32) -> Self {
        Self {
            framing,
            opening: format!("{greeting}, ").into_bytes(),
            max_message_size: usize::try_from(max_message_size).unwrap_or(usize::MAX),
        }
    }

    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// What a client is sent first. Where lines are what counts it is one, too.
    pub fn welcome(framing: Framing, text: Option<&str>) -> Vec<u8> {
        let mut welcome = text.unwrap_or_default().as_bytes().to_vec();
        if framing == Framing::Line && !welcome.is_empty() && !welcome.ends_with(b"\n") {
            welcome.push(b'\n');
        }
        welcome
    }
}

/// Cuts one client's bytes into messages and writes the answers.
///
/// The bytes of a message that isn't complete are kept; when there are none, nothing is.
#[derive(Debug)]
pub struct Framer {
    rules: Rc<Rules>,
    /// The message so far.
    partial: Vec<u8>,
    /// Whether the last message was taken to end with a CR whose LF may still come.
    owed_lf: bool,
    messages: u64,
}

impl Framer {
    pub fn new(rules: Rc<Rules>) -> Self {
        Self {
            rules,
            partial: Vec::new(),
            owed_lf: false,
            messages: 0,
        }
    }

    /// How many messages have been answered.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// How much memory is used for a message that isn't complete, in bytes.
    pub fn kept(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes bytes off the front of `input`, and appends the answers of the messages that they
    /// complete to `answers`, until the input is used up or there are `enough` bytes of answers.
    pub fn push(&mut self, input: &mut &[u8], answers: &mut Vec<u8>, enough: usize) -> Flow {
        if self.owed_lf && !input.is_empty() {
            self.owed_lf = false;
            if let Some(rest) = input.strip_prefix(b"\n") {
                answers.push(b'\n');
                *input = rest;
            }
        }
        while answers.len() < enough {
            let end = match self.rules.framing {
                Framing::Auto | Framing::Line => input.iter().position(|byte| *byte == b'\n'),
                Framing::Chunk => None,
            };
            let Some(end) = end else {
                let flow = self.keep(input, answers);
                *input = &[];
                return flow;
            };
            let (line, rest) = input.split_at(end);
            *input = rest.get(1..).unwrap_or_default();
            let flow = self.line(line, answers);
            if flow != Flow::Continue {
                return flow;
            }
        }
        Flow::Continue
    }

    /// All that one read gave has been pushed; if `drained`, the socket has nothing more to give.
    ///
    /// What has arrived may be a message then, except where a character has arrived in part: the
    /// rest of it is on its way.
    pub fn end_of_read(&mut self, drained: bool, answers: &mut Vec<u8>) -> Flow {
        let complete = match self.rules.framing {
            Framing::Auto => drained,
            Framing::Line => false,
            Framing::Chunk => true,
        };
        if !complete || self.partial.is_empty() || ends_inside_character(&self.partial) {
            return Flow::Continue;
        }
        self.answer_partial(answers)
    }

    /// The client has sent all: what has arrived is its last message.
    pub fn end(&mut self, answers: &mut Vec<u8>) -> Flow {
        if self.partial.is_empty() {
            return Flow::Continue;
        }
        self.answer_partial(answers)
    }

    fn answer_partial(&mut self, answers: &mut Vec<u8>) -> Flow {
        let partial = std::mem::take(&mut self.partial);
        if self.rules.framing == Framing::Chunk {
            return self.answer(&partial, b"", answers);
        }
        // A CR at the end is half a newline. Its LF, should it come, is repeated on its own, so
        // that the answers read the same wherever the packets were cut.
        let (message, newline) = match partial.strip_suffix(b"\r") {
            Some(message) => (message, &b"\r"[..]),
            None => (&partial[..], &b""[..]),
        };
        self.owed_lf = !newline.is_empty();
        self.answer(message, newline, answers)
    }

    /// Answers the message that ends with `line`, whose LF has been cut off.
    fn line(&mut self, line: &[u8], answers: &mut Vec<u8>) -> Flow {
        if self.partial.is_empty() {
            let (message, newline) = split_newline(line);
            return self.answer(message, newline, answers);
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(line);
        let (message, newline) = split_newline(&partial);
        self.answer(message, newline, answers)
    }

    fn keep(&mut self, bytes: &[u8], answers: &mut Vec<u8>) -> Flow {
        // One more than a message may have: the last may be the CR of its newline.
        if self.partial.len() + bytes.len() > self.rules.max_message_size.saturating_add(1) {
            return self.too_long(answers);
        }
        self.partial.extend_from_slice(bytes);
        Flow::Continue
    }

    fn answer(&mut self, message: &[u8], newline: &[u8], answers: &mut Vec<u8>) -> Flow {
        if message.len() > self.rules.max_message_size {
            return self.too_long(answers);
        }
        if message == EXIT {
            return Flow::Exit;
        }
        answers.extend_from_slice(&self.rules.opening);
        answers.extend_from_slice(message);
        answers.push(b'!');
        answers.extend_from_slice(newline);
        self.messages += 1;
        Flow::Continue
    }

    fn too_long(&mut self, answers: &mut Vec<u8>) -> Flow {
        self.partial = Vec::new();
        let text = format!(
            "message longer than {} bytes\n",
            self.rules.max_message_size
        );
        answers.extend_from_slice(text.as_bytes());
        Flow::TooLong
    }
}

/// A line's message and its newline, the LF of which has been cut off.
fn split_newline(line: &[u8]) -> (&[u8], &'static [u8]) {
    match line.strip_suffix(b"\r") {
        Some(message) => (message, b"\r\n"),
        None => (line, b"\n"),
    }
}

/// Whether the bytes end with the beginning of a UTF-8 character.
fn ends_inside_character(bytes: &[u8]) -> bool {
    // A character has at most four bytes, so its beginning is among the last three.
    let from = bytes.len().saturating_sub(3);
    (from..bytes.len()).any(|start| {
        bytes.get(start).is_some_and(|byte| *byte >= 0xC2)
            && std::str::from_utf8(&bytes[start..])
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framer(framing: Framing, max: u32) -> Framer {
        Framer::new(Rc::new(Rules::new(framing, "Hello", max)))
    }

    /// Feeds `packets` one at a time, the socket being drained after each, and then the end.
    fn converse(packets: &[&[u8]], framing: Framing) -> (Vec<u8>, Flow, u64) {
        let mut framer = framer(framing, 64);
        let mut answers = Vec::new();
        let mut flow = Flow::Continue;
        for packet in packets {
            let mut input = *packet;
            while !input.is_empty() && flow == Flow::Continue {
                flow = framer.push(&mut input, &mut answers, usize::MAX);
            }
            if flow == Flow::Continue {
                flow = framer.end_of_read(true, &mut answers);
            }
        }
        if flow == Flow::Continue {
            flow = framer.end(&mut answers);
        }
        (answers, flow, framer.messages())
    }

    #[test]
    fn messages_and_answers() {
        let cases: &[(&[&[u8]], &[u8], Flow, u64)] = &[
            (&[b"Michael"], b"Hello, Michael!", Flow::Continue, 1),
            (
                &[b"Michael", b"Tracy"],
                b"Hello, Michael!Hello, Tracy!",
                Flow::Continue,
                2,
            ),
            (&[b"a\n"], b"Hello, a!\n", Flow::Continue, 1),
            (&[b"a\r\n"], b"Hello, a!\r\n", Flow::Continue, 1),
            (
                &[b"a\nb\r\nc"],
                b"Hello, a!\nHello, b!\r\nHello, c!",
                Flow::Continue,
                3,
            ),
            (
                &[b"\n\r\n\n"],
                b"Hello, !\nHello, !\r\nHello, !\n",
                Flow::Continue,
                3,
            ),
            (&[b"a\rb\n"], b"Hello, a\rb!\n", Flow::Continue, 1),
            (&[b"a\r\r\n"], b"Hello, a\r!\r\n", Flow::Continue, 1),
            (&[b"a\r", b"\n"], b"Hello, a!\r\n", Flow::Continue, 1),
            (
                &[b"a\r", b"b\n"],
                b"Hello, a!\rHello, b!\n",
                Flow::Continue,
                2,
            ),
            (
                &[b"a\r", b"\n\n"],
                b"Hello, a!\r\nHello, !\n",
                Flow::Continue,
                2,
            ),
            (
                &[b"\xE4\xBD", b"\xA0\n"],
                "Hello, 你!\n".as_bytes(),
                Flow::Continue,
                1,
            ),
            (
                &[b"\xF0\x9F\x98", b"\x80"],
                "Hello, 😀!".as_bytes(),
                Flow::Continue,
                1,
            ),
            (&[b"\xE4\xBD"], b"Hello, \xE4\xBD!", Flow::Continue, 1),
            (
                &[b"\xFF\xFE", b"\n"],
                b"Hello, \xFF\xFE!Hello, !\n",
                Flow::Continue,
                2,
            ),
            (&[b"\0\n"], b"Hello, \0!\n", Flow::Continue, 1),
            (&[b"exit"], b"", Flow::Exit, 0),
            (&[b"exit\n"], b"", Flow::Exit, 0),
            (&[b"exit\r\n"], b"", Flow::Exit, 0),
            (&[b"a\nexit\nb\n"], b"Hello, a!\n", Flow::Exit, 1),
            (&[b"exit \n"], b"Hello, exit !\n", Flow::Continue, 1),
            (&[b"Exit\n"], b"Hello, Exit!\n", Flow::Continue, 1),
            (&[], b"", Flow::Continue, 0),
        ];
        for (packets, answers, flow, messages) in cases {
            let got = converse(packets, Framing::Auto);
            assert_eq!(
                (String::from_utf8_lossy(&got.0), got.1, got.2),
                (String::from_utf8_lossy(answers), *flow, *messages),
                "packets {packets:?}"
            );
        }
    }

    #[test]
    fn only_newlines_end_lines() {
        let cases: &[(&[&[u8]], &str, Flow, u64)] = &[
            (&[b"Mich", b"ael\n"], "Hello, Michael!\n", Flow::Continue, 1),
            (
                &[b"a\r", b"\nb"],
                "Hello, a!\r\nHello, b!",
                Flow::Continue,
                2,
            ),
            (&[b"\n", b"\n"], "Hello, !\nHello, !\n", Flow::Continue, 2),
            (&[b"\xE4\xBD", b"\xA0\n"], "Hello, 你!\n", Flow::Continue, 1),
            (&[b"ex", b"it\n", b"a\n"], "", Flow::Exit, 0),
            (&[b"ex", b"it"], "", Flow::Exit, 0),
            (&[b"", b""], "", Flow::Continue, 0),
        ];
        for (packets, answers, flow, messages) in cases {
            let got = converse(packets, Framing::Line);
            assert_eq!(
                (String::from_utf8_lossy(&got.0).as_ref(), got.1, got.2),
                (*answers, *flow, *messages),
                "packets {packets:?}"
            );
        }
    }

    #[test]
    fn a_chunk_is_a_message() {
        let cases: &[(&[&[u8]], &str, Flow, u64)] = &[
            (
                &[b"Mich", b"ael\n"],
                "Hello, Mich!Hello, ael\n!",
                Flow::Continue,
                2,
            ),
            (&[b"a\nb\r\n"], "Hello, a\nb\r\n!", Flow::Continue, 1),
            (&[b"a\r", b"\n"], "Hello, a\r!Hello, \n!", Flow::Continue, 2),
            (
                &[b"\xE4\xBD", b"\xA0", b"b"],
                "Hello, 你!Hello, b!",
                Flow::Continue,
                2,
            ),
            (&[b"\xE4"], "Hello, \u{FFFD}!", Flow::Continue, 1),
            (&[b"exit"], "", Flow::Exit, 0),
            (&[b"exit\n"], "Hello, exit\n!", Flow::Continue, 1),
            (&[], "", Flow::Continue, 0),
        ];
        for (packets, answers, flow, messages) in cases {
            let got = converse(packets, Framing::Chunk);
            assert_eq!(
                (String::from_utf8_lossy(&got.0).as_ref(), got.1, got.2),
                (*answers, *flow, *messages),
                "packets {packets:?}"
            );
        }
        // It is one even where the socket may have more.
        let (mut framer, mut answers) = (framer(Framing::Chunk, 64), Vec::new());
        framer.push(&mut &b"a"[..], &mut answers, usize::MAX);
        framer.end_of_read(false, &mut answers);
        assert_eq!(answers, b"Hello, a!");
    }

    #[test]
    fn a_welcome_is_a_line_where_lines_count() {
        for (framing, text, expected) in [
            (Framing::Auto, None, ""),
            (Framing::Line, None, ""),
            (Framing::Line, Some(""), ""),
            (Framing::Auto, Some("a"), "a"),
            (Framing::Chunk, Some("a"), "a"),
            (Framing::Line, Some("a"), "a\n"),
            (Framing::Line, Some("a\n"), "a\n"),
        ] {
            let welcome = Rules::welcome(framing, text);
            assert_eq!(welcome, expected.as_bytes(), "{framing:?} {text:?}");
        }
    }

    #[test]
    fn lines_are_the_same_however_they_are_split() {
        let input = "ab\r\n你好\n\n\r\nlast\n".as_bytes();
        let whole = converse(&[input], Framing::Auto);
        for cut in 0..=input.len() {
            let mut framer = framer(Framing::Auto, 64);
            let mut answers = Vec::new();
            for part in [&input[..cut], &input[cut..]] {
                let mut part = part;
                framer.push(&mut part, &mut answers, usize::MAX);
                assert!(part.is_empty());
            }
            assert_eq!(answers, whole.0, "cut at {cut}");
        }
        let mut framer = framer(Framing::Auto, 64);
        let mut answers = Vec::new();
        for byte in input {
            framer.push(&mut &[*byte][..], &mut answers, usize::MAX);
        }
        assert_eq!(answers, whole.0, "byte by byte");
    }

    #[test]
    fn the_longest_message_is_answered_and_one_byte_more_is_not() {
        for (length, newline, flow) in [
            (7, "", Flow::Continue),
            (8, "", Flow::Continue),
            (9, "", Flow::TooLong),
            (10, "", Flow::TooLong),
            (8, "\n", Flow::Continue),
            (9, "\n", Flow::TooLong),
            (8, "\r\n", Flow::Continue),
            (9, "\r\n", Flow::TooLong),
        ] {
            let input = "x".repeat(length) + newline;
            for packets in [vec![input.as_bytes()], input.as_bytes().chunks(3).collect()] {
                let mut framer = framer(Framing::Auto, 8);
                let mut answers = Vec::new();
                let mut got = Flow::Continue;
                for packet in packets {
                    if got == Flow::Continue {
                        got = framer.push(&mut &packet[..], &mut answers, usize::MAX);
                    }
                }
                if got == Flow::Continue {
                    got = framer.end(&mut answers);
                }
                assert_eq!(got, flow, "{length} bytes and {newline:?}");
                if flow == Flow::TooLong {
                    assert_eq!(answers, b"message longer than 8 bytes\n");
                }
            }
        }
    }

    #[test]
    fn answers_stop_when_there_are_enough_and_go_on_later() {
        let mut framer = framer(Framing::Auto, 64);
        let mut input = &b"a\nb\nc\n"[..];
        let mut answers = Vec::new();
        framer.push(&mut input, &mut answers, 1);
        assert_eq!((&answers[..], input), (&b"Hello, a!\n"[..], &b"b\nc\n"[..]));
        answers.clear();
        framer.push(&mut input, &mut answers, 11);
        assert_eq!(
            (&answers[..], input),
            (&b"Hello, b!\nHello, c!\n"[..], &b""[..])
        );
    }

    #[test]
    fn characters_cut_anywhere_are_recognised() {
        for text in ["é", "你", "😀"] {
            for cut in 1..text.len() {
                assert!(
                    ends_inside_character(&text.as_bytes()[..cut]),
                    "{text} cut at {cut}"
                );
            }
            assert!(!ends_inside_character(text.as_bytes()), "{text}");
        }
        for bytes in [
            &b""[..],
            b"a",
            b"\x80",
            b"\xFF",
            b"\xE4a",
            b"\xC0",
            b"\xF8\x80",
        ] {
            assert!(!ends_inside_character(bytes), "{bytes:?}");
        }
    }
}
