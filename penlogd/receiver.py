"""The UDP sockets: take datagrams from the kernel as fast as it has them, and nothing else."""

import errno
import socket
import struct

from penlogd.manymessages import Taken, receive_from

BUFFER = 32 << 20
"""Bytes asked for the receive buffer. This much holds a burst of 20,000 lines of any size."""

_SO_MEMINFO = 55  # Linux: nine counters of a socket, the last is how many datagrams it dropped
_SO_RCVBUFFORCE = 33  # Linux: as SO_RCVBUF, but beyond the system's limit; needs CAP_NET_ADMIN
_MEMINFO = struct.Struct("9I")


class Receiver:
    """Listens on a UDP port.

    Args:
        host: Address or name to listen on; empty for every IPv4 and IPv6 address.
        port: Port number or service name.

    Raises:
        OSError: The name does not resolve, or the address cannot be bound.
    """

    def __init__(self, host: str, port: str) -> None:
        self.sockets = _bind_all(_places(host, port))
        self._receive = {sock: receive_from(sock) for sock in self.sockets}

    def addresses(self) -> list[tuple[int, tuple[str, int]]]:
        """Return the address families and addresses of the sockets."""
        return [(sock.family, sock.getsockname()[:2]) for sock in self.sockets]

    def drain(self, sock: socket.socket, limit: int) -> Taken:
        """Return what the socket holds.

        At about limit datagrams it stops, so that they are worked on.
        """
        receive = self._receive[sock]
        taken, times = some, _ = receive()
        while some and len(taken) < limit:
            some, when = receive()
            taken += some
            times += when
        return taken, times

    def buffer_size(self) -> int:
        """Return the bytes of receive buffer that the kernel granted each socket."""
        granted = (s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for s in self.sockets)
        return min(granted, default=BUFFER)

    def dropped(self) -> int:
        """Return how many datagrams the kernel dropped since the start, for lack of room."""
        return sum(_drops(sock) for sock in self.sockets)

    def close(self) -> None:
        """Take no datagrams any more: the kernel refuses them, and their senders hear that."""
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


def _places(host: str, port: str) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    places: list[tuple[socket.AddressFamily, tuple[str, int]]] = [
        (family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found
    ]
    return places[:1] if host else places


def _bind_all(places: list[tuple[socket.AddressFamily, tuple[str, int]]]) -> list[socket.socket]:
    """Bind them all; a family that this machine lacks is left out, unless it is the only one."""
    sockets: list[socket.socket] = []
    for last, place in enumerate(places, 1 - len(places)):
        try:
            sockets.append(_bound(*place))
        except OSError as error:
            absent = error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
            if absent and (sockets or last < 0):
                continue
            for sock in sockets:
                sock.close()
            raise
    return sockets


def _bound(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _enlarge(sock)
        sock.bind(address)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _enlarge(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)


def _drops(sock: socket.socket) -> int:
    try:
        counters = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0  # before Linux 4.12
    return int(_MEMINFO.unpack(counters)[8])
