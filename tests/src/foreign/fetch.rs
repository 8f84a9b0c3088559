//! The component in JavaScript that fetches.

use super::Recipe;
use crate::tools;
use crate::wasi::Wasi;
use std::path::PathBuf;
use std::process::Command;

pub(super) const SOURCE: &str = "javascript/fetch.js";

/// What the component was written for.
pub(super) const VERSION: &str = "0.23.0";

pub(super) fn build() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "fetching-javascript",
        source: SOURCE,
        wasi: Wasi::V0_2,
        world: None,
    };
    recipe.built(|folder, output| {
        let mut command = Command::new(tool()?);
        command
            .args(["fetch.js", "--wit", "wit", "--world-name", "fetcher", "-o"])
            .arg(output)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}

/// The program that makes components of JavaScript with StarlingMonkey.
pub(super) fn tool() -> Result<PathBuf, String> {
    let packages = tools::installed_from_npm("@bytecodealliance/componentize-js", VERSION)?;
    Ok(packages.join("node_modules/.bin/componentize-js"))
}
