//! Parts of the texts of errors.

use super::{Stage, TimeBound};
use crate::limits::{Limit, Unit};
use crate::network_error::ConnectFailure;
use sockbox_printable::Line;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub(super) struct Attempts<'a>(pub(super) &'a [ConnectFailure]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            attempt.fmt(f)?;
        }
        Ok(())
    }
}

pub(super) struct TooLong {
    pub(super) stage: Stage,
    pub(super) bound: TimeBound,
    pub(super) limit: Duration,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooLong { stage, limit, .. } = self;
        match self.bound {
            TimeBound::Stage => write!(f, "{stage} took longer than {limit:?}"),
            TimeBound::Total => write!(
                f,
                "{stage} took longer than {limit:?} (the limit for the whole request)"
            ),
            TimeBound::Speed => write!(f, "{stage} was too slow for {limit:?}"),
        }
    }
}

pub(super) struct Received {
    pub(super) received: u64,
    pub(super) expected: Option<u64>,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expected {
            Some(expected) => write!(f, "{} of {expected} bytes received", self.received),
            None => write!(f, "{} bytes received", self.received),
        }
    }
}

/// A number in the unit of a limit.
pub(super) struct Amount(pub(super) u64, pub(super) Limit);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Amount(number, limit) = self;
        match limit.unit() {
            Unit::Bytes => write!(f, "{number} bytes of {limit}"),
            _ => write!(f, "{number} {limit}"),
        }
    }
}

pub(super) struct In<'a>(pub(super) &'a Option<PathBuf>);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(file) => write!(f, "{}: ", Line(file.display())),
            None => Ok(()),
        }
    }
}

/// What a component exports, as a part of a sentence. A component can export any number of names of any length.
pub(super) struct Exported<'a>(pub(super) &'a [String]);

impl fmt::Display for Exported<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How many names are shown, and how many bytes of each.
        const MAX_NAMED: usize = 10;
        const MAX_NAME: usize = 200;
        let Exported(names) = self;
        if names.is_empty() {
            return f.write_str("the component exports no function");
        }
        f.write_str("the component exports ")?;
        for (index, name) in names.iter().take(MAX_NAMED).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let shown = name
                .get(..name.floor_char_boundary(MAX_NAME))
                .unwrap_or(name);
            write!(f, "{comma}`{}`", Line(shown))?;
        }
        match names.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
