//! The texts about components that can't be run.

use crate::error::Error;
use std::path::Path;

/// The most bytes of a text about a component that can't be run: 1 KiB.
const MAX_PROBLEM: usize = 1024;

/// The error of a component that can't be run: what is wrong with it.
pub(crate) fn not_runnable(file: Option<&Path>, mut problem: String) -> Error {
    // It may quote names from the component, which have any length.
    if problem.len() > MAX_PROBLEM {
        problem.truncate(problem.floor_char_boundary(MAX_PROBLEM));
        problem.push_str("...");
    }
    Error::NotRunnable {
        file: file.map(Path::to_owned),
        problem,
    }
}

/// What is wrong with a component that wasmtime does not compile.
pub(crate) fn cant_be_compiled(error: &wasmtime::Error) -> String {
    format!("it can't be compiled: {}", first_line(error))
}

/// An error's cause, without the context that is wrapped around it, on one line.
pub(crate) fn first_line(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    cause.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_components_makes_no_text_of_any_length() {
        for (length, expected) in [
            (MAX_PROBLEM, MAX_PROBLEM),
            (MAX_PROBLEM + 1, MAX_PROBLEM + 3),
        ] {
            let Error::NotRunnable { problem, .. } =
                not_runnable(None, "ä".repeat(length / 2) + &"a".repeat(length % 2))
            else {
                panic!("it is that error");
            };
            assert_eq!(problem.len(), expected, "{length}");
        }
    }
}
