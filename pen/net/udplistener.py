"""Where UDP clients come in: the socket that takes all datagrams and sends all replies."""

import logging
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from pen.core.address import Endpoint
from pen.core.errors import AddressError
from pen.net.listener import reason
from pen.net.steering import share
from pen.net.udp import DATAGRAM_MAX, GROWTH, Datagrams, Peer, UdpSession

logger = logging.getLogger("pen")

RECEIVE_BUFFER: Final = 8 << 20
"""Bytes of datagrams (with the kernel's overhead) that may wait for us."""
DATAGRAMS_PER_TURN: Final = 64
"""Taken before servers and others get their turn."""
COMPLAINT: Final = 60.0
"""Seconds between looks at what was lost."""
WILDCARDS: Final = {"0.0.0.0", "::"}
MULTICAST: Final = 0xFF
"""First byte of an IPv6 address that none can send from."""
INFO_SPACE: Final = socket.CMSG_SPACE(20)
"""For an `in6_pktinfo`, the larger of the two."""
IP_PKTINFO: Final = 8
"""Of linux/in.h, as the next ones are of asm-generic/socket.h; Python 3.11 has no names."""
SO_RCVBUFFORCE: Final = 33
SO_MEMINFO: Final = 55
_DROPS: Final = struct.Struct("=32xI")
"""SK_MEMINFO_DROPS, the ninth number of SO_MEMINFO (linux/sock_diag.h)."""


def open_datagrams(endpoint: Endpoint, *, shared: bool = False) -> socket.socket:
    """Bind a UDP socket; `shared`: others may have the same address (`steering`).

    Raises:
        AddressError: the address is in use or cannot be had.
    """
    opened = socket.socket(endpoint.family, socket.SOCK_DGRAM)
    try:
        if shared:
            share(opened)
        if endpoint.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if endpoint.host in WILDCARDS:
            _ask_for_destination(opened)
        _enlarge_buffer(opened)
        opened.bind(endpoint.sockaddr)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise AddressError(f"cannot listen on {endpoint} (UDP): {reason(error)}") from None
    return opened


def _ask_for_destination(opened: socket.socket) -> None:
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _enlarge_buffer(opened: socket.socket) -> None:
    """As large as we want it with CAP_NET_ADMIN, else as net.core.rmem_max lets us."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


class UdpListener:
    """Takes clients' datagrams, and hands each to its session."""

    def __init__(self, bound: socket.socket, endpoint: Endpoint, datagrams: Datagrams) -> None:
        self.endpoint = endpoint
        self.fileno = bound.fileno
        self._socket = bound
        self._receive: Callable[[int], tuple[bytes, Any]] = bound.recvfrom
        """Takes a datagram; returns it and the key of its session."""
        self._reply = bound.sendto
        self._datagrams = datagrams
        self._find = datagrams.by_key.get
        self._allowance = 1.0
        self._dropped = 0

    def start(self) -> None:
        """Begin to take datagrams."""
        self._datagrams.reactor.add(self._socket.fileno(), self.on_ready)
        self._complain()

    def on_ready(self, mask: int) -> None:  # noqa: ARG002
        """Take what is there, up to a limit."""
        receive, find, allowance = self._receive, self._find, self._allowance
        number = 1
        while number <= allowance:
            try:
                datagram, key = receive(DATAGRAM_MAX)
            except OSError:
                self._allowance = max(1.0, number - 1)
                return
            session = find(key)
            if session is None:
                session = self._begin(key)
            if session is not None:
                session.forward(datagram)
            number += 1
        if allowance < DATAGRAMS_PER_TURN:
            self._allowance = allowance * GROWTH

    def _begin(self, key: Any) -> UdpSession | None:
        return self._datagrams.begin(self, key, key, self._reply)

    def _complain(self) -> None:
        """Tell, once a minute, what the kernel dropped because our buffer was full."""
        if self._socket.fileno() < 0:
            return
        reactor = self._datagrams.reactor
        reactor.call_at(reactor.now + COMPLAINT, self._complain)  # first: what follows may fail
        numbers = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _DROPS.size)
        dropped: int = _DROPS.unpack(numbers)[0]
        if dropped > self._dropped:
            logger.warning(
                "%s: clients' datagrams came faster than they could be passed on: %d were lost",
                self.endpoint, dropped - self._dropped,
            )  # fmt: skip
            self._dropped = dropped

    def close(self) -> None:
        """Take nothing more, and end the sessions, whose replies would have left from here."""
        self._datagrams.reactor.remove(self._socket.fileno())
        self._datagrams.close_all("pen does not listen here any more")
        self._socket.close()


class WildcardListener(UdpListener):
    """On all addresses of the machine: a reply must leave from the one that the client asked.

    So a session is with one of our addresses, and the kernel is asked which one a datagram
    was for (`in_pktinfo`, ip(7); `in6_pktinfo`, RFC 3542).
    """

    def __init__(self, bound: socket.socket, endpoint: Endpoint, datagrams: Datagrams) -> None:
        super().__init__(bound, endpoint, datagrams)
        self._receive = self._receive_and_key
        self._receive_with = bound.recvmsg
        self._send_with = bound.sendmsg
        self._ours = slice(0, 16) if endpoint.family == socket.AF_INET6 else slice(4, 8)

    def _receive_and_key(self, size: int) -> tuple[bytes, tuple[Peer, bytes]]:
        datagram, ancillary, _, peer = self._receive_with(size, INFO_SPACE)
        return datagram, (peer, ancillary[0][2][self._ours])

    def _begin(self, key: tuple[Peer, bytes]) -> UdpSession | None:
        peer, ours = key
        send, origin = self._send_with, _origin(ours)
        return self._datagrams.begin(
            self, peer, key, lambda datagram, peer: send((datagram,), origin, 0, peer)
        )


def _origin(ours: bytes) -> Sequence[tuple[int, int, bytes]]:
    """What makes a reply leave from this address of ours."""
    if len(ours) == 4:
        return [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + ours + bytes(4))]
    if ours[0] == MULTICAST:
        return ()
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, ours + bytes(4))]


def make_listener(bound: socket.socket, endpoint: Endpoint, datagrams: Datagrams) -> UdpListener:
    """The kind of listener that this address needs."""
    kind = WildcardListener if endpoint.host in WILDCARDS else UdpListener
    return kind(bound, endpoint, datagrams)
