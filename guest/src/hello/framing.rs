//! From bytes to messages, and from messages to answers. No I/O.

use std::rc::Rc;

/// The default for the most bytes of a message, without its newline: 64 KiB. That is far more than
/// any line that a person types, and small enough to keep for thousands of clients.
pub const DEFAULT_MAX_MESSAGE_SIZE: u32 = 64 * 1024;

/// The message that closes the connection.
const EXIT: &[u8] = b"exit";

/// How a connection continues after some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// More messages may come.
    Continue,
    /// The client sent `exit`.
    Exit,
    /// The client sent a message that is too long. The answers end with an error line.
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

/// The rules that are the same for all clients.
#[derive(Debug)]
pub struct Rules {
    framing: Framing,
    /// The start of each answer, up to the message.
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

    /// The bytes that are sent to each new client. With [`Framing::Line`] they end with a newline.
    pub fn welcome(framing: Framing, text: Option<&str>) -> Vec<u8> {
        let mut welcome = text.unwrap_or_default().as_bytes().to_vec();
        if framing == Framing::Line && !welcome.is_empty() && !welcome.ends_with(b"\n") {
            welcome.push(b'\n');
        }
        welcome
    }
}

/// Splits the bytes of one client into messages, and writes the answers.
///
/// It keeps the bytes of a message that is not complete, and nothing else.
#[derive(Debug)]
pub struct Framer {
    rules: Rc<Rules>,
    /// The message so far.
    partial: Vec<u8>,
    /// Whether the last message ended with a CR whose LF may still come.
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

    /// The memory used for a message that is not complete, in bytes.
    pub fn kept(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes bytes from the front of `input`, and appends the answers to the messages that they
    /// complete to `answers`. Stops when the input is used up or there are `enough` bytes of
    /// answers.
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

    /// Handles the end of one read, all of whose bytes have been pushed. If `drained`, the socket
    /// has no more bytes.
    ///
    /// The bytes so far may then be a message, unless they end inside a character: the rest of that
    /// character is on its way.
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

    /// Handles the end of the input: the bytes so far are the last message.
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
        // A CR at the end is half a newline. If its LF comes later, it is echoed on its own. So the
        // answers are the same however the packets were cut.
        let (message, newline) = match partial.strip_suffix(b"\r") {
            Some(message) => (message, &b"\r"[..]),
            None => (&partial[..], &b""[..]),
        };
        self.owed_lf = !newline.is_empty();
        self.answer(message, newline, answers)
    }

    /// Answers the message that ends with `line`, whose LF has been removed.
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
        // One byte more than a message may have: the last one may be the CR of its newline.
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

/// Splits a line whose LF has been removed into its message and its newline.
fn split_newline(line: &[u8]) -> (&[u8], &'static [u8]) {
    match line.strip_suffix(b"\r") {
        Some(message) => (message, b"\r\n"),
        None => (line, b"\n"),
    }
}

/// Whether the bytes end inside a UTF-8 character.
fn ends_inside_character(bytes: &[u8]) -> bool {
    // A character has at most four bytes, so an incomplete one starts in the last three.
    let from = bytes.len().saturating_sub(3);
    (from..bytes.len()).any(|start| {
        bytes.get(start).is_some_and(|byte| *byte >= 0xC2)
            && std::str::from_utf8(&bytes[start..])
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    })
}

#[cfg(test)]
mod tests;
