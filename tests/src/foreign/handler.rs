//! The component in JavaScript that handles HTTP requests.

use super::{Recipe, copy, files_in};
use crate::tools;
use crate::wasi::Wasi;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const SOURCE: &str = "javascript/handler.js";

/// What the component was written for.
pub(super) const VERSION: &str = "0.23.0";

/// The version of WASI that its engine has, and the one that is vendored. They differ in nothing that is used here, and
/// the tool wants the engine's.
const ENGINES_WASI: &str = "0.2.10";
const VENDORED_WASI: &str = "0.2.12";

pub(super) fn build() -> Result<PathBuf, String> {
    let recipe = Recipe {
        language: "handling-javascript",
        source: SOURCE,
        wasi: Wasi::V0_2,
        world: None,
    };
    recipe.built(|folder, output| {
        let packages = tools::installed_from_npm("@bytecodealliance/componentize-js", VERSION)?;
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("components/wit");
        copy(&wit.join("handler.wit"), &folder.join("wit/world.wit"))?;
        copy(
            &wit.join("http/http.wit"),
            &folder.join("wit/deps/http.wit"),
        )?;
        for place in ["wit", "wit/deps"] {
            for file in files_in(&folder.join(place))? {
                lower(&file)?;
            }
        }
        let mut command = Command::new(packages.join("node_modules/.bin/componentize-js"));
        command
            .args([
                "handler.js",
                "--wit",
                "wit",
                "--world-name",
                "handler",
                "-o",
            ])
            .arg(output)
            .current_dir(folder);
        tools::run(&mut command).map(drop)
    })
}

/// Have a file speak of the engine's version of WASI.
fn lower(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file);
    let text = text.map(|text| text.replace(VENDORED_WASI, ENGINES_WASI));
    text.and_then(|text| fs::write(file, text))
        .map_err(|error| format!("{} can't be changed: {error}", file.display()))
}
