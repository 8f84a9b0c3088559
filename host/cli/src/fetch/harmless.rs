//! What came from a server, as it is shown.

use std::borrow::Cow;

/// What came from a server as it is printed: as it came, byte by byte, where a file or a program gets it;
/// on a terminal without what could steer one.
pub fn harmless(text: &[u8], on_terminal: bool) -> Cow<'_, [u8]> {
    match on_terminal {
        true => sockbox_printable::bytes(text),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_cannot_steer_a_terminal() {
        let head = b"HTTP/1.1 200 OK\r\nX: \x1b[2J\x07\tcaf\xe9\x7f\r\n\r\n";
        assert_eq!(*harmless(head, false), head[..]);
        let replaced = b"HTTP/1.1 200 OK\r\nX: ?[2J?\tcaf??\r\n\r\n";
        assert_eq!(*harmless(head, true), replaced[..]);
    }
}
