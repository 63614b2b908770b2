"""A machine that takes TCP connections and then never reads, so that scanners waste time.

A SYN is accepted with a small window; data, and probes whether there is room, are
answered by a window of 0. So the other side keeps the connection and asks again and
again. Nothing is remembered: our first sequence number is the other side's own, so that
what it acknowledges later is also its own first byte that we have not acknowledged.
"""

import struct
from typing import Final

from pen.core.frames import ACK, FIN, RST, SYN, TCP, Buffer, Packet

_SMALL_WINDOW: Final = 10
"""Bytes; as LaBrea, the first of the tarpits, has it."""


def tarpit_reply(frame: Buffer, start: int, packet: Packet) -> bytes | None:
    """What to answer to a segment for an address in the tarpit.

    Args:
        frame: holds the Ethernet frame; its type is IPv4.
        start: where the IPv4 header begins, right after the Ethernet header.
        packet: what `read_packet` made of it; TCP.

    Returns:
        The frame that answers; None: there is nothing to say (RST; the ACK that ends the
        handshake; a fragment).
    """
    if packet.protocol != TCP or packet.flags & RST or not packet.flags & (SYN | ACK):
        return None
    body = start + (frame[start] & 15) * 4
    sequence, acknowledged = struct.unpack_from("!II", frame, body + 4)
    if packet.flags & SYN:
        if packet.flags & ACK:
            return None
        return _tcp_frame(frame, start, packet, sequence, sequence + 1, SYN | ACK, _SMALL_WINDOW)
    length = struct.unpack_from("!H", frame, start + 2)[0]
    header = (frame[body + 12] >> 4) * 4
    carries = start + length > body + header or packet.flags & FIN
    if sequence == acknowledged and not carries:
        return None
    return _tcp_frame(frame, start, packet, acknowledged, acknowledged, ACK, 0)


def _tcp_frame(
    frame: Buffer, start: int, packet: Packet, sequence: int, ack: int, flags: int, window: int
) -> bytes:
    """A TCP segment without data, back to where the packet in the frame came from."""
    ends = struct.pack("!II", packet.destination, packet.source)
    segment = bytearray(
        struct.pack(
            "!HHIIBBHHH", packet.destination_port, packet.source_port,
            sequence, ack & 0xFFFFFFFF, 5 << 4, flags, window, 0, 0,
        )
    )  # fmt: skip
    pseudo = ends + struct.pack("!HH", TCP, len(segment))
    segment[16:18] = checksum(pseudo + segment).to_bytes(2, "big")
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, TCP, 0) + ends)
    header[10:12] = checksum(header).to_bytes(2, "big")
    ethernet = bytes(frame[start - 8 : start - 2]) + bytes(frame[start - 14 : start - 8])
    return ethernet + b"\x08\x00" + header + segment


def checksum(data: Buffer) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
