//! Components that were not written for sockbox. Their sources are in `tests/components`.

mod fetch;
mod handler;
mod javascript;
mod plugin;
mod python;
mod rust;

use crate::paths;
use crate::program::Program;
use crate::serving::Serving;
use crate::text::announce;
use crate::tools;
use crate::wasi::Wasi;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// A component that makes attempts on the network, and prints the result of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// With plain bindings of WASI. It tries everything: `tests/components/tries` has the list.
    Rust,
    /// The same attempts over WASI 0.3, and some of its own: `tests/components/tries-0-3` has the list.
    RustOn0_3,
    /// With Python's own sockets, which are those of wasi-libc. It has some of the attempts.
    Python,
    /// In Python, over WASI 0.3. Its arguments are names that it resolves, and addresses that it connects to.
    PythonOn0_3,
    /// With WASI's functions as JavaScript sees them. It has the same attempts as that in Python.
    JavaScript,
    /// In Rust, with bindings of `wasi:http`: it sends requests, which `tests/components/requests` describes.
    Requests,
    /// In Rust, over WASI 0.3: it sends requests, which `tests/components/requests-0-3` describes.
    RequestsOn0_3,
    /// In Rust, with bindings of `wasi:http`: it handles requests, as `tests/components/handler` describes.
    Handler,
    /// In JavaScript, with the `fetch` event of its engine: it handles the requests that
    /// `tests/components/javascript/handler.js` says.
    JavaScriptHandler,
    /// In JavaScript, with the `fetch` of its engine. Its arguments are URLs, or a method and a URL with a `+` between.
    Fetch,
    /// In Rust: a plugin of the example `plugins`, which `tests/components/plugin` describes.
    Plugin,
    /// A plugin of the same world in Python: it asks the peer whose address is in its task.
    PythonPlugin,
    /// A plugin of the same world in JavaScript: it fetches a page.
    JavaScriptPlugin,
}

impl Foreign {
    /// The component's file, built first if need be: that takes a minute for each language, once.
    ///
    /// # Panics
    /// When it can't be built: without the network, the first time.
    pub fn component(self) -> &'static Path {
        static RUST: OnceLock<PathBuf> = OnceLock::new();
        static RUST_ON_0_3: OnceLock<PathBuf> = OnceLock::new();
        static PYTHON: OnceLock<PathBuf> = OnceLock::new();
        static PYTHON_ON_0_3: OnceLock<PathBuf> = OnceLock::new();
        static JAVASCRIPT: OnceLock<PathBuf> = OnceLock::new();
        static REQUESTS: OnceLock<PathBuf> = OnceLock::new();
        static REQUESTS_ON_0_3: OnceLock<PathBuf> = OnceLock::new();
        static HANDLER: OnceLock<PathBuf> = OnceLock::new();
        static JAVASCRIPT_HANDLER: OnceLock<PathBuf> = OnceLock::new();
        static FETCH: OnceLock<PathBuf> = OnceLock::new();
        static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
        static PYTHON_PLUGIN: OnceLock<PathBuf> = OnceLock::new();
        static JAVASCRIPT_PLUGIN: OnceLock<PathBuf> = OnceLock::new();
        let (place, build): (_, fn() -> Result<PathBuf, String>) = match self {
            Self::Rust => (&RUST, || rust::build("sockbox-tries")),
            Self::RustOn0_3 => (&RUST_ON_0_3, || rust::build("sockbox-tries-0-3")),
            Self::Requests => (&REQUESTS, || rust::build("sockbox-requests")),
            Self::RequestsOn0_3 => (&REQUESTS_ON_0_3, || rust::build("sockbox-requests-0-3")),
            Self::Handler => (&HANDLER, || rust::build("sockbox-handler")),
            Self::JavaScriptHandler => (&JAVASCRIPT_HANDLER, handler::build),
            Self::Fetch => (&FETCH, fetch::build),
            Self::Plugin => (&PLUGIN, || rust::build("sockbox-plugin")),
            Self::PythonPlugin => (&PYTHON_PLUGIN, plugin::build_python),
            Self::JavaScriptPlugin => (&JAVASCRIPT_PLUGIN, plugin::build_javascript),
            Self::Python => (&PYTHON, python::build),
            Self::PythonOn0_3 => (&PYTHON_ON_0_3, python::build_on_0_3),
            Self::JavaScript => (&JAVASCRIPT, javascript::build),
        };
        place.get_or_init(|| {
            build().unwrap_or_else(|reason| {
                panic!("the component in {self:?} can't be built: {reason}")
            })
        })
    }
}

