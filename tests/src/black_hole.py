# Runs a program on a machine of its own, so to say, on whose network packets vanish: one end of a pair of
# Ethernet devices is up, and its neighbour is a station that isn't there.
#
# To be started in a fresh user, mount and network namespace. Arguments: the file for what the web server
# is asked, the program, the program's arguments. The web server listens on port 80 of every address that
# is this machine's:
#
#   203.0.113.1, 2001:db8::1    the machine itself
#   203.0.113.2, 2001:db8::2    the black holes
#   six-first.example           2001:db8::2, 203.0.113.1
#   nowhere.example             2001:db8::2, 203.0.113.2
#   any other name              the only name server is at 203.0.113.2
#
# Its pages say `hello`; but `/to?URL` is a redirect to that URL.
#
# Exits with 77, and says why, if there can be no such network.
import http.server
import os
import select
import socket
import socketserver
import subprocess
import sys
import tempfile

asked, program = sys.argv[1], sys.argv[2:]

SETUP = """
link set lo up
link add hole type veth peer name beyond
link set hole up
link set beyond up
addr add 203.0.113.1/24 dev hole
addr add 2001:db8::1/64 dev hole nodad
neigh add 203.0.113.2 lladdr 02:00:00:00:00:02 dev hole nud permanent
neigh add 2001:db8::2 lladdr 02:00:00:00:00:02 dev hole nud permanent
"""
HOSTS = """
127.0.0.1 localhost
::1 localhost
2001:db8::2 six-first.example nowhere.example
203.0.113.1 six-first.example
203.0.113.2 nowhere.example
"""


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(asked, "a") as log:
            print(self.connection.getsockname()[0].removeprefix("::ffff:"), file=log)
        _, redirects, location = self.path.partition("/to?")
        self.send_response(302 if redirects else 200)
        if redirects:
            self.send_header("Location", location)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_):
        pass


# Not `HTTPServer`: that one asks a name server who it is.
class Server(socketserver.TCPServer):
    address_family = socket.AF_INET6


try:
    subprocess.run(["ip", "-batch", "-"], input=SETUP.encode(), check=True)
    for path, content in [("/etc/hosts", HOSTS), ("/etc/resolv.conf", "nameserver 203.0.113.2\n")]:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(content)
            file.flush()
            subprocess.run(["mount", "--bind", file.name, path], check=True)
    server = Server(("::", 80), Answer)
except (OSError, subprocess.CalledProcessError) as error:
    print("no black hole here:", error, file=sys.stderr)
    sys.exit(77)

# The program has the pipe's other end: it closes when the program ends, however it does.
ended, held = os.pipe()
os.set_inheritable(held, True)
if os.fork() != 0:
    server.server_close()
    os.execv(program[0], program)
os.close(held)
while ended not in select.select([server, ended], [], [])[0]:
    server.handle_request()
