//! The tokio runtime that a subcommand runs in.

use crate::exit::Failure;
use std::future::Future;
use tokio::runtime::Builder;

/// Run a subcommand to its end, on this thread.
///
/// What is left over is not waited for: a lookup whose result is no longer needed may take its time.
pub fn block_on<T>(subcommand: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run(Builder::new_current_thread(), subcommand)
}

/// Run a subcommand to its end on this thread, and the tasks that it spawns on as many threads as there are
/// processors.
pub fn block_on_all<T>(subcommand: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run(Builder::new_multi_thread(), subcommand)
}

fn run<T>(
    mut builder: Builder,
    subcommand: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder.enable_all().build().map_err(Failure::system)?;
    let result = runtime.block_on(subcommand);
    runtime.shutdown_background();
    result
}