impl Foreign {
    /// `sockbox run` of it with these flags, and these attempts, with spaces between the words.
    pub fn run(self, flags: &[&str], attempts: &str) -> Program {
        Program::sockbox(["run"])
            .args(flags)
            .args([self.component()])
            .args(attempts.split_whitespace())
    }

    /// `sockbox run` of it as a handler of HTTP requests, on a free port of 127.0.0.1, with these flags.
    pub fn server(self, flags: &[&str]) -> Program {
        Program::sockbox(["run", "--listen-http", "127.0.0.1:0"])
            .args(flags)
            .args([self.component()])
    }

    /// The same, started and ready.
    pub fn serve(self, flags: &[&str]) -> Serving {
        Serving::started(self.server(flags), 1)
    }
}

/// A component that is built from one source file by a program for its language.
struct Recipe {
    /// Its usual name.
    language: &'static str,
    /// Its source, inside `tests/components`.
    source: &'static str,
    /// The version of WASI that it is for.
    wasi: Wasi,
    /// A file with another world, inside the workspace.
    world: Option<&'static str>,
}

impl Recipe {
    /// Build the component unless it is there and as current as what it is made of. `build` is given a
    /// folder with the source, and the WIT in `wit`, and writes the component's file there. Another world is in `world`.
    fn built(
        &self,
        build: impl FnOnce(&Path, &Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let folder = tools::folder()?;
        let component = folder.join(format!("tries-{}.wasm", self.language));
        let _lock = tools::lock(&component.with_extension("lock"))?;
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let source = tests.join("components").join(self.source);
        let (world, deps) = match self.wasi {
            Wasi::V0_2 => ("components/wit/world.wit", "../wit/deps"),
            Wasi::V0_3 => ("components/wit/wasi-0.3/world.wit", "../wit/wasi-0.3/deps"),
        };
        let (world, deps) = (tests.join(world), tests.join(deps));
        let other_world = self.world.map(|world| workspace().join(world));
        let newest_part = written(&source)
            .max(written(&world))
            .max(newest_in(&deps)?)
            .max(other_world.as_deref().and_then(written));
        if written(&component) > newest_part {
            return Ok(component);
        }
        announce(&format!("building the component in {}", self.language));
        let fresh = tempfile::tempdir_in(&folder)
            .map_err(|error| format!("no folder can be made: {error}"))?;
        let place = fresh.path();
        copy(&source, &place.join(source.file_name().unwrap_or_default()))?;
        copy(&world, &place.join("wit/world.wit"))?;
        if let Some(other) = &other_world {
            copy(other, &place.join("world/world.wit"))?;
        }
        for file in files_in(&deps)? {
            copy(
                &file,
                &place
                    .join("wit/deps")
                    .join(file.file_name().unwrap_or_default()),
            )?;
        }
        let output = place.join("component.wasm");
        build(place, &output)?;
        let rename = fs::rename(&output, &component);
        rename.map_err(|error| format!("{} can't be made: {error}", component.display()))?;
        Ok(component)
    }
}

/// When a file was written; None, which is before all else, if there is no such file.
fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn newest_in(folder: &Path) -> Result<Option<SystemTime>, String> {
    Ok(files_in(folder)?
        .iter()
        .filter_map(|file| written(file))
        .max())
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("{} can't be read: {error}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    // Folders are packages that none of these components imports.
    Ok(paths.filter(|path| path.is_file()).collect())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(from, to))
        .map(drop)
        .map_err(|error| format!("{} can't be copied: {error}", from.display()))
}

/// The workspace's folder.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder that cargo builds in.
fn target() -> PathBuf {
    paths::target_dir()
}
