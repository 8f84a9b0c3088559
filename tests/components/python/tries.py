"""Some of the attempts of ../tries, as a Python program makes them: with Python's own sockets.

A line for each attempt: `ok` and the details, or the name of the error. Attempts are separated by the
word `then`.
"""

# Python reads this when it first looks a name up, and finds it only when it is part of the component.
import asyncio
import encodings.idna
import errno
import socket
import sys
import urllib.error
import urllib.request

from wit_world import exports


def resolve(name):
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return " ".join(address[0] for *_, address in found)


def ask(connection):
    with connection:
        connection.sendall(b"ping")
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while received := connection.recv(4096):
            answer += received
    return answer.decode()


def connect(address):
    return ask(socket.create_connection(parsed(address)))


def connect_name(name, port):
    return ask(socket.create_connection((name, int(port))))


def listen(address, count):
    with socket.create_server(parsed(address)) as server:
        print("listening on", shown(server.getsockname()), flush=True)
        for _ in range(int(count)):
            connection, client = server.accept()
            print("accepted", shown(client), flush=True)
            with connection:
                connection.sendall(connection.recv(4096))
    return count


def serve(address, count):
    """As listen, and a client that breaks off isn't served, and no reason not to serve the next."""
    served = 0
    with socket.create_server(parsed(address)) as server:
        print("listening on", shown(server.getsockname()), flush=True)
        while served < int(count):
            connection, client = server.accept()
            print("accepted", shown(client), flush=True)
            with connection:
                try:
                    if message := connection.recv(4096):
                        connection.sendall(message)
                        served += 1
                except OSError:
                    pass
    return count


def udp_ask(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"ping", parsed(address))
        return peer.recv(4096).decode()


def udp_serve(address, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(parsed(address))
        print("listening on", shown(server.getsockname()), flush=True)
        for _ in range(int(count)):
            datagram, client = server.recvfrom(4096)
            server.sendto(datagram, client)
    return count


def udp_talk(address):
    """A socket at the address, and another one that is not bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(parsed(address))
        place = here.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"ping", place)
            ping, client = here.recvfrom(4096)
            here.sendto(b"pong", client)
            pong = other.recv(4096)
    return f"{shown(place)} {ping.decode()} {pong.decode()}"


def asyncio_connect(address):
    """An event loop, and one connection."""

    async def main():
        reader, writer = await asyncio.open_connection(*parsed(address))
        writer.write(b"ping")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer.decode()

    return asyncio.run(main())


def asyncio_threads():
    """An event loop that is woken through its own pair of sockets."""

    async def main():
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        # What another thread would do.
        loop.call_soon(loop.call_soon_threadsafe, woken.set)
        await woken.wait()
        await asyncio.sleep(0.001)
        return "woken"

    return asyncio.run(main())


async def echo(reader, writer):
    """What a server of asyncio's does with a connection."""
    writer.write(await reader.read())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def asyncio_talk(address, count):
    """A server, and so many clients of it at the same time, in one event loop."""

    async def ask(place, number):
        reader, writer = await asyncio.open_connection(*place)
        writer.write(b"ping %d" % number)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.decode()

    async def main():
        async with await asyncio.start_server(echo, *parsed(address)) as server:
            place = server.sockets[0].getsockname()
            print("listening on", shown(place), flush=True)
            asked = (ask(place, number) for number in range(int(count)))
            return ", ".join(await asyncio.gather(*asked))

    return asyncio.run(main())


def asyncio_serve(address, count):
    """A server for so many clients, which are others."""

    async def main():
        remaining = int(count)
        done = asyncio.Event()

        async def serve(reader, writer):
            nonlocal remaining
            await echo(reader, writer)
            remaining -= 1
            if remaining == 0:
                done.set()

        async with await asyncio.start_server(serve, *parsed(address)) as server:
            print("listening on", shown(server.sockets[0].getsockname()), flush=True)
            await done.wait()
        return count

    return asyncio.run(main())


def fetch(url):
    """An HTTP request of Python's own library, over a socket."""
    try:
        with urllib.request.urlopen(url) as response:
            return f"{response.status} {response.read().decode().strip()}"
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError as error:
        # The error of the socket or of the name.
        raise error.reason


def talk(address):
    """A listener, and its own client."""
    with socket.create_server(parsed(address)) as server:
        place = server.getsockname()
        with socket.create_connection(place) as client:
            connection, peer = server.accept()
            with connection:
                assert peer == client.getsockname(), (peer, client.getsockname())
                assert connection.getsockname() == client.getpeername() == place
                client.sendall(b"ping")
                client.shutdown(socket.SHUT_WR)
                heard = connection.recv(4096) + connection.recv(4096)
                connection.sendall(b"pong")
            return f"{shown(place)} {heard.decode()} {client.recv(4096).decode()}"


def parsed(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def shown(address):
    return f"{address[0]}:{address[1]}"


ATTEMPTS = {
    "resolve": resolve,
    "connect": connect,
    "connect-name": connect_name,
    "listen": listen,
    "serve": serve,
    "asyncio-connect": asyncio_connect,
    "asyncio-threads": asyncio_threads,
    "asyncio-talk": asyncio_talk,
    "asyncio-serve": asyncio_serve,
    "urllib": fetch,
    "talk": talk,
    "udp-ask": udp_ask,
    "udp-serve": udp_serve,
    "udp-talk": udp_talk,
}


def named(error):
    if isinstance(error, socket.gaierror):
        return "gaierror"
    return errno.errorcode.get(error.errno, str(error))


def attempts(words):
    attempt = []
    for word in [*words, "then"]:
        if word != "then":
            attempt.append(word)
            continue
        yield attempt
        attempt = []


class Run(exports.Run):
    def run(self):
        for name, *words in attempts(sys.argv[1:]):
            try:
                print("ok", ATTEMPTS[name](*words), flush=True)
            except OSError as error:
                print(named(error), "at", name, flush=True)
