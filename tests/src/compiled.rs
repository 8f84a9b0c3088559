//! The component, compiled once for all runs of `wasmtime run`.

use crate::paths;
use crate::tools;
use crate::wasi::Wasi;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The component as `wasmtime compile` leaves it: at each run, compiling takes longer than all the rest.
pub(crate) fn component() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let component = paths::component(Wasi::V0_2);
        let wasmtime = paths::wasmtime_run();
        let folder = tools::folder().unwrap_or_else(|reason| panic!("{reason}"));
        let compiled = folder.join("sockbox.cwasm");
        // Several test processes may come to compile it at the same time.
        let _lock = tools::lock(&folder.join("sockbox.cwasm.lock"))
            .unwrap_or_else(|reason| panic!("{reason}"));
        let newest_part = written(&component).max(written(&wasmtime));
        if written(&compiled) <= newest_part {
            let mut command = Command::new(&wasmtime);
            command
                .arg("compile")
                .arg(&component)
                .arg("-o")
                .arg(&compiled);
            tools::run(&mut command).unwrap_or_else(|reason| panic!("{reason}"));
        }
        compiled
    })
}

/// When a file was written; None, which is before all else, if there is no such file.
fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
