//! What a component is run as, and what is wrong with one that can't be run so.

/// What a component is run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A program that runs from its start to its end.
    Command,
    /// A handler of HTTP requests.
    Handler,
}

/// How many exports a message names.
const MAX_NAMED: usize = 10;

/// The starts of the names of a handler's exports.
const HANDLER: [&str; 2] = ["wasi:http/incoming-handler@0.2.", "wasi:http/handler@0.3."];

/// The starts of the names of a command's exports.
const COMMAND: [&str; 2] = ["wasi:cli/run@0.2.", "wasi:cli/run@0.3."];

impl Role {
    /// The starts of the names of the exports that a component with this role can have.
    fn exports(self) -> &'static [&'static str] {
        match self {
            Role::Command => &COMMAND,
            Role::Handler => &HANDLER,
        }
    }

    /// What is wrong with a component that does not have this role and has these exports.
    pub(crate) fn missing<'a>(self, exports: impl IntoIterator<Item = &'a str>) -> String {
        let mut exports = exports.into_iter();
        let named: Vec<&str> = exports.by_ref().take(MAX_NAMED).collect();
        let more = match exports.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let find = |starts: &[&str]| {
            let is_one = |name: &&&str| starts.iter().any(|start| name.starts_with(start));
            named.iter().find(is_one)
        };
        let (noun, export, function) = match self {
            Role::Command => (
                "a command",
                "`wasi:cli/run@0.2` or `wasi:cli/run@0.3`",
                "that a command has",
            ),
            Role::Handler => (
                "a handler of HTTP requests",
                "`wasi:http/incoming-handler@0.2` or `wasi:http/handler@0.3`",
                "that a handler has",
            ),
        };
        if let Some(found) = find(self.exports()) {
            return format!("it is not {noun}: its `{found}` is not the function {function}");
        }
        let what = if let (Role::Command, Some(handler)) = (self, find(&HANDLER)) {
            format!(
                "it exports `{handler}`, so it handles HTTP requests (`sockbox run --listen-http 127.0.0.1:8080` serves it)"
            )
        } else if named.is_empty() {
            "it exports nothing, so that nothing in it can be called".to_owned()
        } else {
            let how = match (self, find(&COMMAND)) {
                (Role::Handler, Some(_)) => "it is a command, which runs without --listen-http",
                _ => {
                    "a host that calls these can run it (a plugin host), or a command that imports them (`wac plug` \
                     puts two components together)"
                }
            };
            format!("it exports `{}`{more}; {how}", named.join("`, `"))
        };
        format!("it is not {noun}, which exports {export}: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_to_do() {
        let run = "wasi:cli/run@0.2.0";
        let handler = "wasi:http/incoming-handler@0.2.3";
        let (run_0_3, handler_0_3) = ("wasi:cli/run@0.3.0", "wasi:http/handler@0.3.0");
        for (role, exports, expected) in [
            (
                Role::Command,
                &[][..],
                "it is not a command, which exports `wasi:cli/run@0.2` or `wasi:cli/run@0.3`: it exports nothing, so that nothing in it can be \
                 called",
            ),
            (
                Role::Command,
                &["a:b/c"],
                "it is not a command, which exports `wasi:cli/run@0.2` or `wasi:cli/run@0.3`: it exports `a:b/c`; a host that calls these can \
                 run it (a plugin host), or a command that imports them (`wac plug` puts two components together)",
            ),
            (
                Role::Command,
                &["a:b/c", handler],
                "it is not a command, which exports `wasi:cli/run@0.2` or `wasi:cli/run@0.3`: it exports `wasi:http/incoming-handler@0.2.3`, so \
                 it handles HTTP requests (`sockbox run --listen-http 127.0.0.1:8080` serves it)",
            ),
            (
                Role::Command,
                &[run],
                "it is not a command: its `wasi:cli/run@0.2.0` is not the function that a command has",
            ),
            (
                Role::Command,
                &[run_0_3],
                "it is not a command: its `wasi:cli/run@0.3.0` is not the function that a command has",
            ),
            (
                Role::Command,
                &[handler_0_3],
                "it is not a command, which exports `wasi:cli/run@0.2` or `wasi:cli/run@0.3`: it exports \
                 `wasi:http/handler@0.3.0`, so it handles HTTP requests (`sockbox run --listen-http 127.0.0.1:8080` serves it)",
            ),
            (
                Role::Handler,
                &[run_0_3],
                "it is not a handler of HTTP requests, which exports `wasi:http/incoming-handler@0.2` or \
                 `wasi:http/handler@0.3`: it exports `wasi:cli/run@0.3.0`; it is a command, which runs without \
                 --listen-http",
            ),
            (
                Role::Handler,
                &[run_0_3, handler_0_3],
                "it is not a handler of HTTP requests: its `wasi:http/handler@0.3.0` is not the function that a handler \
                 has",
            ),
            (
                Role::Handler,
                &[run],
                "it is not a handler of HTTP requests, which exports `wasi:http/incoming-handler@0.2` or \
                 `wasi:http/handler@0.3`: it exports `wasi:cli/run@0.2.0`; it is a command, which runs without \
                 --listen-http",
            ),
            (
                Role::Handler,
                &[handler],
                "it is not a handler of HTTP requests: its `wasi:http/incoming-handler@0.2.3` is not the function that a \
                 handler has",
            ),
        ] {
            assert_eq!(
                role.missing(exports.iter().copied()),
                expected,
                "{exports:?}"
            );
        }
    }
}
