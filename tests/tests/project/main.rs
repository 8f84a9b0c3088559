//! The command line as a whole, this project's own scripts, and the harness of these tests.

mod ci;
mod cli;
mod components;
mod harness;
