"""Ask pen for its page through the control port: send one line, read until EOF (penctl(1))."""

import errno
import socket

from penstats.errors import Deadline, NoPageError
from penstats.page import LARGEST, is_whole
from penstats.settings import Control

_IS_IT_THERE = (
    "Is pen running with -C {control}? (As root it opens no control port unless given -u.)"
)
_NOT_RUNNING = (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.EHOSTUNREACH)


def ask(control: Control, deadline: Deadline) -> bytes:
    """Return pen's status page.

    Raises:
        NoPageError: 503 pen is not there, 504 it was too slow, 502 it said something else,
            500 this process may not ask it.
    """
    try:
        with _connect(control, deadline) as connection:
            connection.sendall(b"status\n")
            reply = _read_all(connection, deadline, control)
    except TimeoutError:
        raise _too_slow(control, deadline) from None
    except OSError as error:
        raise _translate(error, control) from None
    return _check(reply, control)


def _connect(control: Control, deadline: Deadline) -> socket.socket:
    if control.path:
        return _connected(socket.AF_UNIX, control.path, deadline)
    refused: OSError | None = None
    kind = socket.SOCK_STREAM
    for family, _, _, _, address in socket.getaddrinfo(control.host, control.port, type=kind):
        try:
            return _connected(family, address, deadline)
        except OSError as error:
            refused = refused or error
    raise refused or OSError(errno.EHOSTUNREACH, "no address")


def _connected(family: int, address: object, deadline: Deadline) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.settimeout(_time_left(deadline))
        connection.connect(address)  # type: ignore[arg-type]  # a path or a pair, by the family
    except BaseException:
        connection.close()
        raise
    return connection


def _read_all(connection: socket.socket, deadline: Deadline, control: Control) -> bytes:
    reply = bytearray()
    while True:
        connection.settimeout(_time_left(deadline))
        piece = connection.recv(1 << 16)
        if not piece:
            return bytes(reply)
        reply += piece
        if len(reply) > LARGEST:
            raise NoPageError(502, f"The reply from {control} is longer than {LARGEST >> 20} MiB")


def _time_left(deadline: Deadline) -> float:
    if deadline.passed():
        raise TimeoutError
    return deadline.remaining()


def _check(reply: bytes, control: Control) -> bytes:
    if not reply:
        advice = "Does its control_acl permit this host? pen closes the connections of others."
        raise NoPageError(503, f"pen at {control} closed the connection without an answer", advice)
    if not is_whole(reply):
        first = ascii(reply[:200].split(b"\n")[0].decode("utf-8", "replace"))
        advice = "Is this pen's control port? The C pen, moreover, makes no page without -w FILE."
        raise NoPageError(
            502, f"{control} did not answer with a status page but with {first}", advice
        )
    return reply


def _too_slow(control: Control, deadline: Deadline) -> NoPageError:
    problem = f"pen at {control} gave no whole answer within {deadline.seconds:g} s"
    return NoPageError(504, problem, "PENSTATS_TIMEOUT sets how long to wait.")


def _translate(error: OSError, control: Control) -> NoPageError:
    if isinstance(error, socket.gaierror):
        advice = "Correct PENSTATS_CONTROL, or make the name known."
        return NoPageError(500, f"The name {control.host!a} cannot be resolved", advice)
    if isinstance(error, PermissionError):
        advice = "The socket belongs to another user; pen's options set its mode and group."
        return NoPageError(500, f"This process may not connect to {control}", advice)
    problem = f"pen cannot be reached at {control}: {error.strerror or error}"
    status = 503 if error.errno in _NOT_RUNNING else 500
    return NoPageError(status, problem, _IS_IT_THERE.format(control=control))
