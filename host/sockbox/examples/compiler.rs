//! A program that compiles components for the process that started it.
//!
//! An embedder passes this program, or itself, to `SandboxBuilder::compiler`. Then the time and memory of
//! compiling are limited, and the process is killed when no task waits for it any more.

use std::io;

fn main() -> io::Result<()> {
    sockbox::compile_for_parent()
}
