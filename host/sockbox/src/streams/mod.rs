//! The standard streams of a component: discarded, inherited, captured or piped.

mod captured;
mod input;
mod output;
mod pipe;

pub use captured::Captured;
pub use input::{Input, InputPipe};
pub use output::{Output, OutputPipe};

use crate::error::Result;
use crate::output::StdioWriter;
use wasmtime_wasi::WasiCtxBuilder;

/// The standard streams of a component.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    pub(crate) stdin: Input,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

/// The writers of a component's output.
pub(crate) struct Writers([Option<StdioWriter>; 2]);

impl Streams {
    /// Give them to a component.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal): the system can't start a thread, or has no descriptor.
    pub(crate) fn give(&self, wasi: &mut WasiCtxBuilder) -> Result<Writers> {
        self.stdin.give(wasi);
        let (mut stdout, mut stderr) = (None, None);
        if let Some(opened) = self.stdout.open(StdioWriter::stdout)? {
            wasi.stdout(opened.stream);
            stdout = opened.writer;
        }
        if let Some(opened) = self.stderr.open(StdioWriter::stderr)? {
            wasi.stderr(opened.stream);
            stderr = opened.writer;
        }
        Ok(Writers([stdout, stderr]))
    }
}

impl Writers {
    /// Wait until everything is written. The component has seen write errors, if it checked for them.
    pub(crate) async fn written(&self) {
        for writer in self.0.iter().flatten() {
            let _ = writer.written().await;
        }
    }
}
