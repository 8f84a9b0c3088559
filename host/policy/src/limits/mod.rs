//! What a run may use of the machine.

mod kind;
mod text;

pub use kind::{Limit, LimitError, Unit, UnknownLimit};
pub use text::{seconds, size};

use std::time::Duration;

/// Linear memory: 256 MiB.
///
/// A fetch streams the body and stays below 4 MiB. A server needs some KiB per connection: this is
/// enough for 15,000 connections at 17 KiB each. It is an upper limit; memory that the component
/// does not touch is not used.
pub const DEFAULT_MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Elements of all tables together: 1,000,000, at 8 bytes each.
///
/// A table holds the functions that are called through pointers: some hundred in our own
/// component, some ten thousand in one that brings an interpreter along.
pub const DEFAULT_TABLE_ELEMENTS: u64 = 1_000_000;

/// Core instances, memories and tables, each: 1,000.
///
/// A component has a few instances. A component that is composed of others has some dozens.
pub const DEFAULT_INSTANCES: usize = 1_000;

/// Entries of the host's resource table (sockets, streams, pollables): 400,000.
///
/// A connection takes up to six, so that 15,000 of them need 90,000; every entry costs the host
/// some hundred bytes.
pub const DEFAULT_RESOURCES: usize = 400_000;

/// Handles to resources that a component may hold: 400,000, as many as there can be resources.
pub const DEFAULT_HANDLES: usize = DEFAULT_RESOURCES;

/// Files that are reserved for the process itself when the default number of sockets is computed:
/// 32.
///
/// It needs about a dozen: standard input and output, an epoll instance, and files that it loads.
pub const RESERVED_FILES: usize = 32;

/// Files and directories that a component has open: 256, or a quarter of what the process may have open
/// where that is less.
///
/// An interpreter opens its files one after the other. A program that works on many files at once opens
/// about a hundred. The rest of the process's limit is for sockets.
pub const DEFAULT_FILES: usize = 256;

/// Sockets of a server that are not used for connections: 32, or a quarter of all if that is less.
///
/// These are listening sockets, and the sockets of clients that are being refused.
pub const RESERVED_SOCKETS: usize = 32;

/// Bytes that a component may pass in one call of the host: 128 MiB.
///
/// The host allocates a copy of the argument. Reads and writes move 64 KiB at most, but a component
/// in another language may write a file in one piece.
pub const DEFAULT_HOSTCALL_BYTES: usize = 128 * 1024 * 1024;

/// The longest that resolving one name may take: 10 seconds.
///
/// The system's resolver asks its servers several times, 5 seconds each, and has no bound itself.
pub const DEFAULT_RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Names that are resolved at once: 16. Further ones wait.
///
/// Each resolution occupies a thread of the host, even if no task waits for its answer any more.
pub const DEFAULT_RESOLUTIONS_AT_ONCE: usize = 16;

/// Bytes of the host's own memory for a component's instances: 64 MiB.
///
/// A global takes 16 bytes and a function 40, in each instance of the module that has it. An interpreter in a
/// component has some ten thousand functions, once.
pub const DEFAULT_INSTANCE_BYTES: u64 = 64 * 1024 * 1024;

/// Items that the instantiation of a component goes through: 1,000,000.
///
/// Each is some hundred bytes and a microsecond of wasmtime's compiler. A component made by the usual
/// tools has some thousand items; a hundred of them composed into one component have some hundred
/// thousand.
pub const DEFAULT_COMPONENT_ITEMS: u64 = 1_000_000;

/// The longest that compiling a component may take: 60 seconds.
///
/// A component with 20 MB of code takes some ten seconds of two processors.
pub const DEFAULT_COMPILE_TIME: Duration = Duration::from_secs(60);

/// Memory of the process that compiles a component: 2 GiB.
///
/// Compiling takes some fifty times the code's size, on each processor one function at a time.
pub const DEFAULT_COMPILE_MEMORY: u64 = 2 * 1024 * 1024 * 1024;

