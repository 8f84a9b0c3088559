//! The tokio runtime that a subcommand runs in.

use crate::exit::Failure;
use std::future::Future;

/// Run a subcommand to its end, on this thread.
///
/// What is left over is not waited for: a lookup whose result is no longer needed may take its time.
pub fn block_on<T>(subcommand: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system)?;
    let result = runtime.block_on(subcommand);
    runtime.shutdown_background();
    result
}
