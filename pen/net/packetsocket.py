"""Packet sockets: whole Ethernet frames of one interface (packet(7)). Linux; needs root."""

import array
import errno
import fcntl
import socket
import struct
from typing import Final

from pen.core.errors import PenError

ETH_P_IP: Final = 0x0800
ETH_P_ARP: Final = 0x0806
VNET: Final = 10
"""Bytes of struct virtio_net_hdr (linux/virtio_net.h) before each frame."""

_SOL_PACKET: Final = 263
_PACKET_VNET_HDR: Final = 15
_ARPHRD_ETHER: Final = 1
_SO_ATTACH_FILTER: Final = 26
_SIOCGIFADDR: Final = 0x8915
_RECEIVE_BUFFER: Final = 4 << 20

Instruction = tuple[int, int, int, int]
"""Of classic BPF (linux/filter.h): code, steps to skip if true, if false, operand."""
_LOAD_WORD: Final = 0x20
_LOAD_BYTE: Final = 0x30
_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_PACKET_TYPE: Final = 0xFFFFF004
"""Where BPF finds how a frame was addressed (SKF_AD_PKTTYPE)."""
_TO_US: Final = 0
_PROTOCOL: Final = 23
_DESTINATION: Final = 30
"""Where they are in the frame, headers being what they are without VLAN tags."""
_WHOLE: Final = 0x7FFFFFFF
_DROP: Final = (_RETURN, 0, 0, 0)


class PacketSocket:
    """The frames of one Ethernet type that come in at an interface, and sending any there.

    With `offload` each frame, in and out, follows `VNET` bytes that say which checksum the
    hardware is to finish and whether it is to be cut into segments; given back unchanged,
    they let such frames be passed on.

    Raises:
        PenError: no such interface, no Ethernet, or not allowed.
    """

    def __init__(self, interface: str, ethernet_type: int, *, offload: bool = False) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except OSError as error:
            raise _cannot(interface, error) from None
        try:
            if offload:
                self._socket.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
                self._filter([_DROP])  # until `admit`
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.setblocking(False)
            self._socket.bind((interface, ethernet_type))
        except OSError as error:
            self._socket.close()
            raise _cannot(interface, error) from None
        *_, kind, self.mac = self._socket.getsockname()
        if kind != _ARPHRD_ETHER:
            self._socket.close()
            raise PenError(f"interface '{interface}' is no Ethernet, so it cannot be used for DSR")
        self.fileno = self._socket.fileno
        self.receive_into = self._socket.recv_into
        self.receive = self._socket.recv
        self.send = self._socket.send
        self.close = self._socket.close

    def admit(self, address: int, *, all_tcp_but: int | None = None) -> None:
        """Get only IPv4 sent to our hardware address, for this IPv4 address.

        `all_tcp_but`: and TCP for any address, but for this one.
        """
        tcp = (
            []
            if all_tcp_but is None
            else [
                (_IF_EQUAL, 2, 0, all_tcp_but),
                (_LOAD_BYTE, 0, 0, _PROTOCOL),
                (_IF_EQUAL, 1, 0, socket.IPPROTO_TCP),
            ]
        )
        self._filter([
            (_LOAD_WORD, 0, 0, _PACKET_TYPE),
            (_IF_EQUAL, 0, 2 + len(tcp), _TO_US),
            (_LOAD_WORD, 0, 0, _DESTINATION),
            (_IF_EQUAL, 1 + len(tcp), 0, address),
            *tcp,
            _DROP,
            (_RETURN, 0, 0, _WHOLE),
        ])  # fmt: skip

    def _filter(self, program: list[Instruction]) -> None:
        code = array.array("B", b"".join(struct.pack("HBBI", *each) for each in program))
        attach = struct.pack("HP", len(program), code.buffer_info()[0])
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attach)


def _cannot(interface: str, error: OSError) -> PenError:
    reason = error.strerror
    if error.errno in (errno.EPERM, errno.EACCES):
        reason = "it takes root (the capability CAP_NET_RAW)"
    return PenError(f"cannot use interface '{interface}' for DSR: {reason}")


def own_address(interface: str) -> int:
    """The IPv4 address of an interface; 0: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        request = struct.pack("16s24x", interface.encode())
        try:
            reply = fcntl.ioctl(asking, _SIOCGIFADDR, request)
        except OSError:
            return 0
    return int.from_bytes(reply[20:24], "big")
