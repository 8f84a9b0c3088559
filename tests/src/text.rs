//! Test bytes, and showing bytes.

use std::io::Write;

/// How much of a long stretch of bytes a report shows.
const SHOWN: usize = 2000;

/// `len` bytes that look random and are always the same, so that a page of them can't be right with
/// pieces missing, repeated or out of order.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // Xorshift: its period is 2^64 - 1.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes as they can be printed: text as it is, the rest escaped, the middle of a long stretch left out.
pub fn readable(bytes: &[u8]) -> String {
    let show = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') => {
            text.to_owned()
        }
        _ => bytes.escape_ascii().to_string(),
    };
    if bytes.len() <= SHOWN {
        return show(bytes);
    }
    let (head, rest) = bytes.split_at(SHOWN / 2);
    let (middle, tail) = rest.split_at(rest.len() - SHOWN / 2);
    format!(
        "{}\n[… {} bytes …]\n{}",
        show(head),
        middle.len(),
        show(tail)
    )
}

/// Say that a test is skipped, and why; fail it instead where SOCKBOX_TESTS_NO_SKIP is set, as it is where nothing
/// may be missing.
///
/// # Panics
/// When SOCKBOX_TESTS_NO_SKIP is set.
pub fn skipped(why: &str) {
    let may_not = std::env::var_os("SOCKBOX_TESTS_NO_SKIP").is_some_and(|set| !set.is_empty());
    assert!(!may_not, "this test can't be skipped here: {why}");
    announce(&format!("skipped: {why}"));
}

/// Tell the person who runs the tests, whether the test passes or not: past the test runner, which
/// shows what the macros print for failed tests only.
pub fn announce(line: &str) {
    // Nothing is lost but the line when standard error is closed.
    let _ = writeln!(std::io::stderr(), "sockbox-tests: {line}");
}
