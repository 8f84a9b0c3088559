"""A plugin of the example `plugins`, in Python: it asks the peer whose address is behind the first word of the task."""

import socket

import wit_world
from componentize_py_types import Err
from wit_world.imports import log


class WitWorld(wit_world.WitWorld):
    def run(self, task: str) -> str:
        log.line(f"{task} in Python")
        host, port = task.split()[1].rsplit(":", 1)
        try:
            with socket.socket() as peer:
                peer.connect((host, int(port)))
                peer.sendall(b"hello\n")
                return peer.makefile().readline().rstrip()
        except OSError as error:
            raise Err(f"{type(error).__name__}: {error.strerror}")
