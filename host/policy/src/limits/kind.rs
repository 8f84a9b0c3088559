//! The limits one by one: their names, their units, and the texts about them.

use super::{Limits, text};
use crate::Wasi;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One of the bounds in [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::memory_bytes`].
    Memory,
    /// [`Limits::table_elements`].
    TableElements,
    /// [`Limits::instances`].
    Instances,
    /// [`Limits::instance_bytes`].
    InstanceBytes,
    /// [`Limits::component_items`].
    ComponentItems,
    /// [`Limits::compile_time`].
    CompileTime,
    /// [`Limits::compile_memory`].
    CompileMemory,
    /// [`Limits::cpu_time`].
    CpuTime,
    /// [`Limits::wall_time`].
    WallTime,
    /// [`Limits::sockets`].
    Sockets,
    /// [`Limits::connects_per_second`].
    ConnectsPerSecond,
    /// [`Limits::accepts_per_second`].
    AcceptsPerSecond,
    /// [`Limits::received_bytes`].
    ReceivedBytes,
    /// [`Limits::sent_bytes`].
    SentBytes,
    /// [`Limits::bandwidth`].
    Bandwidth,
    /// [`Limits::resolutions`].
    Resolutions,
    /// [`Limits::resolutions_at_once`].
    ResolutionsAtOnce,
    /// [`Limits::resolve_timeout`].
    ResolveTimeout,
    /// [`Limits::handles`].
    Handles,
    /// [`Limits::resources`].
    Resources,
    /// [`Limits::hostcall_bytes`].
    HostcallBytes,
    /// [`Limits::files`].
    Files,
}

/// What a limit is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Bytes, written as `1000`, `10k`, `2.5M` or `1G`, with units of 1024.
    Bytes,
    /// Seconds, written as `10` or `0.5`.
    Seconds,
    /// A number of things.
    Count,
}

/// What is known of each limit.
struct Fact {
    limit: Limit,
    key: &'static str,
    unit: Unit,
    /// The noun for what runs out when the limit is reached.
    what: &'static str,
    /// What the limit bounds, for `--help`.
    help: &'static str,
}

const FACTS: &[Fact] = &[
    Fact {
        limit: Limit::Memory,
        key: "max-memory",
        unit: Unit::Bytes,
        what: "memory",
        help: "Linear memory of the component, and what the host keeps for it",
    },
    Fact {
        limit: Limit::TableElements,
        key: "max-table-elements",
        unit: Unit::Count,
        what: "table elements",
        help: "Elements of all its tables together",
    },
    Fact {
        limit: Limit::Instances,
        key: "max-instances",
        unit: Unit::Count,
        what: "instances",
        help: "Core instances, memories and tables, each",
    },
    Fact {
        limit: Limit::InstanceBytes,
        key: "max-instance-memory",
        unit: Unit::Bytes,
        what: "memory for instances",
        help: "The host's memory for its instances: globals, functions, segments",
    },
    Fact {
        limit: Limit::ComponentItems,
        key: "max-component-items",
        unit: Unit::Count,
        what: "items to instantiate",
        help: "Items that its instantiation goes through, counted before it is compiled",
    },
    Fact {
        limit: Limit::CompileTime,
        key: "max-compile-time",
        unit: Unit::Seconds,
        what: "time to compile",
        help: "Compiling it, if it is not in the cache",
    },
    Fact {
        limit: Limit::CompileMemory,
        key: "max-compile-memory",
        unit: Unit::Bytes,
        what: "memory to compile",
        help: "Memory of the process that compiles it",
    },
    Fact {
        limit: Limit::CpuTime,
        key: "max-cpu-time",
        unit: Unit::Seconds,
        what: "CPU time",
        help: "Computing, in all",
    },
    Fact {
        limit: Limit::WallTime,
        key: "max-wall-time",
        unit: Unit::Seconds,
        what: "time",
        help: "The whole run, waiting included",
    },
    Fact {
        limit: Limit::Sockets,
        key: "max-sockets",
        unit: Unit::Count,
        what: "sockets",
        help: "Sockets open at once",
    },
    Fact {
        limit: Limit::ConnectsPerSecond,
        key: "max-connects-per-second",
        unit: Unit::Count,
        what: "attempts to connect in a second",
        help: "Attempts to connect in a second",
    },
    Fact {
        limit: Limit::AcceptsPerSecond,
        key: "max-accepts-per-second",
        unit: Unit::Count,
        what: "connections accepted in a second",
        help: "Connections accepted in a second",
    },
    Fact {
        limit: Limit::ReceivedBytes,
        key: "max-received",
        unit: Unit::Bytes,
        what: "bytes received",
        help: "Bytes received, in all",
    },
    Fact {
        limit: Limit::SentBytes,
        key: "max-sent",
        unit: Unit::Bytes,
        what: "bytes sent",
        help: "Bytes sent, in all",
    },
    Fact {
        limit: Limit::Bandwidth,
        key: "max-bandwidth",
        unit: Unit::Bytes,
        what: "bytes in a second",
        help: "Bytes in a second, sent and received each, over TCP and UDP, all sockets together; it never \
               exceeds this on average, and at any time a tenth of a second's at once, besides one \
               datagram",
    },
    Fact {
        limit: Limit::Resolutions,
        key: "max-resolutions",
        unit: Unit::Count,
        what: "resolutions",
        help: "Resolutions of names, in all",
    },
    Fact {
        limit: Limit::ResolutionsAtOnce,
        key: "max-resolutions-at-once",
        unit: Unit::Count,
        what: "resolutions at once",
        help: "Resolutions of names at once",
    },
    Fact {
        limit: Limit::ResolveTimeout,
        key: "resolve-timeout",
        unit: Unit::Seconds,
        what: "time to resolve a name",
        help: "Resolving one name",
    },
    Fact {
        limit: Limit::Handles,
        key: "max-handles",
        unit: Unit::Count,
        what: "handles",
        help: "Handles to resources",
    },
    Fact {
        limit: Limit::Resources,
        key: "max-resources",
        unit: Unit::Count,
        what: "resources",
        help: "Resources in the host: sockets, streams, waits",
    },
    Fact {
        limit: Limit::HostcallBytes,
        key: "max-hostcall-bytes",
        unit: Unit::Bytes,
        what: "bytes in one call",
        help: "Bytes handed to the host in one call",
    },
    Fact {
        limit: Limit::Files,
        key: "max-files",
        unit: Unit::Count,
        what: "files",
        help: "Files and directories open at once",
    },
];

impl Limit {
    /// Every limit, in the order of `--help`.
    pub fn all() -> impl Iterator<Item = Limit> {
        FACTS.iter().map(|fact| fact.limit)
    }

    fn fact(self) -> &'static Fact {
        // A test checks that each limit has a fact.
        FACTS
            .iter()
            .find(|fact| fact.limit == self)
            .unwrap_or(&FACTS[0])
    }

    /// Its name in a policy file, which is its flag without the dashes: `max-sockets`.
    pub fn key(self) -> &'static str {
        self.fact().key
    }

    /// The name that it had before, which is still accepted: `max-lookups` for `max-resolutions`.
    pub fn old_key(self) -> Option<&'static str> {
        match self {
            Limit::Resolutions => Some("max-lookups"),
            Limit::ResolutionsAtOnce => Some("max-lookups-at-once"),
            Limit::ResolveTimeout => Some("lookup-timeout"),
            _ => None,
        }
    }

    /// What it is counted in.
    pub fn unit(self) -> Unit {
        self.fact().unit
    }

    /// Whether it can be enforced on this version of WASI. On [`Wasi::V0_3`] five limits can't be
    /// enforced, because its sockets and streams can't be wrapped. A run with one of them is
    /// refused (`Error::InvalidOptions`).
    pub fn holds_on(self, wasi: Wasi) -> bool {
        match self {
            Limit::ConnectsPerSecond
            | Limit::AcceptsPerSecond
            | Limit::ReceivedBytes
            | Limit::SentBytes
            | Limit::Bandwidth => wasi == Wasi::V0_2,
            _ => true,
        }
    }

    /// Whether it bounds how a component is loaded, rather than what it does when it runs. These do not
    /// apply to the component that comes with sockbox, because it was compiled together with sockbox.
    pub fn is_for_loading(self) -> bool {
        matches!(
            self,
            Limit::InstanceBytes
                | Limit::ComponentItems
                | Limit::CompileTime
                | Limit::CompileMemory
        )
    }

    /// What it bounds, in a few words: `Sockets open at once`.
    pub fn help(self) -> &'static str {
        self.fact().help
    }
}

impl FromStr for Limit {
    type Err = UnknownLimit;

    /// Find a limit by its [`key`](Limit::key), or by the name that it had before.
    fn from_str(key: &str) -> Result<Limit, UnknownLimit> {
        let found = Limit::all().find(|limit| limit.key() == key || limit.old_key() == Some(key));
        found.ok_or_else(|| UnknownLimit {
            key: key.to_owned(),
        })
    }
}

impl fmt::Display for Limit {
    /// What there is no more of: `sockets`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fact().what)
    }
}

/// There is no limit of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is not a limit: there are {}", Keys)]
pub struct UnknownLimit {
    key: String,
}

struct Keys;

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = FACTS.iter().map(|fact| fact.key).collect();
        f.write_str(&keys.join(", "))
    }
}

/// A limit can't be set to this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` can't be `{text}`: expected {expected}")]
pub struct LimitError {
    key: &'static str,
    text: String,
    expected: String,
}

/// A field of [`Limits`], to be set.
enum Field<'a> {
    Bytes64(&'a mut u64),
    Bytes(&'a mut usize),
    Count64(&'a mut u64),
    Count(&'a mut usize),
    Time(&'a mut Duration),
    MaybeBytes(&'a mut Option<u64>),
    MaybeCount(&'a mut Option<u64>),
    MaybeRate(&'a mut Option<u32>),
    MaybeTime(&'a mut Option<Duration>),
}

impl Limits {
    /// The first limit that is set and can't be enforced on this version of WASI.
    pub fn not_held_on(&self, wasi: Wasi) -> Option<Limit> {
        let default = Limits::default();
        Limit::all()
            .find(|limit| !limit.holds_on(wasi) && self.value(*limit) != default.value(*limit))
    }

    /// Set a limit to what a flag or a policy file says: a number in the limit's [`Unit`], or `none`
    /// where there can be no bound.
    ///
    /// # Errors
    /// It isn't such a number.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::limits::{Limit, Limits};
    ///
    /// let mut limits = Limits::default();
    /// limits.set(Limit::Memory, "16M")?;
    /// limits.set("max-wall-time".parse()?, "2.5")?;
    /// assert_eq!(limits.memory_bytes, 16 * 1024 * 1024);
    /// assert!(limits.set(Limit::Sockets, "many").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set(&mut self, limit: Limit, value: &str) -> Result<(), LimitError> {
        let error = |expected: String| LimitError {
            key: limit.key(),
            text: value.to_owned(),
            expected,
        };
        let or_none = |expected: String| error(format!("{expected}, or none"));
        let none = value == "none";
        match self.field(limit) {
            Field::Bytes64(field) => *field = text::size(value).map_err(error)?,
            Field::Bytes(field) => {
                let bytes = text::size(value).map_err(error)?;
                *field = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            Field::Count64(field) => *field = text::count(value).map_err(error)?,
            Field::Count(field) => *field = text::count(value).map_err(error)?,
            Field::Time(field) => *field = text::seconds(value).map_err(error)?,
            Field::MaybeBytes(field) if none => *field = None,
            Field::MaybeCount(field) if none => *field = None,
            Field::MaybeRate(field) if none => *field = None,
            Field::MaybeTime(field) if none => *field = None,
            Field::MaybeBytes(field) => *field = Some(text::size(value).map_err(or_none)?),
            Field::MaybeCount(field) => *field = Some(text::count(value).map_err(or_none)?),
            Field::MaybeRate(field) => *field = Some(text::count(value).map_err(or_none)?),
            Field::MaybeTime(field) => *field = Some(text::seconds(value).map_err(or_none)?),
        }
        Ok(())
    }

    fn field(&mut self, limit: Limit) -> Field<'_> {
        match limit {
            Limit::Memory => Field::Bytes64(&mut self.memory_bytes),
            Limit::TableElements => Field::Count64(&mut self.table_elements),
            Limit::Instances => Field::Count(&mut self.instances),
            Limit::InstanceBytes => Field::Bytes64(&mut self.instance_bytes),
            Limit::ComponentItems => Field::Count64(&mut self.component_items),
            Limit::CompileTime => Field::Time(&mut self.compile_time),
            Limit::CompileMemory => Field::Bytes64(&mut self.compile_memory),
            Limit::CpuTime => Field::MaybeTime(&mut self.cpu_time),
            Limit::WallTime => Field::MaybeTime(&mut self.wall_time),
            Limit::Sockets => Field::Count(&mut self.sockets),
            Limit::ConnectsPerSecond => Field::MaybeRate(&mut self.connects_per_second),
            Limit::AcceptsPerSecond => Field::MaybeRate(&mut self.accepts_per_second),
            Limit::ReceivedBytes => Field::MaybeBytes(&mut self.received_bytes),
            Limit::SentBytes => Field::MaybeBytes(&mut self.sent_bytes),
            Limit::Bandwidth => Field::MaybeBytes(&mut self.bandwidth),
            Limit::Resolutions => Field::MaybeCount(&mut self.resolutions),
            Limit::ResolutionsAtOnce => Field::Count(&mut self.resolutions_at_once),
            Limit::ResolveTimeout => Field::Time(&mut self.resolve_timeout),
            Limit::Handles => Field::Count(&mut self.handles),
            Limit::Resources => Field::Count(&mut self.resources),
            Limit::HostcallBytes => Field::Bytes(&mut self.hostcall_bytes),
            Limit::Files => Field::Count(&mut self.files),
        }
    }

    /// What a limit is set to, in the form that [`Limits::set`] reads.
    pub fn value(&self, limit: Limit) -> String {
        let mut limits = self.clone();
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        match limits.field(limit) {
            Field::Bytes64(bytes) => text::of_size(*bytes),
            Field::Bytes(bytes) => text::of_size(u64::try_from(*bytes).unwrap_or(u64::MAX)),
            Field::Count64(count) => count.to_string(),
            Field::Count(count) => count.to_string(),
            Field::Time(time) => time.as_secs_f64().to_string(),
            Field::MaybeBytes(bytes) => or_none(bytes.map(text::of_size)),
            Field::MaybeCount(count) => or_none(count.map(|count| count.to_string())),
            Field::MaybeRate(rate) => or_none(rate.map(|rate| rate.to_string())),
            Field::MaybeTime(time) => or_none(time.map(|time| time.as_secs_f64().to_string())),
        }
    }
}

#[cfg(test)]
mod tests;
