//! Running native code in place: in the program's own file, as the system has mapped it.
//!
//! wasmtime copies compiled code before it runs it. For the embedded component the copy is two megabytes,
//! with a page fault for every four kilobytes, and costs as much as a short run. In place, only the used
//! pages are loaded, and all processes share them.
//!
//! wasmtime can use the same memory for one engine at a time. So the first engine of the process uses the
//! code in place, and later engines use copies.
//!
//! Only on Linux and x86-64. Elsewhere programs may be signed or pages larger than the code is aligned
//! for, and some processors have to be told of new code.

use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::component::Component;
use wasmtime::{Config, Engine, Result};

/// Whether this platform supports it.
const POSSIBLE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// As large as a page, which is what permissions are given by.
#[repr(C, align(4096))]
pub struct Aligned<T: ?Sized>(pub(crate) T);

/// Let engines of this configuration [`load`] code in place. Other code is loaded as by default.
pub fn prepare(config: &mut Config) {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    config.with_custom_code_memory(Some(std::sync::Arc::new(pages::Pages)));
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    let _ = config;
}

/// Load a compiled component. `taken` belongs to this `code`, and is false at first.
///
/// # Safety
/// It is native code, and runs as such: `code` has to come from wasmtime's `precompile_component`.
///
/// # Errors
/// It was compiled for another machine, or under another configuration.
#[allow(unsafe_code, reason = "native code is loaded")]
pub unsafe fn load(
    engine: &Engine,
    code: &'static Aligned<[u8]>,
    taken: &AtomicBool,
) -> Result<Component> {
    if POSSIBLE && !taken.swap(true, Ordering::Relaxed) {
        // SAFETY: the caller guarantees that it is wasmtime's code. It is behind a shared static
        // reference, so nothing can write to it while the process lives.
        unsafe { Component::deserialize_raw(engine, (&code.0).into()) }
    } else {
        // SAFETY: as the caller says.
        unsafe { Component::deserialize(engine, &code.0) }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod pages {
    use rustix::mm::{MprotectFlags, mprotect};
    use wasmtime::{CustomCodeMemory, Result};

    /// Gives code the permission to be run.
    pub struct Pages;

    impl CustomCodeMemory for Pages {
        fn required_alignment(&self) -> usize {
            rustix::param::page_size()
        }

        /// From here on it can be read and run. wasmtime's own copies can't be written to any more either.
        #[allow(unsafe_code, reason = "the permissions of memory are changed")]
        fn publish_executable(&self, code: *const u8, length: usize) -> Result<()> {
            let permissions = MprotectFlags::READ | MprotectFlags::EXEC;
            // SAFETY: it is code that wasmtime has compiled, on pages of its own, and nothing but code.
            unsafe { mprotect(code.cast_mut().cast(), length, permissions) }?;
            Ok(())
        }

        /// Does nothing: code in place may be in use by another engine, and the memory of a copy is
        /// freed as a whole.
        fn unpublish_executable(&self, _: *const u8, _: usize) -> Result<()> {
            Ok(())
        }
    }
}
