"""One address, several listening sockets, and the kernel sends a client always to the same one.

Sockets that share an address by SO_REUSEPORT form a group (socket(7)). The program
attached to it here (classic BPF, SO_ATTACH_REUSEPORT_CBPF; no privilege is needed) picks
one by the client's address alone: whoever comes again comes to the same socket, whatever
his port, so the worker behind it can keep what it knows of him to itself. An IPv4 client
is the same to an IPv4 and to an IPv6 listener, for its packets are the same.
"""

import ctypes
import socket
import struct
from typing import Final

SO_ATTACH_REUSEPORT_CBPF: Final = 51
"""asm-generic/socket.h; Python has no name for it."""
NET_OFF: Final = 0x100000000 - 0x100000
"""SKF_NET_OFF, -0x100000: loads count from the network header (linux/filter.h)."""
SPREAD: Final = 2654435769
"""2^32 over the golden ratio: neighbouring addresses land far apart (Knuth, TAOCP 6.4)."""

# Operation codes of classic BPF (linux/bpf_common.h): class | size or operation | mode.
LOAD_WORD: Final = 0x20  # A = the word at K
LOAD_BYTE: Final = 0x30  # A = the byte at K
TO_X: Final = 0x07  # X = A
XOR_X: Final = 0xAC  # A ^= X
SHIFT_RIGHT: Final = 0x74  # A >>= K
MULTIPLY: Final = 0x24  # A *= K
MODULO: Final = 0x94  # A %= K
JUMP_EQUAL: Final = 0x15  # skip jt instructions if A == K, else jf
JUMP: Final = 0x05  # skip K instructions
RETURN_A: Final = 0x16

IPV4_SOURCE: Final = 12
"""Where the source address begins in an IPv4 header (RFC 791, 3.1)."""
IPV6_SOURCE: Final = 8
"""The same for IPv6 (RFC 8200, 3)."""

Instruction = tuple[int, int, int, int]
"""Operation, jump if true, jump if false, constant K."""


def program(group: int) -> list[Instruction]:
    """A program that gives a number below `group` for the source address of a packet."""
    fold = []
    for word in range(IPV6_SOURCE + 4, IPV6_SOURCE + 16, 4):
        fold += [(TO_X, 0, 0, 0), (LOAD_WORD, 0, 0, NET_OFF + word), (XOR_X, 0, 0, 0)]
    ipv6 = [(LOAD_WORD, 0, 0, NET_OFF + IPV6_SOURCE), *fold]
    ipv4 = [(LOAD_WORD, 0, 0, NET_OFF + IPV4_SOURCE), (JUMP, 0, 0, len(ipv6))]
    return [
        (LOAD_BYTE, 0, 0, NET_OFF),
        (SHIFT_RIGHT, 0, 0, 4),
        (JUMP_EQUAL, 0, len(ipv4), 4),
        *ipv4,
        *ipv6,
        (MULTIPLY, 0, 0, SPREAD),
        (SHIFT_RIGHT, 0, 0, 16),
        (MODULO, 0, 0, group),
        (RETURN_A, 0, 0, 0),
    ]


def member_for(address: str, group: int) -> int:
    """What the program gives for an IPv4 address, for those who measure or test."""
    source = int.from_bytes(socket.inet_aton(address), "big")
    return (source * SPREAD % (1 << 32) >> 16) % group


def share(sock: socket.socket) -> None:
    """Let more sockets have this one's address; to be called before each is bound."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def steer(member: socket.socket, group: int) -> None:
    """Give the group its program, through any member.

    Members are numbered in the order in which they began to listen (UDP: were bound), and
    keep their numbers only while all stay open.

    Args:
        member: a socket of the group, all of whose members listen by now.
        group: how many members there are.
    """
    instructions = program(group)
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    description = struct.pack("HP", len(instructions), ctypes.addressof(buffer))
    member.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, description)
