//! What `-v` shows.

use std::fmt::Display;

/// Where to tell what happens, if anywhere.
#[derive(Clone, Copy)]
pub struct Trace(pub Option<fn(&str)>);

impl Trace {
    /// Something was done.
    pub fn fact(&self, fact: impl Display) {
        if let Some(tell) = self.0 {
            tell(&format!("* {fact}"));
        }
    }

    /// This head was sent.
    pub fn sent(&self, head: &[u8]) {
        self.lines('>', head);
    }

    /// This head was received.
    pub fn received(&self, head: &[u8]) {
        self.lines('<', head);
    }

    fn lines(&self, mark: char, head: &[u8]) {
        let Some(tell) = self.0 else { return };
        for line in String::from_utf8_lossy(head).lines() {
            // What a server sends must not be able to move a terminal's cursor.
            let line: String = line
                .chars()
                .filter(|c| !c.is_control() || *c == '\t')
                .collect();
            tell(format!("{mark} {line}").trim_end());
        }
    }
}
