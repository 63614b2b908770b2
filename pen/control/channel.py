"""The control port: connect, send one line, read the reply to its end.

Whoever stalls, sends rubbish or leaves early disturbs nobody: all of it happens by
events in the balancer's own loop, within bounds of size, number and time.
"""

import logging
import socket
import struct
from collections.abc import Callable
from typing import Final

from pen.control.registry import LINE_MAX, Reply
from pen.core.address import Endpoint, unmapped
from pen.net.listener import Access, open_listener, remove_socket_file
from pen.net.reactor import Reactor

logger = logging.getLogger("pen")

PATIENCE: Final = 60.0
"""Seconds a control connection may take, from connect to the end of the reply."""
CHANNELS_MAX: Final = 64
"""Control connections at once; the oldest gives way to a new one."""
PEERCRED: Final = struct.Struct("iII")
"""pid, uid, gid."""

Answer = Callable[[str, str, Reply], None]
"""Given a command line and who sent it, runs it and gives the reply, perhaps later."""


def _process(stream: socket.socket) -> str:
    """Who is at the other end of a Unix socket (SO_PEERCRED, unix(7))."""
    credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEERCRED.size)
    pid, uid, _ = PEERCRED.unpack(credentials)
    return f"uid {uid} pid {pid}"


class Channel:
    """One control connection."""

    def __init__(self, port: "ControlPort", stream: socket.socket, caller: str) -> None:
        self._port = port
        self._caller = caller
        self._stream = stream
        self._fd = stream.fileno()
        self._line = bytearray()
        self._reply = memoryview(b"")
        self.began = port.reactor.now
        port.reactor.add(self._fd, self._on_readable)

    def _on_readable(self, mask: int) -> None:  # noqa: ARG002
        try:
            piece = self._stream.recv(LINE_MAX)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._line += piece
        if not piece or b"\n" in piece or len(self._line) > LINE_MAX:
            self._respond()

    def _respond(self) -> None:
        line = bytes(self._line).partition(b"\n")[0]
        if not line.strip():
            self.close()
            return
        self._port.reactor.remove(self._fd)
        if len(line) > LINE_MAX:
            self._reply_with(f"error: the line is longer than {LINE_MAX} bytes\n")
        else:
            text = line.decode(errors="replace").rstrip("\r")
            self._port.answer(text, self._caller, self._reply_with)

    def _reply_with(self, reply: str) -> None:
        """The command has been run; it may have taken its time, and the caller be gone."""
        if self._stream.fileno() >= 0:
            self._reply = memoryview(reply.encode(errors="replace"))
            self._send(0)

    def _send(self, mask: int) -> None:  # noqa: ARG002
        reactor = self._port.reactor
        try:
            while self._reply:
                self._reply = self._reply[self._stream.send(self._reply) :]
            self._stream.shutdown(socket.SHUT_WR)
            if len(self._line) > LINE_MAX or self._stream.recv(LINE_MAX):
                self._discard()
                return
        except BlockingIOError:
            if self._reply:
                if self._fd not in reactor.handlers:
                    reactor.handlers[self._fd] = self._send
                    reactor.poller.watch(self._fd, read=False, write=True)
                return
        except OSError:
            pass
        self.close()

    def _discard(self) -> None:
        """Read on until the peer ends: close() with something unread takes the reply back."""
        reactor = self._port.reactor
        reactor.remove(self._fd)
        reactor.add(self._fd, self._on_surplus)

    def _on_surplus(self, mask: int) -> None:  # noqa: ARG002
        try:
            if self._stream.recv(LINE_MAX):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def abandon(self) -> None:
        """Give up after a mistake of ours."""
        self.close()

    def close(self) -> None:
        """Close; closing twice does nothing."""
        if self._stream.fileno() < 0:
            return
        reactor = self._port.reactor
        if reactor.handlers.pop(self._fd, None) is not None:
            reactor.poller.closed(self._fd)
        self._stream.close()
        self._reply = memoryview(b"")  # else its end would keep all of it
        self._port.gone(self)


class ControlPort:
    """Listens for control connections.

    Args:
        reactor: the loop.
        endpoint: where to listen.
        access: to a Unix socket.
        permits: whether an address may control; who may not is closed without a word.
        answer: runs a command line.

    Raises:
        AddressError: the address cannot be had.
    """

    def __init__(
        self,
        reactor: Reactor,
        endpoint: Endpoint,
        access: Access,
        permits: Callable[[str], bool],
        answer: Answer,
    ) -> None:
        self.reactor = reactor
        self.endpoint = endpoint
        self.answer = answer
        self._permits = permits
        self._channels: list[Channel] = []
        self._timed = False
        self._listener = open_listener(endpoint, backlog=CHANNELS_MAX, access=access)

    def start(self) -> None:
        """Begin to accept."""
        self.reactor.add(self._listener.fileno(), self._on_ready)

    def _on_ready(self, mask: int) -> None:  # noqa: ARG002
        try:
            stream, peer = self._listener.accept()
        except OSError:
            return
        address = unmapped(peer[0]) if isinstance(peer, tuple) else ""
        caller = f"{address} port {peer[1]}" if address else _process(stream)
        if not self._permits(address):
            logger.debug("control connection from %s denied", caller)
            stream.close()
            return
        stream.setblocking(False)
        if len(self._channels) >= CHANNELS_MAX:
            self._channels[0].close()
        self._channels.append(Channel(self, stream, caller))
        if not self._timed:
            self._timed = True
            self.reactor.call_at(self.reactor.now + PATIENCE, self._close_stalled)

    def _close_stalled(self) -> None:
        """Look at the oldest; one timer serves all."""
        self._timed = False
        while self._channels and self._channels[0].began + PATIENCE <= self.reactor.now:
            self._channels[0].close()
        if self._channels:
            self._timed = True
            self.reactor.call_at(self._channels[0].began + PATIENCE, self._close_stalled)

    def gone(self, channel: Channel) -> None:
        """A channel has closed itself."""
        self._channels.remove(channel)

    def close(self) -> None:
        """Stop listening and close all channels; the socket file goes too."""
        for channel in list(self._channels):
            channel.close()
        self.reactor.remove(self._listener.fileno())
        self._listener.close()
        remove_socket_file(self.endpoint)
