//! Whether an instance can be called.

use crate::error::{Error, Result};

/// States of an instance: `Ready` <-> `Calling` while all is well; there is no way back from a call
/// that was abandoned or that trapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Life {
    /// The component waits for a call.
    #[default]
    Ready,
    /// A call is running, or was dropped before it ended.
    Calling,
    /// A call ended in a trap.
    Trapped,
}

impl Life {
    /// A call begins.
    ///
    /// # Errors
    /// [`Error::Abandoned`], [`Error::Trapped`]: an earlier call did not end, or trapped.
    pub(crate) fn begin(&mut self) -> Result<()> {
        match self {
            Life::Ready => {
                *self = Life::Calling;
                Ok(())
            }
            Life::Calling => Err(Error::Abandoned),
            Life::Trapped => Err(Error::Trapped {
                reason: "during an earlier call".to_owned(),
                backtrace: None,
            }),
        }
    }

    /// The call has ended: well, or in a trap.
    pub(crate) fn end(&mut self, well: bool) {
        *self = match well {
            true => Life::Ready,
            false => Life::Trapped,
        };
    }
}
