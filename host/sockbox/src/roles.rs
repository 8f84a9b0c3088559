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

/// The start of the name of a handler's export.
pub(crate) const HANDLER: &str = "wasi:http/incoming-handler@0.2.";

impl Role {
    /// What is wrong with a component that does not have this role and has these exports.
    pub(crate) fn missing<'a>(self, exports: impl IntoIterator<Item = &'a str>) -> String {
        let mut exports = exports.into_iter();
        let named: Vec<String> = exports
            .by_ref()
            .take(MAX_NAMED)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = match exports.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (noun, export, function) = match self {
            Role::Command => ("a command", "`wasi:cli/run@0.2.", "that a command has"),
            Role::Handler => (
                "a handler of HTTP requests",
                "`wasi:http/incoming-handler@0.2.",
                "that a handler has",
            ),
        };
        if let Some(found) = named.iter().find(|name| name.starts_with(export)) {
            return format!("it is not {noun}: its {found} is not the function {function}");
        }
        let handles = |name: &&String| name[1..].starts_with(HANDLER);
        if let (Role::Command, Some(handler)) = (self, named.iter().find(handles)) {
            return format!(
                "it is not a command, which exports `wasi:cli/run@0.2`: it exports {handler}, so it handles HTTP requests \
                 (`sockbox run --listen-http 127.0.0.1:8080` serves it)"
            );
        }
        let runs = |name: &&String| name.starts_with("`wasi:cli/run@0.2.");
        let what = match &named[..] {
            [] => "it exports nothing, so that nothing in it can be called".to_owned(),
            named => {
                let how = match (self, named.iter().any(|name| runs(&name))) {
                    (Role::Handler, true) => "it is a command, which runs without --listen-http",
                    _ => {
                        "a host that calls these can run it (a plugin host), or a command that imports them (`wac plug` \
                         puts two components together)"
                    }
                };
                format!("it exports {}{more}; {how}", named.join(", "))
            }
        };
        let export = match self {
            Role::Command => "wasi:cli/run@0.2",
            Role::Handler => "wasi:http/incoming-handler@0.2",
        };
        format!("it is not {noun}, which exports `{export}`: {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_to_do() {
        let run = "wasi:cli/run@0.2.0";
        let handler = "wasi:http/incoming-handler@0.2.3";
        for (role, exports, expected) in [
            (
                Role::Command,
                &[][..],
                "it is not a command, which exports `wasi:cli/run@0.2`: it exports nothing, so that nothing in it can be \
                 called",
            ),
            (
                Role::Command,
                &["a:b/c"],
                "it is not a command, which exports `wasi:cli/run@0.2`: it exports `a:b/c`; a host that calls these can \
                 run it (a plugin host), or a command that imports them (`wac plug` puts two components together)",
            ),
            (
                Role::Command,
                &["a:b/c", handler],
                "it is not a command, which exports `wasi:cli/run@0.2`: it exports `wasi:http/incoming-handler@0.2.3`, so \
                 it handles HTTP requests (`sockbox run --listen-http 127.0.0.1:8080` serves it)",
            ),
            (
                Role::Command,
                &[run],
                "it is not a command: its `wasi:cli/run@0.2.0` is not the function that a command has",
            ),
            (
                Role::Handler,
                &[run],
                "it is not a handler of HTTP requests, which exports `wasi:http/incoming-handler@0.2`: it exports \
                 `wasi:cli/run@0.2.0`; it is a command, which runs without --listen-http",
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
