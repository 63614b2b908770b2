"""Many clients, each with an address of its own, and servers that tell who they are."""

import select
import socket
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

PATIENCE = 20.0
REST = 4096


def address(number: int) -> str:
    """Of client `number`: from 127.16.0.0 up."""
    number += 16 << 16
    return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def children(pid: int) -> list[int]:
    """The processes that a process has started, the oldest first."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return sorted(map(int, text.split()))


class Teller:
    """A server that says its name to whoever connects or sends a datagram."""

    def __init__(self, name: bytes, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            self._socket.listen(1024)
        self.at = f"127.0.0.1:{self._socket.getsockname()[1]}"
        serve = self._greet if kind == socket.SOCK_STREAM else self._reply
        threading.Thread(target=self._until_closed, args=(serve,), daemon=True).start()

    def _until_closed(self, serve) -> None:
        try:
            while True:
                serve()
        except OSError:
            pass

    def _greet(self) -> None:
        stream, _ = self._socket.accept()
        with stream:
            stream.send(self.name)

    def _reply(self) -> None:
        _, client = self._socket.recvfrom(REST)
        self._socket.sendto(self.name, client)

    def close(self) -> None:
        self._socket.close()


def visits(
    port: int,
    clients: Iterable[str],
    kind: socket.SocketKind = socket.SOCK_STREAM,
    at_once: int = 50,
) -> Iterator[tuple[str, bytes]]:
    """One short visit by each client: who it was, and what it was told; nothing if it was cut."""
    waiting = iter(clients)
    there: dict[int, tuple[str, socket.socket]] = {}
    with select.epoll() as poll:

        def come(number: int) -> None:
            for client in islice(waiting, number):
                stream = _visit(port, client, kind)
                there[stream.fileno()] = client, stream
                poll.register(stream, select.EPOLLIN)

        come(at_once)
        while there:
            events = poll.poll(PATIENCE)
            assert events, (
                f"{len(there)} clients wait in vain, such as {next(iter(there.values()))}"
            )
            for fd, _ in events:
                client, stream = there.pop(fd)
                with stream:
                    told = _told(stream)
                come(1)
                yield client, told


def _visit(port: int, client: str, kind: socket.SocketKind) -> socket.socket:
    stream = socket.socket(socket.AF_INET, kind)
    stream.bind((client, 0))
    stream.connect(("127.0.0.1", port))
    if kind == socket.SOCK_DGRAM:
        stream.send(b"?")
    return stream


def _told(stream: socket.socket) -> bytes:
    try:
        return stream.recv(REST)
    except ConnectionResetError:
        return b""
