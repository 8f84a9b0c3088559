//! What is said of text that is no component.

/// How many characters of a line of a parser's message are kept. It quotes the line with the problem, which has
/// any length, and points at one of its first 500 characters.
const MAX_QUOTED: usize = 600;

/// What is wrong with a component that is text.
pub(super) fn problem(message: &str) -> String {
    let shortened = |line: &str| match line.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line.to_owned(),
    };
    let lines: Vec<String> = message.lines().map(shortened).collect();
    format!("it is not valid WebAssembly text: {}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::content;

    #[test]
    fn a_quoted_line_of_text_has_a_bound() {
        let long = "x".repeat(5_000_000);
        for (text, expected) in [
            ("(modul)".to_owned(), "(modul)"),
            (format!("(modul {long})"), "\u{2026}"),
            (format!("(module (func (call ${long})))"), "\u{2026}"),
        ] {
            let problem = match content(text.as_bytes(), None) {
                Err(problem) => problem,
                Ok(_) => panic!("it is no component"),
            };
            assert!(problem.contains(expected), "{problem}");
            assert!(problem.contains("<anon>:1:"), "{problem}");
            assert!(problem.len() < 4_000, "{}", problem.len());
        }
    }
}
