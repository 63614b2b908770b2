"""Where clients come in: the listening socket, and when not to accept."""

import _socket
import errno
import logging
import os
import socket
import stat
from dataclasses import dataclass
from typing import Final

from pen.core.address import MAPPED, Endpoint, unmapped
from pen.core.errors import AddressError
from pen.net.carrier import WHY_LEVEL
from pen.net.reactor import Reactor
from pen.net.relays import Relays
from pen.net.steering import share

logger = logging.getLogger("pen")

BREATH: Final = 0.1
"""Seconds to wait when the system has no descriptors or memory to accept with."""
STREAM: Final = int(socket.SOCK_STREAM)
AF_UNIX: Final = int(socket.AF_UNIX)
SHORTAGES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may connect to a Unix socket: the mode of its file, and the file's group."""

    mode: int
    gid: int = -1
    """-1: the group of this process."""

    def grant(self, path: str) -> None:
        """Give the file this mode and group; may raise OSError."""
        os.chown(path, -1, self.gid if self.gid >= 0 else os.getegid())
        os.chmod(path, self.mode)


def open_listener(
    endpoint: Endpoint, backlog: int, *, access: Access | None = None, shared: bool = False
) -> socket.socket:
    """Bind and listen.

    Args:
        endpoint: where; a stale socket file there (nobody listens) is replaced.
        backlog: connections the kernel may hold.
        access: to a Unix socket; None leaves it to the umask.
        shared: other sockets may have the same address (`steering`).

    Raises:
        AddressError: the address is in use or cannot be had.
    """
    listener = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        if endpoint.family == socket.AF_UNIX:
            _remove_stale(endpoint.host)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            share(listener)
        if endpoint.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(endpoint.sockaddr)
        if endpoint.family == socket.AF_UNIX and access is not None:
            access.grant(endpoint.host)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise AddressError(f"cannot listen on {endpoint}: {reason(error)}") from None
    return listener


def reason(error: OSError) -> str:
    """Why an address cannot be listened on, and what may help."""
    if error.errno == errno.EADDRINUSE:
        return "address in use; is another pen or server running there?"
    if error.errno == errno.EACCES:
        return "permission denied; ports below 1024 and some folders need root"
    return error.strerror or str(error)


def _remove_stale(path: str) -> None:
    """Remove a socket file on which nobody listens; anything else stays."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EEXIST, "the file exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # somebody listens, and is slow to accept
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def remove_socket_file(endpoint: Endpoint) -> None:
    """Remove the file of a Unix socket that is no longer listened on."""
    if endpoint.family == socket.AF_UNIX:
        try:
            os.unlink(endpoint.host)
        except OSError:
            pass


class Listener:
    """Accepts clients and hands them to the relays.

    At a limit (`Sessions.room`) it stops watching its socket, so that the kernel's
    backlog holds the clients, and goes on when room is made.
    """

    def __init__(self, bound: socket.socket, endpoint: Endpoint, relays: Relays) -> None:
        self.endpoint = endpoint
        self._socket = bound
        self._fd = bound.fileno()
        self._relays = relays
        self._reactor: Reactor = relays.reactor
        self._accept = bound._accept  # type: ignore[attr-defined]
        self._family = int(endpoint.family)
        self._budget = 1

    def start(self) -> None:
        """Begin to accept."""
        self._relays.room_made = None
        self._reactor.add(self._fd, self.on_ready)

    def on_ready(self, mask: int) -> None:  # noqa: ARG002
        """Clients are waiting."""
        relays = self._relays
        room = relays.sessions.room
        if room < 1:
            if relays.settings.debug >= WHY_LEVEL:
                logger.debug("clients wait: %s", relays.sessions.limit)
            return self._pause()
        for accepted in relays.sessions.places(min(room, self._allowance())):
            try:
                fd, peer = self._accept()
            except BlockingIOError:
                self._budget = max(1, accepted)
                return None
            except OSError as error:
                return self._accept_failed(error)
            # The plain C socket type: it has all that a relay needs, and costs less to make.
            client = _socket.socket(self._family, STREAM, 0, fd)
            if self._family == AF_UNIX:
                relays.admit(client, fd, "", 0)
            else:
                address = peer[0]
                if address.startswith(MAPPED):
                    address = unmapped(address)
                relays.admit(client, fd, address, peer[1])
        return None

    def _allowance(self) -> int:
        """How many to accept in this turn.

        An accept that finds nobody costs as much as one that does, so the number grows
        only while every turn uses all of it, up to `multi_accept`.
        """
        allowance = self._budget
        self._budget = min(2 * allowance, self._relays.settings.multi_accept)
        return allowance

    def _accept_failed(self, error: OSError) -> None:
        """The client left before it was accepted, or there are no descriptors left."""
        if error.errno not in SHORTAGES:
            return
        logger.error("cannot accept: %s; trying again in %g s", error.strerror, BREATH)
        self._pause()
        self._reactor.call_at(self._reactor.now + BREATH, self._resume)

    def _pause(self) -> None:
        self._reactor.remove(self._fd)
        self._relays.room_made = self._resume

    def _resume(self) -> None:
        if self._relays.room_made is None or self._relays.sessions.room < 1:
            return
        self._relays.room_made = None
        if self._socket.fileno() >= 0:
            self._reactor.add(self._fd, self.on_ready)

    def close(self) -> None:
        """Stop accepting."""
        self._relays.room_made = None
        self._reactor.remove(self._fd)
        self._socket.close()
