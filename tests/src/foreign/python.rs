//! The component in Python.

use super::Recipe;
use crate::python;
use crate::tools;
use std::path::PathBuf;
use std::process::Command;

/// What the component was written for.
const VERSION: &str = "0.25.1";

pub(super) fn build() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "python",
        source: "python/tries.py",
    };
    recipe.built(|folder, output| {
        let packages = tools::installed_from_pypi("componentize-py", VERSION)?;
        let mut command = Command::new(python::path());
        command
            .arg(packages.join("bin/componentize-py"))
            .args(["-d", "wit", "-w", "guest", "componentize", "tries", "-o"])
            .arg(output)
            .env("PYTHONPATH", packages)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}
