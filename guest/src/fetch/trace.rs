//! What `-v` shows.

use sockbox_printable::Line;
use std::fmt::Display;

/// Where to tell what happens, if anywhere.
#[derive(Clone, Copy)]
pub struct Trace(pub Option<fn(&str)>);

impl Trace {
    /// Something was done.
    pub fn fact(&self, fact: impl Display) {
        if let Some(tell) = self.0 {
            tell(&format!("* {}", Line(fact)));
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
        // A server must not be able to steer the terminal that shows what it has sent.
        let shown = sockbox_printable::bytes(head);
        for line in String::from_utf8_lossy(&shown).lines() {
            tell(format!("{mark} {line}").trim_end());
        }
    }
}
