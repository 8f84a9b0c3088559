//! The components in Python.

use super::Recipe;
use crate::python;
use crate::tools;
use crate::wasi::Wasi;
use std::path::PathBuf;
use std::process::Command;

pub(super) const SOURCE: &str = "python/tries.py";
pub(super) const SOURCE_ON_0_3: &str = "python/asks.py";

/// What the component was written for.
pub(super) const VERSION: &str = "0.25.1";

pub(super) fn build() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "python",
        source: SOURCE,
        wasi: Wasi::V0_2,
        world: None,
    };
    built(&recipe, "tries", ["wit", "guest"])
}

/// The one for WASI 0.3.
pub(super) fn build_on_0_3() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "python-0.3",
        source: SOURCE_ON_0_3,
        wasi: Wasi::V0_3,
        world: None,
    };
    built(&recipe, "asks", ["wit", "guest"])
}

/// The folder with the compiler, or why it isn't to be had.
pub(super) fn compiler() -> Result<PathBuf, String> {
    tools::installed_from_pypi("componentize-py", VERSION)
}

/// Build a module for the world of this name in that folder.
pub(super) fn built(
    recipe: &Recipe,
    module: &str,
    [folder_of_world, world]: [&str; 2],
) -> Result<PathBuf, String> {
    recipe.built(|folder, output| {
        let packages = compiler()?;
        let mut command = Command::new(python::path());
        command
            .arg(packages.join("bin/componentize-py"))
            .args([
                "-d",
                folder_of_world,
                "-w",
                world,
                "componentize",
                module,
                "-o",
            ])
            .arg(output)
            .env("PYTHONPATH", packages)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}
