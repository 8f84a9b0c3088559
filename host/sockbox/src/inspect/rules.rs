//! What each ability needs: the functions of WASI that a component has to import for it.

use super::ability::Ability;

/// One of these functions of this interface.
pub(super) type AnyOf = (&'static str, &'static [&'static str]);

/// A version of WASI whose functions are known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wasi {
    V0_2,
    V0_3,
}

/// What an ability needs: one function of each line. If a line is missing, the others can't be used,
/// because nothing provides the socket, the network or the folder that they take.
pub(super) type Rule = (Ability, Wasi, &'static [AnyOf]);

pub(super) const RULES: &[Rule] = &[
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
