"""Ethernet frames as direct server return needs them: ARP, and what IPv4 packets belong to.

Readers take any bytes and return None for what is no whole packet of their kind; they
raise nothing. Formats: ARP RFC 826, IPv4 RFC 791, ICMP RFC 792, UDP RFC 768, TCP RFC 9293.
IPv4 addresses are integers here, hardware addresses six bytes.
"""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

Buffer = bytes | bytearray | memoryview

ETHERNET: Final = 14
"""Bytes of the Ethernet header: destination, source, type."""
BROADCAST: Final = b"\xff" * 6
UNSPECIFIED: Final = 0
"""The address 0.0.0.0: who asks has none yet."""
ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10

_ARP: Final = struct.Struct("!6s6sHHHBBH6sI6sI")
_ARP_FIXED: Final = (0x0806, 1, 0x0800, 6, 4)
"""Ethernet type, then: hardware Ethernet, protocol IPv4, lengths of their addresses."""
_REQUEST: Final = 1
_REPLY: Final = 2
_IPV4: Final = struct.Struct("!BxHxxHxBxxII")
_PORTS: Final = struct.Struct("!HH")
_HAS_PORTS: Final = {TCP: 20, UDP: 8}
"""Protocols whose header begins with the ports, and its least length."""
_ICMP_ERRORS: Final = frozenset((3, 4, 5, 11, 12))
"""Types whose body begins with the packet that they are about."""
_ICMP_HEADER: Final = 8
_FRAGMENT: Final = 0x3FFF
"""More fragments follow, or this one is not the first."""


@dataclass(frozen=True, slots=True)
class Arp:
    """Who asks or answers, and whom it concerns."""

    is_request: bool
    mac: bytes
    """The sender's."""
    address: int
    """The sender's; `UNSPECIFIED` when it only wants to know whether the target is taken."""
    target: int
    """The address asked for."""


def read_arp(frame: Buffer) -> Arp | None:
    """An ARP packet for IPv4 on Ethernet; None: something else."""
    if len(frame) < _ARP.size:
        return None
    _, _, *fixed, operation, mac, address, _, target = _ARP.unpack_from(frame)
    if tuple(fixed) != _ARP_FIXED or operation not in (_REQUEST, _REPLY):
        return None
    return Arp(operation == _REQUEST, mac, address, target)


def arp_request(mac: bytes, address: int, target: int) -> bytes:
    """Ask everybody who has `target`. With `target` the sender's own: announce it."""
    return _ARP.pack(BROADCAST, mac, *_ARP_FIXED, _REQUEST, mac, address, bytes(6), target)


def arp_reply(mac: bytes, asked: Arp) -> bytes:
    """Tell who asked that the target is at `mac`."""
    return _ARP.pack(
        asked.mac, mac, *_ARP_FIXED, _REPLY, mac, asked.target, asked.mac, asked.address
    )


class Packet(NamedTuple):
    """What an IPv4 packet belongs to.

    An ICMP error counts as a packet of the connection that it is about, in the direction
    of the error: it must go where that connection's packets go, or the server never learns
    that its packets are too large for the way.
    """

    protocol: int
    source: int
    destination: int
    source_port: int
    destination_port: int
    """0, as the source's: there are no ports, or it is a fragment (of which only the first
    has them, so that none counts)."""
    flags: int
    """Of TCP; else 0."""


def read_packet(frame: Buffer, start: int, end: int) -> Packet | None:
    """The IPv4 packet at `frame[start:end]`; None: there is none, or not all of it."""
    if end - start < 20:
        return None
    version, length, fragment, protocol, source, destination = _IPV4.unpack_from(frame, start)
    body = start + (version & 15) * 4
    end = min(end, start + length)  # Ethernet pads short packets
    if version >> 4 != 4 or body < start + 20 or end < body or length > end - start:
        return None
    if fragment & _FRAGMENT:
        return Packet(protocol, source, destination, 0, 0, 0)
    if protocol in _HAS_PORTS:
        if end - body < _HAS_PORTS[protocol]:
            return None
        flags = frame[body + 13] if protocol == TCP else 0
        source_port, port = _PORTS.unpack_from(frame, body)
        return Packet(protocol, source, destination, source_port, port, flags)
    if protocol == ICMP and end - body > _ICMP_HEADER and frame[body] in _ICMP_ERRORS:
        return _concerned(frame, body + _ICMP_HEADER, end, destination)
    return Packet(protocol, source, destination, 0, 0, 0)


def _concerned(frame: Buffer, start: int, end: int, sender: int) -> Packet | None:
    """Of the packet in an ICMP error, whose `sender` now gets the error: the other way round.

    At least the IPv4 header and eight bytes of it are there (RFC 792), the ports among them.
    """
    if end - start < 20:
        return None
    version, _, fragment, protocol, source, destination = _IPV4.unpack_from(frame, start)
    body = start + (version & 15) * 4
    if version >> 4 != 4 or body < start + 20 or end - body < 8 or source != sender:
        return None
    if fragment & _FRAGMENT or protocol not in _HAS_PORTS:
        return Packet(protocol, destination, source, 0, 0, 0)
    source_port, destination_port = _PORTS.unpack_from(frame, body)
    return Packet(protocol, destination, source, destination_port, source_port, 0)
