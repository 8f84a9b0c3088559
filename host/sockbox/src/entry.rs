//! The function that a command begins with, on either version of WASI.

use crate::state::State;
use wasmtime::Store;
use wasmtime::component::InstancePre;
use wasmtime_wasi::{p2, p3};

/// A command that can be started.
#[derive(Clone)]
pub(crate) enum Entry {
    V0_2(p2::bindings::CommandPre<State>),
    V0_3(p3::bindings::CommandPre<State>),
}

impl Entry {
    /// None: the component is not a command.
    pub(crate) fn find(pre: InstancePre<State>) -> Option<Entry> {
        // A component that has both was made for both. An engine for WASI 0.2 finds only the one for that version.
        if let Ok(pre) = p3::bindings::CommandPre::new(pre.clone()) {
            return Some(Entry::V0_3(pre));
        }
        p2::bindings::CommandPre::new(pre).ok().map(Entry::V0_2)
    }

    /// Instantiate the component, and run it to its end.
    pub(crate) async fn run(&self, store: &mut Store<State>) -> wasmtime::Result<Result<(), ()>> {
        match self {
            Entry::V0_2(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                command.wasi_cli_run().call_run(store).await
            }
            Entry::V0_3(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                store
                    .run_concurrent(async move |store| command.wasi_cli_run().call_run(store).await)
                    .await?
            }
        }
    }
}
