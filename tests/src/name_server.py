# Runs a program on a machine of its own, so to say, whose only name server is this one: it knows no
# name, and writes down every name that it is asked for.
#
# To be started in a fresh user, mount and network namespace. Arguments: the file for the names, the
# program, the program's arguments.
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile

names, program = sys.argv[1], sys.argv[2:]

# Loopback is down at first. SIOCGIFFLAGS, SIOCSIFFLAGS; IFF_UP is 1.
ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
request = struct.pack("16sh22x", b"lo", 0)
flags = struct.unpack("16sh22x", fcntl.ioctl(ask, 0x8913, request))[1]
fcntl.ioctl(ask, 0x8914, struct.pack("16sh22x", b"lo", flags | 1))

with tempfile.NamedTemporaryFile("w") as resolver:
    resolver.write("nameserver 127.0.0.1\noptions attempts:1 timeout:5\n")
    resolver.flush()
    subprocess.run(["mount", "--bind", resolver.name, "/etc/resolv.conf"], check=True)

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))

# The program has the pipe's other end: it closes when the program ends, however it does.
ended, held = os.pipe()
os.set_inheritable(held, True)
if os.fork() != 0:
    server.close()
    os.execv(program[0], program)
os.close(held)


def name_in(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    return ".".join(labels)


with open(names, "w") as log:
    while True:
        # A query that came before the program ended is in the queue by now.
        ready, _, _ = select.select([server, ended], [], [])
        if server not in ready:
            break
        query, client = server.recvfrom(4096)
        print(name_in(query), file=log, flush=True)
        # The question as it came, and "no such name" (RCODE 3) for an answer.
        end = query.index(b"\0", 12) + 5
        server.sendto(query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:end], client)
