//! Work on a blocking thread that ends when no task waits for it.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Do `work` on a blocking thread of the tokio runtime. It is passed a function that tells whether the returned future still
/// exists.
pub(crate) async fn while_wanted<R: Send + 'static>(
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<R> + Send + 'static,
) -> Result<R> {
    /// Tells the thread when the future is dropped.
    struct Wanted(Arc<AtomicBool>);
    impl Drop for Wanted {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Relaxed);
        }
    }

    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let is_wanted = wanted.0.clone();
    let done = tokio::task::spawn_blocking(move || work(&|| is_wanted.load(Ordering::Relaxed)));
    done.await
        .map_err(|error| Error::internal(format_args!("compiling failed: {error}")))?
}