/// What a run may use of the machine.
///
/// # Examples
/// ```
/// use sockbox_policy::limits::Limits;
/// use std::time::Duration;
///
/// let limits = Limits::default()
///     .memory_bytes(16 * 1024 * 1024)
///     .wall_time(Some(Duration::from_secs(30)));
/// assert_eq!(limits.memory_bytes, 16 * 1024 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of linear memory, all memories together, and of what the host keeps for the
    /// component: 128 KiB for each TLS session, 64 KiB for each stream of a file, and the entries of
    /// directories that are being read. Default: [`DEFAULT_MEMORY_BYTES`]. What a socket's stream has not
    /// sent yet, 64 KiB at most, is bounded by [`Limits::sockets`] instead.
    ///
    /// Growing past it fails inside the component. If the component then traps, the error is
    /// `Error::MemoryLimit`. With 0 no component starts that has a memory.
    pub memory_bytes: u64,
    /// The most elements of all tables together. Default: [`DEFAULT_TABLE_ELEMENTS`].
    pub table_elements: u64,
    /// The most core instances, the most memories, and the most tables. Default:
    /// [`DEFAULT_INSTANCES`].
    pub instances: usize,
    /// The most bytes of the host's own memory for core instances, besides linear memory and tables:
    /// globals, functions, segments that are kept. Default: [`DEFAULT_INSTANCE_BYTES`].
    ///
    /// It is counted before the component is compiled. A component that needs more is refused with
    /// `Error::NeedsTooMuch`.
    pub instance_bytes: u64,
    /// The most items that the component's instantiation goes through: definitions, aliases, imports,
    /// arguments and exports of each component, as often as it is instantiated, and what has to be copied
    /// into instances. Default: [`DEFAULT_COMPONENT_ITEMS`]. It bounds the work of the compiler, and
    /// is counted before it begins: `Error::NeedsTooMuch`.
    pub component_items: u64,
    /// The longest that compiling the component may take. Default: [`DEFAULT_COMPILE_TIME`]. Going past
    /// it is `Error::CompileTime`. [`Limits::wall_time`] bounds it as well.
    ///
    /// It applies only if the sandbox compiles in a separate process (`SandboxBuilder::compiler`),
    /// as `sockbox run` does, because compiling on a thread of this process can't be aborted.
    pub compile_time: Duration,
    /// The most bytes of memory for compiling the component. Default: [`DEFAULT_COMPILE_MEMORY`]. Needing
    /// more is `Error::CompileMemory`. It holds where
    /// [`Limits::compile_time`] does, on Linux.
    pub compile_memory: u64,
    /// The most entries in the host's resource table. Default: [`DEFAULT_RESOURCES`]. Asking for
    /// one more ends the run: `Error::Exhausted`.
    pub resources: usize,
    /// The most handles that the component may hold. Default: [`DEFAULT_HANDLES`]. Asking for one
    /// more ends the run: `Error::Exhausted`.
    pub handles: usize,
    /// The most sockets open at once, those of TCP and UDP together. Default: as many as the process
    /// may have files open, by its own limit at the time (`ulimit -n`), less [`RESERVED_FILES`]. Asking
    /// for one more is an error of that call, and so is asking for one when the process can open no
    /// more files.
    ///
    /// On [`Wasi::V0_3`](crate::Wasi::V0_3) it bounds those that the component makes, and a server has at most
    /// as many connections as are left besides those that listen.
    pub sockets: usize,
    /// The most bytes that the component may pass in one call of the host. Default:
    /// [`DEFAULT_HOSTCALL_BYTES`]. Passing more ends the run: `Error::Exhausted`.
    pub hostcall_bytes: usize,
    /// The longest that the run may take, from the instance's start on, whether it computes or
    /// waits. Default: none, no limit. With 0 the run ends before it begins.
    pub wall_time: Option<Duration>,
    /// The longest that resolving one name may take, waiting for its turn included. Default:
    /// [`DEFAULT_RESOLVE_TIMEOUT`]. The component then gets `temporary-resolver-failure`. With 0
    /// no name can be resolved.
    pub resolve_timeout: Duration,
    /// The most resolutions under way at once. Default: [`DEFAULT_RESOLUTIONS_AT_ONCE`]. With 0 every
    /// resolution ends in its timeout.
    pub resolutions_at_once: usize,
    /// The longest that the component may compute, counted in the time that its thread spends on it
    /// and on the calls it makes of the host. Default: none, no bound. Going past it ends the run, 20
    /// milliseconds later at most: `Error::CpuTime`. With 0 it ends before it
    /// begins.
    pub cpu_time: Option<Duration>,
    /// The most attempts to connect per second, over TCP; as many may be made at once after a second
    /// without any. Default: none, no bound. One more is refused as `new-socket-limit`. With 0 none can
    /// be made.
    ///
    /// A run on [`Wasi::V0_3`](crate::Wasi::V0_3) is refused with it, as its sockets can't be wrapped.
    pub connects_per_second: Option<u32>,
    /// The most connections accepted per second; as many may be accepted at once after a second
    /// without any. Default: none, no bound. Accepting one more is refused as `new-socket-limit`;
    /// that client waits in the system's queue.
    ///
    /// A run on [`Wasi::V0_3`](crate::Wasi::V0_3) is refused with it, as its sockets can't be wrapped.
    pub accepts_per_second: Option<u32>,
    /// The most bytes that the component may receive, over TCP and UDP, all connections together.
    /// Default: none, no bound. Up to the bound all is received; receiving more is a failed operation
    /// (`last-operation-failed`, after which the stream is closed; for a datagram, which is lost,
    /// `access-denied`).
    ///
    /// A run on [`Wasi::V0_3`](crate::Wasi::V0_3) is refused with it, as its streams can't be wrapped.
    pub received_bytes: Option<u64>,
    /// The most bytes that the component may send, over TCP and UDP, all connections together.
    /// Default: none, no bound. Up to the bound all is sent; sending more is a failed operation
    /// (`last-operation-failed`, after which the stream is closed; for a datagram `access-denied`).
    ///
    /// A run on [`Wasi::V0_3`](crate::Wasi::V0_3) is refused with it, as its streams can't be wrapped.
    pub sent_bytes: Option<u64>,
    /// The most bytes per second, in each direction, over TCP and UDP, all sockets together. Default: none,
    /// no bound.
    ///
    /// In any time `t` at most `rate * t` bytes go in one direction, plus a burst. The burst is the bytes
    /// of a tenth of a second plus one datagram: a datagram of up to 64 KiB is sent or received as soon as
    /// any byte is permitted. For TCP the bytes of the streams are counted, for UDP those of the datagrams,
    /// without protocol headers. The limit only delays transfers: a socket is not ready until bytes are
    /// permitted. Meanwhile the system drops UDP datagrams for which it has no room. A component that
    /// writes more than its permit traps. With 0 nothing is transferred.
    ///
    /// A run on [`Wasi::V0_3`](crate::Wasi::V0_3) is refused with it, as its streams can't be wrapped.
    pub bandwidth: Option<u64>,
    /// The most resolutions of names, all together. Default: none, no bound. One more is refused as
    /// `temporary-resolver-failure`. An address, and a name with static addresses, needs none.
    pub resolutions: Option<u64>,
    /// The most files and directories open at once. Default: [`DEFAULT_FILES`]. Opening one more fails
    /// with `quota` (WASI 0.2 has no error code for too many open files). A file counts until the last
    /// stream of it has been dropped as well; the directories that the run is given at its start don't
    /// count.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: DEFAULT_MEMORY_BYTES,
            table_elements: DEFAULT_TABLE_ELEMENTS,
            instances: DEFAULT_INSTANCES,
            instance_bytes: DEFAULT_INSTANCE_BYTES,
            component_items: DEFAULT_COMPONENT_ITEMS,
            compile_time: DEFAULT_COMPILE_TIME,
            compile_memory: DEFAULT_COMPILE_MEMORY,
            resources: DEFAULT_RESOURCES,
            handles: DEFAULT_HANDLES,
            sockets: file_limit().saturating_sub(RESERVED_FILES),
            hostcall_bytes: DEFAULT_HOSTCALL_BYTES,
            wall_time: None,
            resolve_timeout: DEFAULT_RESOLVE_TIMEOUT,
            resolutions_at_once: DEFAULT_RESOLUTIONS_AT_ONCE,
            cpu_time: None,
            connects_per_second: None,
            accepts_per_second: None,
            received_bytes: None,
            sent_bytes: None,
            bandwidth: None,
            resolutions: None,
            files: DEFAULT_FILES.min(file_limit() / 4),
        }
    }
}

