//! A command line and its exit code.

/// A command line for curl and sockbox alike.
pub(crate) struct Case {
    /// The name of the case.
    pub(crate) what: &'static str,
    /// The words, as for a shell.
    ///
    /// `{nginx}`, `{lighttpd}`, `{node}`, `{httpbin}` stand for servers, `{raw}` for one that answers with
    /// `answer`, `{cut}` for one that does so over TLS and cuts the connection then, `{tls}` for nginx over TLS,
    /// `{proxy}` for the host and the port of a proxy that connects to `a.example` at 192.0.2.1,
    /// `{without-tls}` for a server without TLS, `{refused}` for an address on which no socket listens, `{port}`
    /// for Node's port.
    pub(crate) args: &'static str,
    pub(crate) answer: &'static str,
    /// The exit code.
    pub(crate) code: i32,
}

pub(crate) const fn case(what: &'static str, args: &'static str, code: i32) -> Case {
    raw(what, "", args, code)
}

/// A case with a server that answers with exactly these bytes.
pub(crate) const fn raw(
    what: &'static str,
    answer: &'static str,
    args: &'static str,
    code: i32,
) -> Case {
    Case {
        what,
        args,
        answer,
        code,
    }
}

impl Case {
    /// The words of the command line, as a shell finds them: separated by spaces, except within `'`.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut word = None::<String>;
        let mut quoted = false;
        for c in self.args.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => words.extend(word.take()),
                _ => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }
}
