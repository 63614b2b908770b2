"""A bad network to penlogd: its connections pass, and every datagram is lost."""

import contextlib
import socket
import threading


class Dropping:
    """Stands before a port of 127.0.0.1; TCP and UDP on `port`."""

    def __init__(self, target):
        self._target = target
        self._tcp, self._udp = _both()
        self._near = []
        self.port = self._tcp.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def lost(self):
        """Whether a datagram has come, which nobody will ever get."""
        try:
            return self._udp.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._tcp.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._near.append(near)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()

    def cut(self):
        """Cut all connections; new ones pass."""
        for near in self._near:
            with contextlib.suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)
        self._near.clear()

    def close(self):
        self._tcp.shutdown(socket.SHUT_RDWR)
        for sock in (self._tcp, self._udp):
            sock.close()


def _both():
    """Sockets for TCP and UDP on one free port."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        return tcp, udp


def _pass_on(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
