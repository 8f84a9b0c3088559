//! Components that were not written for sockbox. Their sources are in `tests/components`.

mod c;
mod fetch;
mod handler;
mod javascript;
mod plugin;
mod python;
mod rust;

use crate::clang;
use crate::paths;
use crate::program::Program;
use crate::serving::Serving;
use crate::text::{announce, skipped};
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
    /// In Rust, over WASI 0.3: it handles requests, as `tests/components/handler-0-3` describes.
    HandlerOn0_3,
    /// In JavaScript, with the `fetch` event of its engine: it handles the requests that
    /// `tests/components/javascript/handler.js` says.
    JavaScriptHandler,
    /// In JavaScript, with the `fetch` of its engine. Its arguments are URLs, or a method and a URL with a `+` between.
    Fetch,
    /// In Rust, on `wstd`. Its arguments are URLs, which it gets through `wasi:http`, and addresses, which it connects to.
    WstdClient,
    /// In Rust, on `wstd`: it handles the requests that `tests/components/wstd` describes.
    WstdHandler,
    /// In C, with the sockets of wasi-libc. It has the same attempts as that in JavaScript.
    C,
    /// In C, with `setjmp` and `longjmp`, which are exceptions of WebAssembly's. Its arguments are an address and a port.
    Jumps,
    /// In Rust: a plugin of the example `plugins`, which `tests/components/plugin` describes.
    Plugin,
    /// A plugin of the same world in Python: it asks the peer whose address is in its task.
    PythonPlugin,
    /// A plugin of the same world in JavaScript: it fetches a page.
    JavaScriptPlugin,
}

impl Foreign {
    /// Those that `sockbox run` runs: all but the plugins.
    pub const ALL: [Self; 15] = [
        Self::Rust,
        Self::RustOn0_3,
        Self::Python,
        Self::PythonOn0_3,
        Self::JavaScript,
        Self::Requests,
        Self::RequestsOn0_3,
        Self::Handler,
        Self::HandlerOn0_3,
        Self::JavaScriptHandler,
        Self::Fetch,
        Self::WstdClient,
        Self::WstdHandler,
        Self::C,
        Self::Jumps,
    ];

    /// The component's file, built first if need be: that takes a minute for each language, once.
    ///
    /// # Panics
    /// When it can't be built: without the network, the first time.
    pub fn component(self) -> &'static Path {
        const COUNT: usize = Foreign::JavaScriptPlugin as usize + 1;
        static BUILT: [OnceLock<PathBuf>; COUNT] = [const { OnceLock::new() }; COUNT];
        BUILT[self as usize].get_or_init(|| {
            self.build().unwrap_or_else(|reason| {
                panic!("the component in {self:?} can't be built: {reason}")
            })
        })
    }

    fn build(self) -> Result<PathBuf, String> {
        match self {
            Self::Rust => rust::build("sockbox-tries"),
            Self::RustOn0_3 => rust::build("sockbox-tries-0-3"),
            Self::Requests => rust::build("sockbox-requests"),
            Self::RequestsOn0_3 => rust::build("sockbox-requests-0-3"),
            Self::Handler => rust::build("sockbox-handler"),
            Self::HandlerOn0_3 => rust::build("sockbox-handler-0-3"),
            Self::WstdClient => rust::build_on_wstd("wstd-client"),
            Self::WstdHandler => rust::build_on_wstd("wstd-handler"),
            Self::JavaScriptHandler => handler::build(),
            Self::Fetch => fetch::build(),
            Self::Python => python::build(),
            Self::PythonOn0_3 => python::build_on_0_3(),
            Self::JavaScript => javascript::build(),
            Self::C => c::build(),
            Self::Jumps => c::build_with_jumps(),
            Self::Plugin => rust::build("sockbox-plugin"),
            Self::PythonPlugin => plugin::build_python(),
            Self::JavaScriptPlugin => plugin::build_javascript(),
        }
    }

    /// Whether this machine has the compiler, or can get it. Says why not on standard error, since a test that asks is
    /// about to be skipped.
    pub fn has_compiler(self) -> bool {
        let found = match self {
            Self::C | Self::Jumps => clang::clang().map(drop),
            Self::Python | Self::PythonOn0_3 => python::compiler().map(drop),
            Self::WstdClient | Self::WstdHandler => rust::fetch_wstd(),
            // Their tests are never skipped.
            _ => Ok(()),
        };
        if let Err(reason) = &found {
            skipped(&format!("no compiler for {self:?}: {reason}"));
        }
        found.is_ok()
    }

    /// Its source, in `tests/components`.
    pub fn source(self) -> &'static str {
        match self {
            Self::Rust => "tries",
            Self::RustOn0_3 => "tries-0-3",
            Self::Requests => "requests",
            Self::RequestsOn0_3 => "requests-0-3",
            Self::Handler => "handler",
            Self::HandlerOn0_3 => "handler-0-3",
            Self::WstdClient => "wstd/src/bin/client.rs",
            Self::WstdHandler => "wstd/src/bin/handler.rs",
            Self::Python => python::SOURCE,
            Self::PythonOn0_3 => python::SOURCE_ON_0_3,
            Self::JavaScript => javascript::SOURCE,
            Self::JavaScriptHandler => handler::SOURCE,
            Self::Fetch => fetch::SOURCE,
            Self::C => c::SOURCE,
            Self::Jumps => c::SOURCE_WITH_JUMPS,
            Self::Plugin => "plugin",
            Self::PythonPlugin => "python/plugin.py",
            Self::JavaScriptPlugin => "javascript/plugin.js",
        }
    }

    /// The program that makes a component of this source, and its version; for Rust the crate with the bindings of WASI.
    pub fn toolchain(self) -> String {
        let workspace = include_str!("../../../Cargo.lock");
        let own = include_str!("../../components/wstd/Cargo.lock");
        match self {
            Self::Rust => rust::toolchain_of("sockbox-tries", "wasip2", workspace),
            Self::Requests => rust::toolchain_of("sockbox-requests", "wasip2", workspace),
            Self::Handler => rust::toolchain_of("sockbox-handler", "wasip2", workspace),
            Self::RustOn0_3 => rust::toolchain_of("sockbox-tries-0-3", "wit-bindgen", workspace),
            Self::RequestsOn0_3 => {
                rust::toolchain_of("sockbox-requests-0-3", "wit-bindgen", workspace)
            }
            Self::HandlerOn0_3 => {
                rust::toolchain_of("sockbox-handler-0-3", "wit-bindgen", workspace)
            }
            Self::WstdClient | Self::WstdHandler => rust::toolchain_of("sockbox-wstd", "wstd", own),
            Self::Plugin => rust::toolchain_of("sockbox-plugin", "wit-bindgen", workspace),
            Self::Python | Self::PythonOn0_3 | Self::PythonPlugin => {
                format!("componentize-py {}", python::VERSION)
            }
            Self::JavaScript => format!("componentize-qjs {}", javascript::VERSION),
            Self::JavaScriptHandler => format!("ComponentizeJS {}", handler::VERSION),
            Self::Fetch | Self::JavaScriptPlugin => format!("ComponentizeJS {}", fetch::VERSION),
            Self::C | Self::Jumps => format!("Debian's {}", clang::PACKAGE),
        }
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
