"""Many datagrams by one system call, recvmmsg(2), which Python's socket module does not have.

A call for each datagram costs half of what penlogd has for a line, so this is worth ctypes. Only
the layout is told to ctypes (socket.h of Linux; the same for glibc and musl). What a call has
filled in is then read through memoryviews, several times quicker than through ctypes' attributes.
"""

import ctypes
import errno
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable

AT_ONCE = 128
"""Datagrams for one call."""

ROOM = 65536
"""Bytes, more than any UDP datagram has. Pages that none has reached take no memory."""

_NAME = 28  # bytes of a sockaddr_in6, the larger one
_REMEMBERED = 10_000

_SO_TIMESTAMPNS = 35  # Linux: each datagram comes with the time when the kernel got it
_CONTROL = 32  # bytes of a control message (16) with a timespec (16)

Taken = tuple[list[tuple[bytes, str]], list[float]]
"""Datagrams, each with its sender's address; and when each came, by the system's clock."""

Receive = Callable[[], Taken]
"""Returns datagrams that wait; none if none does."""


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p), ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int),
    )  # fmt: skip


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("len", ctypes.c_uint))


class ManyMessages:
    """Receives from one UDP socket, up to `AT_ONCE` datagrams a call.

    The kernel tells when they came, however long they waited: the join by time lives on it.

    Raises:
        OSError: The system has no recvmmsg.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._recvmmsg = _recvmmsg()
        self._fd, self._family = sock.fileno(), sock.family
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._messages = (_Message * AT_ONCE)()
        self._pieces = (_Piece * AT_ONCE)()
        room = (ctypes.c_char * (AT_ONCE * ROOM)).from_buffer(mmap.mmap(-1, AT_ONCE * ROOM))
        names = (ctypes.c_char * (AT_ONCE * _NAME))()
        control = (ctypes.c_int64 * (AT_ONCE * _CONTROL // 8))()
        for n, (message, piece) in enumerate(zip(self._messages, self._pieces, strict=True)):
            piece.base, piece.len = ctypes.addressof(room) + n * ROOM, ROOM
            message.header.name = ctypes.addressof(names) + n * _NAME
            message.header.namelen = _NAME
            message.header.iov, message.header.iovlen = ctypes.addressof(piece), 1
            message.header.control = ctypes.addressof(control) + n * _CONTROL
            message.header.controllen = _CONTROL
        self._rooms, self._names = _parts(room, ROOM), _parts(names, _NAME)
        self._lengths = (
            memoryview(self._messages)
            .cast("B")
            .cast("I")[_Message.len.offset // 4 :: ctypes.sizeof(_Message) // 4]
        )
        words = memoryview(control).cast("B").cast("q")
        self._seconds, self._nanoseconds = words[2 :: _CONTROL // 8], words[3 :: _CONTROL // 8]
        self._senders: dict[bytes, str] = {}

    def receive(self) -> Taken:
        """Return datagrams that wait; none if none does.

        Raises:
            OSError: The socket cannot be read.
        """
        count = self._recvmmsg(self._fd, self._messages, AT_ONCE, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return [], []
            raise OSError(number, os.strerror(number))
        sender_of = self._sender
        taken = [
            (room[:length].tobytes(), sender_of(name.tobytes()))
            for room, name, length in zip(
                self._rooms, self._names, self._lengths[:count].tolist(), strict=False
            )
        ]
        seconds, nanoseconds = self._seconds[:count].tolist(), self._nanoseconds[:count].tolist()
        return taken, [s + 1e-9 * ns for s, ns in zip(seconds, nanoseconds, strict=True)]

    def _sender(self, name: bytes) -> str:
        """Return the address that a sockaddr_in or sockaddr_in6 holds."""
        sender = self._senders.get(name)
        if sender is None:
            if len(self._senders) >= _REMEMBERED:
                self._senders.clear()
            packed = name[4:8] if self._family == socket.AF_INET else name[8:24]
            sender = self._senders[name] = socket.inet_ntop(self._family, packed)
        return sender


def one_by_one(sock: socket.socket) -> Receive:
    """Return what receives a datagram a call, for systems that have no other way."""

    def receive() -> Taken:
        try:
            data, sender = sock.recvfrom(ROOM)
        except BlockingIOError:
            return [], []
        return [(data, sender[0])], [time.time()]

    return receive


def receive_from(sock: socket.socket) -> Receive:
    """Return the quickest way to receive from a UDP socket that does not block."""
    try:
        return ManyMessages(sock).receive
    except OSError:
        return one_by_one(sock)


def _recvmmsg() -> Callable[..., int]:
    function = getattr(ctypes.CDLL(None, use_errno=True), "recvmmsg", None)
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != 8 or function is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return function  # type: ignore[no-any-return]


def _parts(whole: ctypes.Array[ctypes.c_char], size: int) -> list[memoryview]:
    """Return views of a buffer's parts of equal size."""
    view = memoryview(whole).cast("B")
    return [view[start : start + size] for start in range(0, len(view), size)]
