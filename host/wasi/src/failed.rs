//! Texts of `wasi:io/error` that reveal nothing about the host.
//!
//! wasmtime-wasi gives a component the `Debug` text of the host's own error: paths of files that the
//! component was never shown are in it, and with `RUST_BACKTRACE` set the host's backtrace. Here the
//! text is that of an error made for the component ([`ToComponent`]), or the name of the error's kind.

use crate::ctx::SockboxView;
use crate::replaced::ERROR;
use std::borrow::Cow;
use std::io;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::StreamError;
use wasmtime_wasi::p2::bindings::filesystem::types as filesystem;
use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi::{p2, sockets};

/// The text of an error whose kind is unknown.
const UNKNOWN: &str = "the operation failed";

/// The most bytes of a text that a component is told: 1 KiB. A component may keep as many errors as it
/// may have resources, and a peer may have chosen the text.
const MOST: usize = 1024;

/// A failure in words that are meant for the component.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ToComponent(Cow<'static, str>);

impl ToComponent {
    /// An error with this text, cut after 1 KiB.
    pub(crate) fn error(text: impl Into<Cow<'static, str>>) -> wasmtime::Error {
        let mut text = text.into();
        if text.len() > MOST {
            let end = text.floor_char_boundary(MOST);
            text = Cow::Owned(text[..end].to_owned());
        }
        wasmtime::Error::new(ToComponent(text))
    }
}

/// Replace wasmtime-wasi's function.
pub(crate) fn add_to_linker<T: SockboxView>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.instance(ERROR.name())?.func_wrap(
        ERROR.item("[method]error.to-debug-string"),
        |mut store: StoreContextMut<'_, T>, (this,): (Resource<p2::IoError>,)| {
            let state = store.data_mut().sockbox();
            let error = state.table.get(&this)?;
            Ok((text(error).into_owned(),))
        },
    )
}

/// What a component is told of an error.
///
/// The names of kinds are those of the standard library and of wasmtime-wasi: a component that looks for
/// `ConnectionReset` finds it, whether it read or wrote.
pub(crate) fn text(error: &wasmtime::Error) -> Cow<'static, str> {
    if let Some(ToComponent(text)) = error.downcast_ref() {
        return text.clone();
    }
    let name = if let Some(error) = error.downcast_ref::<io::Error>() {
        format!("{:?}", error.kind())
    } else if let Some(error) = error.downcast_ref::<wasmtime_wasi_http::Error>() {
        // Those of bodies, which are made here.
        error.to_string()
    } else if let Some(code) = error.downcast_ref::<sockets::ErrorCode>() {
        format!("{code:?}")
    } else if let Some(code) = error.downcast_ref::<network::ErrorCode>() {
        in_camel_case(code.name())
    } else if let Some(code) = error.downcast_ref::<filesystem::ErrorCode>() {
        in_camel_case(code.name())
    } else {
        return Cow::Borrowed(UNKNOWN);
    };
    Cow::Owned(name)
}

/// Whether a stream has failed because the run has reached a limit on its bytes.
pub(crate) fn is_limit(error: &StreamError) -> bool {
    match error {
        StreamError::Closed => false,
        StreamError::LastOperationFailed(error) | StreamError::Trap(error) => {
            text(error).starts_with("LimitReached")
        }
    }
}

/// `ConnectionReset` for WASI's `connection-reset`.
fn in_camel_case(name: &str) -> String {
    name.split('-')
        .flat_map(|word| {
            let rest = word.get(1..).unwrap_or_default();
            let first = word.chars().take(1).map(|first| first.to_ascii_uppercase());
            first.chain(rest.chars())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_told_kinds_and_what_is_meant_for_it() {
        let secret = "/home/secret/file";
        let told = |error: wasmtime::Error| text(&error).into_owned();
        for (error, expected) in [
            (
                io::Error::new(io::ErrorKind::NotFound, secret).into(),
                "NotFound",
            ),
            (
                io::Error::from(io::ErrorKind::ConnectionReset).into(),
                "ConnectionReset",
            ),
            (
                sockets::ErrorCode::ConnectionReset.into(),
                "ConnectionReset",
            ),
            (
                wasmtime::Error::from(network::ErrorCode::ConnectionReset).context(secret),
                "ConnectionReset",
            ),
            (wasmtime::format_err!("{secret}"), UNKNOWN),
            (wasmtime::Error::msg("reason").context(secret), UNKNOWN),
            (ToComponent::error("reason").context(secret), "reason"),
        ] {
            assert_eq!(told(error), expected);
        }
    }

    #[test]
    fn a_text_that_a_peer_chose_is_cut() {
        let error = ToComponent::error("ä".repeat(MOST));
        assert_eq!(text(&error), "ä".repeat(MOST / 2));
        assert!(ToComponent::error("a".repeat(MOST)).to_string().len() == MOST);
    }
}