/// For each field, a builder method that sets it.
macro_rules! setters {
    ($($field:ident: $type:ty,)*) => {
        impl Limits {
            $(
                #[doc = concat!(
                    "Set [`", stringify!($field), "`](Limits#structfield.", stringify!($field), ")."
                )]
                #[must_use]
                pub fn $field(mut self, value: $type) -> Limits {
                    self.$field = value;
                    self
                }
            )*
        }
    };
}

setters! {
    memory_bytes: u64,
    table_elements: u64,
    instances: usize,
    instance_bytes: u64,
    component_items: u64,
    compile_time: Duration,
    compile_memory: u64,
    resources: usize,
    handles: usize,
    sockets: usize,
    hostcall_bytes: usize,
    wall_time: Option<Duration>,
    resolve_timeout: Duration,
    resolutions_at_once: usize,
    cpu_time: Option<Duration>,
    connects_per_second: Option<u32>,
    accepts_per_second: Option<u32>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    bandwidth: Option<u64>,
    resolutions: Option<u64>,
    files: usize,
}

impl Limits {
    /// How many connections a server may have under these limits.
    ///
    /// A connection takes a socket (of which [`RESERVED_SOCKETS`] are kept for other purposes), up to six handles
    /// and resources, and 1 to 2 KiB of memory while it is idle. Half of the memory is left for incomplete
    /// messages and for answers that clients have not accepted.
    ///
    /// # Examples
    /// ```
    /// use sockbox_policy::Limits;
    ///
    /// let mut limits = Limits::default();
    /// limits.sockets = 1000;
    /// assert_eq!(limits.connections(), 968);
    /// limits.memory_bytes = 1024 * 1024;
    /// assert_eq!(limits.connections(), 128);
    /// ```
    pub fn connections(&self) -> u32 {
        let memory = usize::try_from(self.memory_bytes / 2 / (4 * 1024)).unwrap_or(usize::MAX);
        let sockets = self.sockets - RESERVED_SOCKETS.min(self.sockets / 4);
        let connections = sockets
            .min(self.resources / 8)
            .min(self.handles / 8)
            .min(memory)
            .max(1);
        u32::try_from(connections).unwrap_or(u32::MAX)
    }
}

