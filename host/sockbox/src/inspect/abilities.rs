//! From imported functions to what a component could do with them, and which grant that takes.

use super::read::{Interface, Reading, is_wasi_0_2};
use crate::wasi_version::is_0_3;
use std::collections::BTreeMap;
use std::fmt;

/// Something that a component could do, if it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// What it could do.
    pub ability: Ability,
    /// Whether the functions for it are imported. If not, only the interface is imported, in an
    /// unknown version, and the ability is assumed from its name.
    pub certain: bool,
}

/// What components can do outside of their own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ability {
    /// Look up the addresses of names.
    ResolveNames,
    /// Open TCP connections.
    ConnectTcp,
    /// Listen for TCP connections, and accept them.
    ListenTcp,
    /// Send UDP datagrams.
    SendUdp,
    /// Receive UDP datagrams.
    ReceiveUdp,
    /// Read files.
    ReadFiles,
    /// Make, change and remove files.
    ChangeFiles,
    /// Read the variables of the environment.
    ReadEnvironment,
    /// Read its arguments.
    ReadArguments,
    /// Read standard input.
    ReadStdin,
    /// Write to standard output.
    WriteStdout,
    /// Write to standard error.
    WriteStderr,
    /// Read the time, or measure durations.
    ReadClocks,
    /// Wait for a time.
    Sleep,
    /// Use random numbers.
    UseRandom,
    /// Send HTTP requests through the host.
    SendHttp,
}

impl Ability {
    /// A stable identifier for programs.
    pub fn id(&self) -> &'static str {
        match self {
            Ability::ResolveNames => "resolve-names",
            Ability::ConnectTcp => "connect-tcp",
            Ability::ListenTcp => "listen-tcp",
            Ability::SendUdp => "send-udp",
            Ability::ReceiveUdp => "receive-udp",
            Ability::ReadFiles => "read-files",
            Ability::ChangeFiles => "change-files",
            Ability::ReadEnvironment => "read-environment",
            Ability::ReadArguments => "read-arguments",
            Ability::ReadStdin => "read-stdin",
            Ability::WriteStdout => "write-stdout",
            Ability::WriteStderr => "write-stderr",
            Ability::ReadClocks => "read-clocks",
            Ability::Sleep => "sleep",
            Ability::UseRandom => "use-random",
            Ability::SendHttp => "send-http",
        }
    }

    /// The grants for it. Empty if it needs no grant, or if no grant exists for it.
    pub fn grants(&self) -> &'static [Grant] {
        match self {
            Ability::ResolveNames => &[Grant::Resolve],
            Ability::ConnectTcp => &[Grant::Connect],
            Ability::ListenTcp => &[Grant::Listen, Grant::Accept],
            Ability::SendUdp => &[Grant::UdpSend, Grant::UdpBind],
            Ability::ReceiveUdp => &[Grant::UdpBind],
            Ability::ReadFiles | Ability::ChangeFiles => &[Grant::Dir],
            Ability::ReadEnvironment => &[Grant::Env],
            Ability::SendHttp => &[Grant::Http, Grant::Connect],
            Ability::ReadArguments
            | Ability::ReadStdin
            | Ability::WriteStdout
            | Ability::WriteStderr
            | Ability::ReadClocks
            | Ability::Sleep
            | Ability::UseRandom => &[],
        }
    }
}

impl fmt::Display for Ability {
    /// A text that follows "it can".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ability::ResolveNames => "resolve names",
            Ability::ConnectTcp => "open TCP connections",
            Ability::ListenTcp => "listen for TCP connections",
            Ability::SendUdp => "send UDP datagrams",
            Ability::ReceiveUdp => "receive UDP datagrams",
            Ability::ReadFiles => "read the files you map",
            Ability::ChangeFiles => "change the files you map",
            Ability::ReadEnvironment => "read the environment variables you pass",
            Ability::ReadArguments => "read its arguments",
            Ability::ReadStdin => "read standard input",
            Ability::WriteStdout => "write to standard output",
            Ability::WriteStderr => "write to standard error",
            Ability::ReadClocks => "read clocks",
            Ability::Sleep => "wait for a time",
            Ability::UseRandom => "use random numbers",
            Ability::SendHttp => "send HTTP requests",
        })
    }
}

/// A way to grant something to `sockbox run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Grant {
    /// Lookups of a name.
    Resolve,
    /// Connections to somewhere.
    Connect,
    /// Listening on an address.
    Listen,
    /// Connections from somewhere.
    Accept,
    /// Datagrams to somewhere.
    UdpSend,
    /// Datagrams at an address.
    UdpBind,
    /// A folder.
    Dir,
    /// A variable of the environment.
    Env,
    /// HTTP requests to somewhere.
    Http,
}

