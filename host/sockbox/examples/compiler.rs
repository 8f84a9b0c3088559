//! A program that compiles components for the process that started it.
//!
//! A program of one's own starts itself again, or this one, with `SandboxBuilder::compiler`: then the time and
//! the memory that compiling takes are bounded, and it is ended when nothing waits for it any more.

use std::io;

fn main() -> io::Result<()> {
    sockbox::compile_for_parent()
}
