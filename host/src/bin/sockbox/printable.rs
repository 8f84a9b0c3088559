//! What somebody else has written, without what could steer a terminal.

use std::borrow::Cow;

/// A text of one or more lines.
pub fn text(text: &str) -> Cow<'_, str> {
    without(text, |c| steers(c) && c != '\n' && c != '\t')
}

/// A name, which has no lines.
pub fn name(name: &str) -> Cow<'_, str> {
    without(name, steers)
}

/// JSON in which nothing that steers is left, but for the line ends between its members.
pub fn json(json: String) -> String {
    let steering = |c: char| steers(c) && c != '\n';
    if !json.contains(steering) {
        return json;
    }
    let escaped = |c: char| match steering(c) {
        // All that steers has at most four digits, and is in a string.
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    json.chars().map(escaped).collect()
}

fn without(text: &str, is_out: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&is_out) {
        let replaced = |c| if is_out(c) { '?' } else { c };
        text.chars().map(replaced).collect()
    } else {
        text.into()
    }
}

/// Whether a character is a control character, or turns the direction of what comes after it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers() {
        let hostile = "a\x1b[2J\x07\r\nb\tc\u{9b}é\u{202e}\u{7f}";
        assert_eq!(text(hostile), "a?[2J??\nb\tc?é??");
        assert_eq!(name(hostile), "a?[2J???b?c?é??");
        assert_eq!(name("wasi:cli/run@0.2.0"), "wasi:cli/run@0.2.0");
        let value = serde_json::Value::from(hostile);
        let escaped = json(value.to_string());
        assert!(!escaped.contains(steers), "{escaped:?}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            value
        );
    }
}
