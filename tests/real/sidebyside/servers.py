"""Servers that answer each piece they get with their name; while stopped they keep their port."""

import contextlib
import socket
import threading

from tests.ports import free_port

_BACKLOG = 64


class NamedServer:
    """A server of TCP that can be stopped, so that it refuses, and started again on its port."""

    def __init__(self, name, greets=False, host="127.0.0.1"):
        self.name = name
        self.got = bytearray()
        self._greets = greets
        self._streams = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port = free_port(host)
        self._listener.bind((host, self.port))  # by number, or the end of listening unbinds it
        self.start()

    def start(self):
        self._listener.listen(_BACKLOG)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        """Refuse; the port stays bound, so that nobody else gets it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.stop()
        self._listener.close()
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                self._streams.append(stream)
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream):
        with contextlib.suppress(OSError):
            if self._greets:
                stream.sendall(b"220 " + self.name.encode() + b"\r\n")
            while piece := stream.recv(65536):
                self.got += piece
                stream.sendall(self.name.encode())
            stream.shutdown(socket.SHUT_RDWR)
        stream.close()


class Silent:
    """A server whose backlog is full: who connects hears nothing."""

    def __init__(self, name):
        self.name = name
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self._listener.getsockname()[1]
        self._filling = [socket.socket() for _ in range(4)]
        for stream in self._filling:
            stream.setblocking(False)
            stream.connect_ex(("127.0.0.1", self.port))

    def close(self):
        for stream in self._filling:
            stream.close()
        self._listener.close()
