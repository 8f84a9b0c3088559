//! How the command's sandboxes are set up: where they compile, and what they keep of that.

use crate::cache;
use sockbox::{Sandbox, SandboxBuilder};
use std::path::{Path, PathBuf};

/// The word that makes this program compile for the process that started it.
pub const COMPILE_FOR_PARENT: &str = "compile-for-parent";

/// A sandbox that compiles in a process of its own, and keeps what was compiled where `cache` says.
#[allow(unsafe_code, reason = "native code is loaded")]
pub fn builder(cache: Option<cache::Place>) -> SandboxBuilder {
    let mut builder = Sandbox::builder();
    if let Some(program) = this_program() {
        // SAFETY: it is this very program, which does nothing else with that word.
        builder = unsafe { builder.compiler(program, [COMPILE_FOR_PARENT]) };
    }
    if let Some(cache) = cache {
        builder = builder.cache_dir(cache.folder).cache_key_file(cache.secret);
    }
    builder
}

/// The file of this program. On Linux it is the one that is running, whatever is at its path by now.
fn this_program() -> Option<PathBuf> {
    let running = Path::new("/proc/self/exe");
    match cfg!(target_os = "linux") && running.exists() {
        true => Some(running.to_owned()),
        false => std::env::current_exe().ok(),
    }
}
