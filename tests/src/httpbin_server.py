# Serves httpbin on a free port of 127.0.0.1. Argument: the folder that it was installed in.
import sys

sys.path.insert(0, sys.argv[1])

from httpbin import app
from werkzeug.serving import make_server

server = make_server("127.0.0.1", 0, app, threaded=True)
print("listening on port", server.port, flush=True)
server.serve_forever()
