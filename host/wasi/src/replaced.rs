//! The functions of WASI that are replaced, by interface.
//!
//! A function is replaced by defining it again, which wasmtime's linker allows for any name. After an update of
//! wasmtime the interface may have another version; the replacement would then be unused. A test therefore checks
//! that every replaced name exists in what wasmtime-wasi links.

/// An interface of WASI, with its version.
#[derive(Clone, Copy)]
pub(crate) struct Interface(&'static str);

pub(crate) const ERROR: Interface = Interface("wasi:io/error@0.2.12");
pub(crate) const POLL: Interface = Interface("wasi:io/poll@0.2.12");
pub(crate) const STREAMS: Interface = Interface("wasi:io/streams@0.2.12");
pub(crate) const FILESYSTEM: Interface = Interface("wasi:filesystem/types@0.2.12");
pub(crate) const TCP: Interface = Interface("wasi:sockets/tcp@0.2.12");
pub(crate) const TCP_CREATE: Interface = Interface("wasi:sockets/tcp-create-socket@0.2.12");
pub(crate) const UDP: Interface = Interface("wasi:sockets/udp@0.2.12");
pub(crate) const UDP_CREATE: Interface = Interface("wasi:sockets/udp-create-socket@0.2.12");
pub(crate) const HTTP_TYPES: Interface = Interface("wasi:http/types@0.2.12");
pub(crate) const HTTP_OUTGOING: Interface = Interface("wasi:http/outgoing-handler@0.2.12");
pub(crate) const HTTP_CLIENT_0_3: Interface = Interface("wasi:http/client@0.3.0");
pub(crate) const HTTP_TYPES_0_3: Interface = Interface("wasi:http/types@0.3.0");
pub(crate) const FILESYSTEM_0_3: Interface = Interface("wasi:filesystem/types@0.3.0");

impl Interface {
    /// Its name, as a linker has it.
    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// The name of a function or a resource that is replaced.
    pub(crate) fn item(self, name: &str) -> &str {
        #[cfg(test)]
        tests::note(self.0, name);
        name
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{State, engine};
    use crate::{add_to_linker_async, add_wasi_0_3_to_linker};
    use std::cell::RefCell;
    use wasmtime::component::Linker;
    use wasmtime::{Config, Engine};

    thread_local! {
        static REPLACED: RefCell<Vec<(&'static str, String)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note(interface: &'static str, name: &str) {
        REPLACED.with_borrow_mut(|replaced| replaced.push((interface, name.to_owned())));
    }

    /// What is replaced in a linker by this.
    fn replaced(
        engine: &Engine,
        add: impl Fn(&mut Linker<State>) -> wasmtime::Result<()>,
    ) -> Vec<(&'static str, String)> {
        REPLACED.take();
        add(&mut Linker::new(engine)).unwrap();
        REPLACED.take()
    }

    /// Those of the names that a linker hasn't got: each can be defined without shadowing anything.
    fn missing(
        linker: &mut Linker<State>,
        names: Vec<(&'static str, String)>,
    ) -> Vec<(&'static str, String)> {
        let mut missing = names;
        missing.retain(|(interface, name)| {
            linker.allow_shadowing(false);
            let defined = linker
                .instance(interface)
                .and_then(|mut instance| instance.func_new(name, |_, _, _, _| Ok(())));
            defined.is_ok()
        });
        missing
    }

    #[test]
    fn every_function_that_is_replaced_exists() {
        let engine = engine();
        let names = replaced(&engine, add_to_linker_async);
        assert!(names.len() > 50, "{}", names.len());
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        crate::http::add_to_linker(&mut linker).unwrap();
        assert_eq!(missing(&mut linker, names), []);

        let mut config = Config::new();
        config.concurrency_support(true);
        let engine = Engine::new(&config).unwrap();
        let names = replaced(&engine, add_wasi_0_3_to_linker);
        assert_eq!(names.len(), 15);
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p3::filesystem::add_to_linker(&mut linker).unwrap();
        crate::http::wasi_0_3::add_to_linker(&mut linker).unwrap();
        assert_eq!(missing(&mut linker, names), []);
    }
}
