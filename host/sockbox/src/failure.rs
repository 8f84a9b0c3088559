//! Errors of failed calls into a component.

use crate::error::Error;
use crate::limits::Limit;
use crate::reservation;
use crate::state::State;
use sockbox_printable::Line;
use sockbox_wasi::trap_limit;
use wasmtime::{FrameInfo, Store, ThrownException, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Errors of failed calls into a component.
pub(crate) fn failure<T: Send + 'static>(store: &Store<State<T>>, error: wasmtime::Error) -> Error {
    let sockbox = &store.data().sockbox;
    let (limiter, authority) = (sockbox.refusals(), sockbox.authority());
    if let Some(limit) = limiter.memory_refused() {
        authority.reached(Limit::Memory, None);
        return Error::MemoryLimit { limit };
    }
    if let Some(limit) = trap_limit(&error, limiter) {
        authority.reached(limit, None);
        return Error::Exhausted { limit };
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(backtrace);
    let thrown = error.is::<ThrownException>();
    let is_its_own = backtrace.is_some() || thrown || error.is::<Trap>() || error.is::<I32Exit>();
    if !is_its_own || limiter.memory_lacking() {
        return lacking(&error, limiter.memory_lacking());
    }
    let reason = match (
        error.downcast_ref::<Trap>(),
        error.downcast_ref::<I32Exit>(),
    ) {
        (Some(trap), _) => trap_reason(*trap),
        (None, Some(I32Exit(code))) => {
            format!("it exited with code {code} during a call")
        }
        (None, None) if thrown => "it threw an exception that nothing caught".to_owned(),
        (None, None) => error.root_cause().to_string(),
    };
    Error::Trapped { reason, backtrace }
}

/// A line for each frame, the innermost first. The names in it are those that the component gives its
/// functions.
fn backtrace(trace: &WasmBacktrace) -> String {
    let frame = |(number, frame): (usize, &FrameInfo)| {
        let module = frame.module().name().unwrap_or("<unknown>");
        let function = match frame.func_name() {
            Some(name) => name.to_owned(),
            None => format!("<wasm function {}>", frame.func_index()),
        };
        let offset = frame
            .module_offset()
            .map(|offset| format!("{offset:#8x} - "));
        let offset = offset.unwrap_or_default();
        let name = Line(format!("{module}!{function}"));
        format!("\n  {number:>3}: {offset}{name}")
    };
    let frames = trace.frames().iter().enumerate().map(frame);
    format!(
        "error while executing at wasm backtrace:{}",
        frames.collect::<String>()
    )
}

/// The error for a component that could not be started or called, or could not get granted memory, because
/// the machine lacks resources.
fn lacking(error: &wasmtime::Error, memory: bool) -> Error {
    let hint = reservation::hint();
    Error::internal(match memory {
        true => format!("the system has no more memory for the component{hint}"),
        false => format!("the component can't be started or called: {error:#}{hint}"),
    })
}

fn trap_reason(trap: Trap) -> String {
    match trap {
        // A panic in Rust, and an abort in most languages, ends in this trap.
        Trap::UnreachableCodeReached => {
            "it aborted (wasm `unreachable` instruction executed)".to_owned()
        }
        trap => {
            let text = trap.to_string();
            text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned()
        }
    }
}
