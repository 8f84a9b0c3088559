# The tutorial's client: three names, each answered, then a goodbye.
#
# Arguments: host, port. With a third one, "together", it says when it is connected and waits for a
# line on its standard input before it sends anything, so that many can be connected at once.
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM)
s.settimeout(60)
s.connect((host, port))
if sys.argv[3:] == ["together"]:
    print("connected", flush=True)
    sys.stdin.readline()
for data in [b"Michael", b"Tracy", b"Sarah"]:
    s.send(data)
    print(s.recv(1024).decode("utf-8"), flush=True)
s.send(b"exit")
s.close()
