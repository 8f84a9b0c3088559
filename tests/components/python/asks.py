"""Over WASI 0.3: resolves the names and connects to the IPv4 addresses that its arguments are, and prints what came of it."""

import wit_world
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import environment, ip_name_lookup
from wit_world.imports.wasi_sockets_types import (
    IpAddressFamily,
    IpSocketAddress_Ipv4,
    Ipv4SocketAddress,
    TcpSocket,
)


async def ask(address: str) -> str:
    """What the peer answers to `ping`."""
    host, port = address.rsplit(":", 1)
    octets = tuple(int(part) for part in host.split("."))
    socket = TcpSocket.create(IpAddressFamily.IPV4)
    await socket.connect(IpSocketAddress_Ipv4(Ipv4SocketAddress(int(port), octets)))
    output, data = wit_world.byte_stream()
    socket.send(data)
    with output:
        await output.write_all(b"ping")
    incoming, _ = socket.receive()
    answer = b""
    while not incoming.writer_dropped:
        answer += await incoming.read(1000)
    return answer.decode()


async def resolve(name: str) -> str:
    addresses = await ip_name_lookup.resolve_addresses(name)
    return " ".join(str(address.value) for address in addresses)


class Run(exports.Run):
    async def run(self) -> None:
        for word in environment.get_arguments()[1:]:
            try:
                print("ok", await (ask(word) if ":" in word else resolve(word)))
            except Err as error:
                print(type(error.value).__name__)