impl Grant {
    /// The key of a policy file that grants it.
    pub fn key(&self) -> &'static str {
        match self {
            Grant::Resolve => "allow-resolve",
            Grant::Connect => "allow-connect",
            Grant::Listen => "allow-listen",
            Grant::Accept => "allow-accept",
            Grant::UdpSend => "allow-udp-send",
            Grant::UdpBind => "allow-udp-bind",
            Grant::Dir => "dir",
            Grant::Env => "env",
            Grant::Http => "allow-http",
        }
    }
}

/// One of these functions of this interface.
type AnyOf = (&'static str, &'static [&'static str]);

/// A version of WASI whose functions are known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wasi {
    V0_2,
    V0_3,
}

/// What an ability needs: one function of each line. If a line is missing, the others can't be used,
/// because nothing provides the socket, the network or the folder that they take.
type Rule = (Ability, Wasi, &'static [AnyOf]);

const RULES: &[Rule] = &[
    (
        Ability::ResolveNames,
        Wasi::V0_2,
        &[
            NETWORK,
            ("wasi:sockets/ip-name-lookup", &["resolve-addresses"]),
        ],
    ),
    (
        Ability::ConnectTcp,
        Wasi::V0_2,
        &[
            NETWORK,
            TCP_SOCKET,
            ("wasi:sockets/tcp", &["[method]tcp-socket.start-connect"]),
        ],
    ),
    (
        Ability::ListenTcp,
        Wasi::V0_2,
        &[
            NETWORK,
            TCP_SOCKET,
            ("wasi:sockets/tcp", &["[method]tcp-socket.start-bind"]),
            ("wasi:sockets/tcp", &["[method]tcp-socket.start-listen"]),
        ],
    ),
    (
        Ability::SendUdp,
        Wasi::V0_2,
        &[
            UDP_SOCKET,
            UDP_STREAM,
            (
                "wasi:sockets/udp",
                &["[method]outgoing-datagram-stream.send"],
            ),
        ],
    ),
    (
        Ability::ReceiveUdp,
        Wasi::V0_2,
        &[
            UDP_SOCKET,
            UDP_STREAM,
            (
                "wasi:sockets/udp",
                &["[method]incoming-datagram-stream.receive"],
            ),
        ],
    ),
    (
        Ability::ReadFiles,
        Wasi::V0_2,
        &[
            PREOPENS,
            (
                "wasi:filesystem/types",
                &[
                    "[method]descriptor.open-at",
                    "[method]descriptor.read",
                    "[method]descriptor.read-via-stream",
                    "[method]descriptor.read-directory",
                    "[method]descriptor.readlink-at",
                    "[method]descriptor.stat",
                    "[method]descriptor.stat-at",
                    "[method]descriptor.metadata-hash",
                    "[method]descriptor.metadata-hash-at",
                ],
            ),
        ],
    ),
    // Opening is included, because it may create or truncate a file.
    (
        Ability::ChangeFiles,
        Wasi::V0_2,
        &[
            PREOPENS,
            (
                "wasi:filesystem/types",
                &[
                    "[method]descriptor.open-at",
                    "[method]descriptor.write",
                    "[method]descriptor.write-via-stream",
                    "[method]descriptor.append-via-stream",
                    "[method]descriptor.set-size",
                    "[method]descriptor.set-times",
                    "[method]descriptor.set-times-at",
                    "[method]descriptor.create-directory-at",
                    "[method]descriptor.remove-directory-at",
                    "[method]descriptor.link-at",
                    "[method]descriptor.symlink-at",
                    "[method]descriptor.rename-at",
                    "[method]descriptor.unlink-file-at",
                ],
            ),
        ],
    ),
    (
        Ability::ReadEnvironment,
        Wasi::V0_2,
        &[("wasi:cli/environment", &["get-environment"])],
    ),
    (
        Ability::ReadArguments,
        Wasi::V0_2,
        &[("wasi:cli/environment", &["get-arguments"])],
    ),
    (
        Ability::ReadStdin,
        Wasi::V0_2,
        &[("wasi:cli/stdin", &["get-stdin"])],
    ),
    (
        Ability::WriteStdout,
        Wasi::V0_2,
        &[("wasi:cli/stdout", &["get-stdout"])],
    ),
    (
        Ability::WriteStderr,
        Wasi::V0_2,
        &[("wasi:cli/stderr", &["get-stderr"])],
    ),
    (
        Ability::ReadClocks,
        Wasi::V0_2,
        &[("wasi:clocks/monotonic-clock", &["now"])],
    ),
    (
        Ability::ReadClocks,
        Wasi::V0_2,
        &[("wasi:clocks/wall-clock", &["now"])],
    ),
    (
        Ability::Sleep,
        Wasi::V0_2,
        &[(
            "wasi:clocks/monotonic-clock",
            &["subscribe-instant", "subscribe-duration"],
        )],
    ),
    (
        Ability::UseRandom,
        Wasi::V0_2,
        &[(
            "wasi:random/random",
            &["get-random-bytes", "get-random-u64"],
        )],
    ),
    (
        Ability::UseRandom,
        Wasi::V0_2,
        &[(
            "wasi:random/insecure",
            &["get-insecure-random-bytes", "get-insecure-random-u64"],
        )],
    ),
    (
        Ability::UseRandom,
        Wasi::V0_2,
        &[("wasi:random/insecure-seed", &["insecure-seed"])],
    ),
    (
        Ability::SendHttp,
        Wasi::V0_2,
        &[("wasi:http/outgoing-handler", &["handle"])],
    ),
    (
        Ability::ResolveNames,
        Wasi::V0_3,
        &[("wasi:sockets/ip-name-lookup", &["resolve-addresses"])],
    ),
    (
        Ability::ConnectTcp,
        Wasi::V0_3,
        &[
            ("wasi:sockets/types", &["[static]tcp-socket.create"]),
            ("wasi:sockets/types", &["[method]tcp-socket.connect"]),
        ],
    ),
    (
        Ability::ListenTcp,
        Wasi::V0_3,
        &[
            ("wasi:sockets/types", &["[static]tcp-socket.create"]),
            ("wasi:sockets/types", &["[method]tcp-socket.listen"]),
        ],
    ),
    (
        Ability::SendUdp,
        Wasi::V0_3,
        &[
            ("wasi:sockets/types", &["[static]udp-socket.create"]),
            ("wasi:sockets/types", &["[method]udp-socket.send"]),
        ],
    ),
    (
        Ability::ReceiveUdp,
        Wasi::V0_3,
        &[
            ("wasi:sockets/types", &["[static]udp-socket.create"]),
            ("wasi:sockets/types", &["[method]udp-socket.receive"]),
        ],
    ),
    (
        Ability::ReadFiles,
        Wasi::V0_3,
        &[
            PREOPENS,
            (
                "wasi:filesystem/types",
                &[
                    "[method]descriptor.open-at",
                    "[method]descriptor.read-via-stream",
                    "[method]descriptor.read-directory",
                    "[method]descriptor.readlink-at",
                    "[method]descriptor.stat",
                    "[method]descriptor.stat-at",
                    "[method]descriptor.metadata-hash",
                    "[method]descriptor.metadata-hash-at",
                ],
            ),
        ],
    ),
    (
        Ability::ChangeFiles,
        Wasi::V0_3,
        &[
            PREOPENS,
            (
                "wasi:filesystem/types",
                &[
                    "[method]descriptor.open-at",
                    "[method]descriptor.write-via-stream",
                    "[method]descriptor.append-via-stream",
                    "[method]descriptor.set-size",
                    "[method]descriptor.set-times",
                    "[method]descriptor.set-times-at",
                    "[method]descriptor.create-directory-at",
                    "[method]descriptor.remove-directory-at",
                    "[method]descriptor.link-at",
                    "[method]descriptor.symlink-at",
                    "[method]descriptor.rename-at",
                    "[method]descriptor.unlink-file-at",
                ],
            ),
        ],
    ),
    (
        Ability::ReadEnvironment,
        Wasi::V0_3,
        &[("wasi:cli/environment", &["get-environment"])],
    ),
    (
        Ability::ReadArguments,
        Wasi::V0_3,
        &[("wasi:cli/environment", &["get-arguments"])],
    ),
    (
        Ability::ReadStdin,
        Wasi::V0_3,
        &[("wasi:cli/stdin", &["read-via-stream"])],
    ),
    (
        Ability::WriteStdout,
        Wasi::V0_3,
        &[("wasi:cli/stdout", &["write-via-stream"])],
    ),
    (
        Ability::WriteStderr,
        Wasi::V0_3,
        &[("wasi:cli/stderr", &["write-via-stream"])],
    ),
    (
        Ability::ReadClocks,
        Wasi::V0_3,
        &[("wasi:clocks/monotonic-clock", &["now"])],
    ),
    (
        Ability::ReadClocks,
        Wasi::V0_3,
        &[("wasi:clocks/system-clock", &["now"])],
    ),
    (
        Ability::Sleep,
        Wasi::V0_3,
        &[("wasi:clocks/monotonic-clock", &["wait-until", "wait-for"])],
    ),
    (
        Ability::UseRandom,
        Wasi::V0_3,
        &[(
            "wasi:random/random",
            &["get-random-bytes", "get-random-u64"],
        )],
    ),
    (
        Ability::UseRandom,
        Wasi::V0_3,
        &[(
            "wasi:random/insecure",
            &["get-insecure-random-bytes", "get-insecure-random-u64"],
        )],
    ),
    (
        Ability::UseRandom,
        Wasi::V0_3,
        &[("wasi:random/insecure-seed", &["get-insecure-seed"])],
    ),
    (
        Ability::SendHttp,
        Wasi::V0_3,
        &[("wasi:http/client", &["send"])],
    ),
];

const NETWORK: AnyOf = ("wasi:sockets/instance-network", &["instance-network"]);
const TCP_SOCKET: AnyOf = ("wasi:sockets/tcp-create-socket", &["create-tcp-socket"]);
const UDP_SOCKET: AnyOf = ("wasi:sockets/udp-create-socket", &["create-udp-socket"]);
const UDP_STREAM: AnyOf = ("wasi:sockets/udp", &["[method]udp-socket.stream"]);
const PREOPENS: AnyOf = ("wasi:filesystem/preopens", &["get-directories"]);

/// What the component could do, from what it imports.
pub(super) fn of(reading: &Reading) -> Vec<Capability> {
    let interfaces: Vec<_> = reading.interfaces().collect();
    let mut found: BTreeMap<Ability, bool> = BTreeMap::new();
    for (ability, wasi, needed) in RULES {
        let known = |any_of: &AnyOf| finding(&interfaces, *wasi, any_of);
        let all: Option<Vec<bool>> = needed.iter().map(known).collect();
        if let Some(all) = all {
            *found.entry(*ability).or_default() |= all.into_iter().all(|certain| certain);
        }
    }
    found
        .into_iter()
        .map(|(ability, certain)| Capability { ability, certain })
        .collect()
}

/// Whether one of the functions is imported: for certain, or, in a version of the interface that isn't
/// known, perhaps.
fn finding(interfaces: &[(&str, Interface<'_>)], wasi: Wasi, any_of: &AnyOf) -> Option<bool> {
    let (wanted, functions) = any_of;
    let mut perhaps = None;
    for (name, interface) in interfaces {
        if name.split('@').next() != Some(wanted) {
            continue;
        }
        match version(name) {
            Some(version) if version == wasi => {
                if functions.iter().any(|function| interface.has(function)) {
                    return Some(true);
                }
            }
            Some(_) => {}
            None => perhaps = perhaps.or(interface.names().next().map(|_| false)),
        }
    }
    perhaps
}

/// Of which version of WASI an interface is, if it is of one that is known.
fn version(name: &str) -> Option<Wasi> {
    let (interface, _) = name.split_once('@')?;
    if is_wasi_0_2(name, &format!("{interface}@")) {
        Some(Wasi::V0_2)
    } else if is_0_3(name) {
        Some(Wasi::V0_3)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The functions of an interface, from WASI's own description of it.
    fn described(wasi: Wasi, interface: &str) -> String {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");
        let folder = match wasi {
            Wasi::V0_2 => "deps",
            Wasi::V0_3 => "wasi-0.3/deps",
        };
        let (package, interface) = interface.split_once('/').unwrap();
        let package = package.strip_prefix("wasi:").unwrap();
        let file = format!("{root}/{folder}/{package}.wit");
        let text = std::fs::read_to_string(&file).unwrap();
        let start = format!("\ninterface {interface} {{");
        let (_, text) = text.split_once(&start).expect(&start);
        text.split("\n}").next().unwrap().to_owned()
    }

    #[test]
    fn every_function_is_one_of_wasis() {
        for (ability, wasi, needed) in RULES {
            for (interface, functions) in *needed {
                if interface.starts_with("wasi:http/") {
                    // sockbox does not provide it.
                    continue;
                }
                let text = described(*wasi, interface);
                for function in *functions {
                    let name = function.rsplit(['.', ']']).next().unwrap();
                    let found = [" ", " %"]
                        .iter()
                        .any(|before| text.contains(&format!("{before}{name}: ")));
                    assert!(found, "{ability:?}: {interface} has no {function}");
                }
            }
        }
    }
}