/// How many files the process may have open.
#[cfg(unix)]
fn file_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let files = limit.current.unwrap_or(u64::MAX);
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// Other systems limit handles only by memory.
#[cfg(not(unix))]
fn file_limit() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_documented() {
        let limits = Limits::default();
        assert_eq!(limits.memory_bytes, 268_435_456);
        assert_eq!(limits.table_elements, 1_000_000);
        assert_eq!(limits.instances, 1_000);
        assert_eq!(limits.instance_bytes, 67_108_864);
        assert_eq!(limits.component_items, 1_000_000);
        assert_eq!(limits.compile_time, Duration::from_secs(60));
        assert_eq!(limits.compile_memory, 2_147_483_648);
        assert_eq!(limits.resources, 400_000);
        assert_eq!(limits.handles, 400_000);
        assert_eq!(limits.sockets, file_limit().saturating_sub(32));
        assert_eq!(limits.hostcall_bytes, 134_217_728);
        assert_eq!(limits.wall_time, None);
        assert_eq!(limits.resolve_timeout, Duration::from_secs(10));
        assert_eq!(limits.resolutions_at_once, 16);
        assert_eq!(limits.cpu_time, None);
        assert_eq!(limits.connects_per_second, None);
        assert_eq!(limits.accepts_per_second, None);
        assert_eq!(limits.received_bytes, None);
        assert_eq!(limits.sent_bytes, None);
        assert_eq!(limits.bandwidth, None);
        assert_eq!(limits.resolutions, None);
        assert_eq!(limits.files, (file_limit() / 4).min(256));
    }

    #[test]
    fn connections_are_bounded_by_whatever_is_scarce() {
        let limits = Limits {
            sockets: usize::MAX,
            ..Limits::default()
        };
        assert_eq!(limits.connections(), 32_768);
        for (limits, expected) in [
            (
                Limits {
                    sockets: 7,
                    ..limits.clone()
                },
                6,
            ),
            (
                Limits {
                    sockets: 0,
                    ..limits.clone()
                },
                1,
            ),
            (
                Limits {
                    resources: 80,
                    ..limits.clone()
                },
                10,
            ),
            (
                Limits {
                    handles: 79,
                    ..limits.clone()
                },
                9,
            ),
            (
                Limits {
                    memory_bytes: 0,
                    ..limits.clone()
                },
                1,
            ),
        ] {
            assert_eq!(limits.connections(), expected, "{limits:?}");
        }
    }

    #[test]
    fn fifteen_thousand_connections_fit() {
        let limits = Limits {
            sockets: 20_000,
            ..Limits::default()
        };
        assert!(limits.connections() >= 15_000);
        let connections = 15_000;
        assert!(limits.memory_bytes / connections >= 16 * 1024);
        assert!(limits.resources as u64 >= connections * 6);
        assert!(limits.handles as u64 >= connections * 6);
    }
}
