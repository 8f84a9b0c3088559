//! What can be typed behind `sockbox inspect` and `sockbox compile`.

use super::grants::LoadLimitArgs;
use std::path::PathBuf;

const INSPECT_EXAMPLES: &str = "\
Examples:
  sockbox inspect program.wasm
  sockbox inspect --json program.wasm | jq -r '.grants[]'
  sockbox component -o - | sockbox inspect -

The members of the JSON object: file, kind (command, component, core-module or precompiled), name,
runnable, obstacle (why it can't be run), capabilities (id, text, certain, grants), grants, imports and
exports (name, functions), incomplete (whether the lists lack something), bytes, code_bytes,
custom_bytes, components, core_modules (name, bytes, code_bytes, data_bytes, memories with min_bytes
and max_bytes), producers (field, name, version). What isn't known is null.";

/// Tell what a component could do, which grants that takes, and whether it can be run
///
/// Nothing of it is compiled or run. It needn't be one that `sockbox run` runs.
#[derive(Debug, clap::Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub struct Inspect {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,

    /// Name every function that is imported or exported
    #[arg(short, long)]
    pub verbose: bool,

    /// The component, as a binary (.wasm) or as text (.wat); `-` is standard input
    #[arg(value_name = "COMPONENT")]
    pub component: PathBuf,
}

const COMPILE_EXAMPLES: &str = "\
Example:
  sockbox compile -o program.cwasm program.wasm
  sockbox run --allow-precompiled program.cwasm

What is written is native code for this machine and this version of sockbox. It is not sandboxed by
itself: run only files that no other user could have written. Without this, `sockbox run` keeps what it
compiles in a cache.";

/// Compile a component ahead of time, for `sockbox run --allow-precompiled`
#[derive(Debug, clap::Args)]
#[command(after_help = COMPILE_EXAMPLES)]
pub struct Compile {
    /// Write it to FILE; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    #[command(flatten)]
    pub loading: LoadLimitArgs,

    /// The component, as a binary (.wasm) or as text (.wat); `-` is standard input
    #[arg(value_name = "COMPONENT")]
    pub component: PathBuf,
}
