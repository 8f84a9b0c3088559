# Runs a program on a machine of its own, so to say, that takes itself for the whole internet: every address
# of both families is this machine, and the only name server is this one.
#
# To be started in a fresh user, mount and network namespace. Arguments: a file with the names, as JSON; a
# file for what was seen; the program; the program's arguments.
#
# The names are an object: each has a list of answers, a list of addresses each. The first question for it
# (of one type) gets the first answer, and so on; the last one goes on for ever. All of them may be kept for
# no time at all. There are no other names.
#
# On ports 80 and 81 of every address a server answers, over TCP and UDP, with `hello from ADDRESS:PORT`: over
# TCP when the client has sent what it has to send. Over TCP it speaks HTTP too, to who begins with `GET `: the
# same is a page then; but `/to?URL` redirects there, and `/busy` is a 503.
#
# Of all these addresses 9.8.7.6 and 2a01:1::6 are the machine's own, and 9.8.7.0/24 and 2a01:1::/64 its networks.
#
# What was seen is a line each: `name NAME`, and of every packet that begins something, `tcp ADDRESS:PORT` or
# `udp ADDRESS:PORT`, whether somebody listens there or not.
#
# Exits with 77, and says why, if there can be no such network.
import collections
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile

names_file, seen_file, program = sys.argv[1], sys.argv[2], sys.argv[3:]

PORTS = (80, 81)
SETUP = """
link set lo up
addr add 9.8.7.6/24 dev lo
addr add 2a01:1::6/64 dev lo noprefixroute
route add local 0.0.0.0/0 dev lo
route add local ::/0 dev lo
"""
ALL_PROTOCOLS, OUTGOING = 3, 4
IPV6_RECVPKTINFO, IPV6_PKTINFO, IPV6_FREEBIND = 49, 50, 78
TYPES = {1: 4, 28: 6}


def listening(kind, port):
    server = socket.socket(socket.AF_INET6, kind)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    return server


def tcp_server(port):
    server = listening(socket.SOCK_STREAM, port)
    server.listen(1024)
    return server


def udp_server(port):
    server = listening(socket.SOCK_DGRAM, port)
    server.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    # To answer from an address that no device has.
    server.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    return server


try:
    subprocess.run(["ip", "-batch", "-"], input=SETUP.encode(), check=True)
    with tempfile.NamedTemporaryFile("w") as resolver:
        resolver.write("nameserver 127.0.0.1\noptions attempts:1 timeout:5\n")
        resolver.flush()
        subprocess.run(["mount", "--bind", resolver.name, "/etc/resolv.conf"], check=True)
    name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    name_server.bind(("127.0.0.1", 53))
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    packets.bind(("lo", 0))
    packets.setblocking(False)
    tcp_servers = [tcp_server(port) for port in PORTS]
    udp_servers = [udp_server(port) for port in PORTS]
except (OSError, subprocess.CalledProcessError) as error:
    print("no internet here:", error, file=sys.stderr)
    sys.exit(77)

# The program has the pipe's other end: it closes when the program ends, however it does.
ended, held = os.pipe()
os.set_inheritable(held, True)
if os.fork() != 0:
    os.execv(program[0], program)
os.close(held)

with open(names_file) as file:
    names = json.load(file)
asked = collections.Counter()
seen = open(seen_file, "w")


def shown(host, port):
    host = ipaddress.ip_address(host)
    if host.version == 6 and host.ipv4_mapped:
        host = host.ipv4_mapped
    return f"{host}:{port}" if host.version == 4 else f"[{host}]:{port}"


def record(kind, what):
    print(kind, what, file=seen, flush=True)


def name_in(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    return ".".join(labels)


def answer_name():
    query, client = name_server.recvfrom(4096)
    name = name_in(query)
    record("name", name)
    end = query.index(b"\0", 12) + 5
    (kind,) = struct.unpack("!H", query[end - 4 : end - 2])
    answers = names.get(name)
    if answers is None:
        # No such name.
        head, found = b"\x81\x83", []
    else:
        turn = min(asked[name, kind], len(answers) - 1)
        asked[name, kind] += 1
        addresses = map(ipaddress.ip_address, answers[turn])
        head, found = b"\x81\x80", [a for a in addresses if a.version == TYPES.get(kind)]
    records = b"".join(
        # The name of the question; the type, the class IN, no time to live, the address.
        b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(a.packed)) + a.packed for a in found
    )
    counts = struct.pack("!HHHH", 1, len(found), 0, 0)
    name_server.sendto(query[:2] + head + counts + query[12:end] + records, client)


def record_packets():
    while True:
        try:
            frame, (_, protocol, direction, *_) = packets.recvfrom(65535)
        except BlockingIOError:
            return
        # On loopback each comes by twice.
        if direction != OUTGOING:
            continue
        packet = frame[14:]
        if protocol == 0x0800:
            kind, host, payload = packet[9], packet[16:20], packet[(packet[0] & 15) * 4 :]
        elif protocol == 0x86DD:
            kind, host, payload = packet[6], packet[24:40], packet[40:]
        else:
            continue
        if kind not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            continue
        source, port = struct.unpack("!HH", payload[:4])
        answers = source in PORTS or 53 in (source, port)
        # Of TCP what begins a connection: SYN without ACK.
        if kind == socket.IPPROTO_TCP and payload[13] & 0x12 == 0x02:
            record("tcp", shown(host, port))
        if kind == socket.IPPROTO_UDP and not answers:
            record("udp", shown(host, port))


def answer_datagram(server):
    _, control, _, client = server.recvmsg(65535, 1024)
    # An answer comes from the address that was asked.
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
            text = f"hello from {shown(data[:16], server.getsockname()[1])}".encode()
            server.sendmsg([text], [(level, kind, data[:16] + bytes(4))], 0, client)


def http(request, page):
    path = request.split(b" ", 2)[1].decode()
    status, head, body = "200 OK", "", page
    if path.startswith("/to?"):
        status, head, body = "302 Found", f"Location: {path[4:]}\r\n", ""
    if path == "/busy":
        status, body = "503 Service Unavailable", ""
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"


def answer_client(client):
    try:
        request = client.recv(65536)
        page = f"hello from {shown(*client.getsockname()[:2])}"
        if request and not request.startswith(b"GET "):
            return
        client.sendall((http(request, page) if request else page).encode())
    except OSError:
        # The program may have gone.
        pass
    clients.remove(client)
    client.close()


clients = []
while True:
    servers = [ended, name_server, packets, *tcp_servers, *udp_servers]
    ready, _, _ = select.select(servers + clients, [], [])
    record_packets()
    for one in ready:
        if one is name_server:
            answer_name()
        elif one in tcp_servers:
            clients.append(one.accept()[0])
        elif one in udp_servers:
            answer_datagram(one)
        elif one in clients:
            answer_client(one)
    # What came before the program ended is in a queue by now, and has been looked at.
    if ready == [ended]:
        break
