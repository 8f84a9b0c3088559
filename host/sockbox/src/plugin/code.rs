//! A plugin's code: loading it, and finding the functions that it exports.

use super::Plugin;
use crate::cache::CacheUse;
use crate::cost::Cost;
use crate::error::{Error, Result};
use crate::load::{self, link};
use crate::policy::Wasi;
use crate::problem::not_runnable;
use crate::runtime::Runtime;
use crate::sandbox::Sandbox;
use crate::setup::Setup;
use crate::wanted::while_wanted;
use crate::wasi_version;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

/// A component that is compiled.
pub(super) struct Code {
    pub(super) sandbox: Sandbox,
    pub(super) component: Component,
    /// The version of WASI that it runs on.
    pub(super) wasi: Wasi,
    /// Where it came from, for messages.
    pub(super) file: Option<PathBuf>,
    pub(super) cost: Cost,
    pub(super) cache: CacheUse,
}

/// A function that a component exports.
pub(super) struct Function {
    pub(super) index: ComponentExportIndex,
    pub(super) ty: ComponentFunc,
}

impl Sandbox {
    /// Compile a component of any world, given as a WebAssembly binary or text, and link it with what sockbox provides.
    ///
    /// What it takes is bounded as for [`Sandbox::program`], and so is the time that it takes.
    ///
    /// # Errors
    /// Those of [`Sandbox::program`], but that it may export anything. A component that imports anything but WASI is no error
    /// here: [`Plugin::with`] can offer it.
    pub fn plugin_bytes(&self, bytes: impl AsRef<[u8]>) -> Result<Plugin> {
        self.compile_plugin(bytes.as_ref(), None, &|| true)
    }

    /// Compile the component of any world in a file, as [`Sandbox::plugin_bytes`] does.
    ///
    /// # Errors
    /// [`Error::Read`]: the file can't be read; and those of [`Sandbox::plugin_bytes`].
    pub fn plugin_file(&self, file: impl AsRef<Path>) -> Result<Plugin> {
        let file = file.as_ref();
        self.compile_plugin(&load::read(file)?, Some(file), &|| true)
    }

    /// Compile a component of any world that came from `name`, for messages, as [`Sandbox::load_program`] does: on a blocking
    /// thread of the tokio runtime, so that no other task is delayed.
    ///
    /// # Errors
    /// Those of [`Sandbox::plugin_bytes`].
    ///
    /// # Cancel safety
    /// That of [`Sandbox::load_program`].
    pub async fn load_plugin(
        &self,
        name: impl Into<PathBuf>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<Plugin> {
        let (sandbox, name, bytes) = (self.clone(), name.into(), bytes.into());
        while_wanted(move |wanted| sandbox.compile_plugin(&bytes, Some(&name), wanted)).await
    }

    fn compile_plugin(
        &self,
        bytes: &[u8],
        file: Option<&Path>,
        wanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Plugin> {
        let binary = load::to_binary(bytes, file).map_err(|problem| not_runnable(file, problem))?;
        let wasi = wasi_version::of(&binary);
        let loaded = self.recorded(self.loader(wasi, wanted)?.load(&binary, file))?;
        let runtime = self.runtime(wasi)?;
        let pre = link(&runtime.engine, &runtime.linker, &loaded.component);
        Ok(Plugin {
            code: Arc::new(Code {
                sandbox: self.clone(),
                component: loaded.component,
                wasi,
                file: file.map(Path::to_owned),
                cost: loaded.cost,
                cache: loaded.cache,
            }),
            pre,
            data: Arc::new(|| ()),
            setup: Setup::new(self),
        })
    }
}

impl Code {
    pub(super) fn runtime(&self) -> Result<&Runtime> {
        self.sandbox.runtime(self.wasi)
    }

    /// Visit the functions that it exports, with the interface that each is in.
    fn each(&self, mut visit: impl FnMut(Option<&str>, &str, ComponentFunc)) {
        let engine = self.component.engine();
        for (name, export) in self.component.component_type().exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(ty) => visit(None, name, ty),
                ComponentItem::ComponentInstance(interface) => {
                    for (function, export) in interface.exports(engine) {
                        if let ComponentItem::ComponentFunc(ty) = export.ty {
                            visit(Some(name), function, ty);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The names of the functions that it exports.
    pub(super) fn functions(&self) -> Vec<String> {
        let mut functions = Vec::new();
        self.each(|interface, name, _| {
            functions.push(match interface {
                Some(interface) => format!("{interface}/{name}"),
                None => name.to_owned(),
            });
        });
        functions
    }

    /// Find a function.
    ///
    /// # Errors
    /// [`Error::NoSuchFunction`]: there is none of this name, or several.
    pub(super) fn function(&self, asked: &str) -> Result<Function> {
        let (of, name) = match asked.rsplit_once(['/', '#']) {
            Some((interface, name)) => (Some(interface), name),
            None => (None, asked),
        };
        let mut found: Vec<(Match, Option<String>, ComponentFunc)> = Vec::new();
        self.each(|interface, exported, ty| {
            if exported == name
                && let Some(matches) = Match::of(of, interface)
            {
                found.push((matches, interface.map(str::to_owned), ty));
            }
        });
        let best = found.iter().map(|(matches, ..)| *matches).min();
        let mut best = found
            .into_iter()
            .filter(|(matches, ..)| Some(*matches) == best);
        let (Some((_, interface, ty)), None) = (best.next(), best.next()) else {
            return Err(self.no_such(asked));
        };
        let component = &self.component;
        let index = match &interface {
            None => component.get_export_index(None, name),
            Some(interface) => component
                .get_export_index(None, interface.as_str())
                .and_then(|interface| component.get_export_index(Some(&interface), name)),
        };
        match index {
            Some(index) => Ok(Function { index, ty }),
            None => Err(self.no_such(asked)),
        }
    }

    fn no_such(&self, asked: &str) -> Error {
        Error::NoSuchFunction {
            name: asked.to_owned(),
            exports: self.functions(),
        }
    }
}

/// How well an interface is the one that was asked for, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// Its whole name, or no interface where none was asked for.
    Exact,
    /// Its name without the version.
    AnyVersion,
    /// The last part of its name, or any interface where none was asked for.
    LastPart,
}

impl Match {
    /// None: it is another one.
    fn of(asked: Option<&str>, interface: Option<&str>) -> Option<Match> {
        let Some(interface) = interface else {
            return asked.is_none().then_some(Match::Exact);
        };
        let Some(asked) = asked else {
            return Some(Match::LastPart);
        };
        let unversioned = interface.split('@').next().unwrap_or(interface);
        let last = unversioned.rsplit('/').next().unwrap_or(unversioned);
        if asked == interface {
            Some(Match::Exact)
        } else if asked == unversioned {
            Some(Match::AnyVersion)
        } else if asked == last {
            Some(Match::LastPart)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_asked_for_by_all_or_part_of_its_name() {
        let api = Some("a:b/api@1.0.0");
        for (asked, interface, expected) in [
            (None, None, Some(Match::Exact)),
            (None, api, Some(Match::LastPart)),
            (Some("a:b/api@1.0.0"), api, Some(Match::Exact)),
            (Some("a:b/api"), api, Some(Match::AnyVersion)),
            (Some("api"), api, Some(Match::LastPart)),
            (Some("pi"), api, None),
            (Some("b/api"), api, None),
            (Some("a:b/api@1.0"), api, None),
            (Some("api"), None, None),
        ] {
            assert_eq!(
                Match::of(asked, interface),
                expected,
                "{asked:?} {interface:?}"
            );
        }
    }
}
