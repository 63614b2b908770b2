"""Frames, against ones that Linux sent, and against anything."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pen.core import frames
from pen.core.frames import ETHERNET, Packet, read_arp, read_packet
from pen.core.tarpit import checksum, tarpit_reply

OUR_MAC, THEIR_MAC = bytes.fromhex("e6a6fa086c62"), bytes.fromhex("862cbbd5eeae")
CLIENT, ADDRESS = 0x0A4E000A, 0x0A4E0064

# As captured: a SYN of Linux from 10.78.0.10:33738 to 10.78.0.100:80.
SYN = bytes.fromhex(
    "e6a6fa086c62862cbbd5eeae08004500003c4fc140004006d5f10a4e000a0a4e006483ca0050"
    "1a2b3c4d00000000a002faf0b4d20000020405b40402080ae76c3d3c000000000103030a"
)


def ipv4(body, protocol, *, fragment=0, options=b"", source=CLIENT, destination=ADDRESS):
    """An Ethernet frame with an IPv4 packet."""
    words = 5 + len(options) // 4
    length = words * 4 + len(body)
    header = struct.pack(
        "!BBHHHBBHII", 0x40 | words, 0, length, 7, fragment, 64, protocol, 0, source, destination
    )
    return OUR_MAC + THEIR_MAC + b"\x08\x00" + header + options + body


def tcp(flags, sequence=1000, ack=0, data=b""):
    return struct.pack("!HHIIBBHHH", 4000, 80, sequence, ack, 0x50, flags, 64000, 0, 0) + data


def udp(data=b"hello"):
    return struct.pack("!HHHH", 4000, 80, 8 + len(data), 0) + data


def read(frame):
    return read_packet(frame, ETHERNET, len(frame))


def test_a_captured_syn():
    assert read(SYN) == Packet(frames.TCP, CLIENT, ADDRESS, 0x83CA, 80, frames.SYN)


def test_options_and_padding_are_not_the_body():
    plain = read(ipv4(udp(), frames.UDP))
    assert plain == Packet(frames.UDP, CLIENT, ADDRESS, 4000, 80, 0)
    assert read(ipv4(udp(), frames.UDP, options=bytes(8))) == plain
    assert read(ipv4(udp(), frames.UDP) + bytes(18)) == plain


@pytest.mark.parametrize("fragment", [0x2000, 0x2001, 0x0001, 0x1FFF])
def test_no_fragment_has_ports(fragment):
    """Not even the first: all of a datagram must go one way."""
    found = read(ipv4(udp(), frames.UDP, fragment=fragment))
    assert found == Packet(frames.UDP, CLIENT, ADDRESS, 0, 0, 0)


def test_the_flag_not_to_fragment_makes_no_fragment():
    assert read(ipv4(udp(), frames.UDP, fragment=0x4000)).destination_port == 80


def test_an_icmp_error_belongs_to_the_connection_it_is_about():
    """A router (192.0.2.1) says that a packet of the server to the client was too large."""
    sent = ipv4(struct.pack("!HHI", 80, 4000, 5), frames.TCP, source=ADDRESS, destination=CLIENT)
    error = struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + sent[ETHERNET:]
    found = read(ipv4(error, frames.ICMP, source=0xC0000201))
    assert found == Packet(frames.TCP, CLIENT, ADDRESS, 4000, 80, 0)


def test_an_icmp_error_about_others_belongs_nowhere():
    sent = ipv4(udp(), frames.UDP, source=0x01020304, destination=CLIENT)
    assert read(ipv4(struct.pack("!BBHI", 3, 4, 0, 0) + sent[ETHERNET:], frames.ICMP)) is None


def test_an_echo_request():
    echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    assert read(ipv4(echo, frames.ICMP)) == Packet(frames.ICMP, CLIENT, ADDRESS, 0, 0, 0)


@pytest.mark.parametrize("size", range(ETHERNET, len(SYN)))
def test_a_truncated_packet_is_none(size):
    assert read(SYN[:size]) is None


def test_arp_there_and_back():
    request = frames.arp_request(THEIR_MAC, CLIENT, ADDRESS)
    assert request[:6] == frames.BROADCAST
    asked = read_arp(request)
    assert asked == frames.Arp(True, THEIR_MAC, CLIENT, ADDRESS)
    reply = frames.arp_reply(OUR_MAC, asked)
    assert reply[:12] == THEIR_MAC + OUR_MAC
    assert read_arp(reply) == frames.Arp(False, OUR_MAC, ADDRESS, CLIENT)
    assert len(reply) == 42


@pytest.mark.parametrize("size", range(42))
def test_truncated_arp_is_none(size):
    assert read_arp(frames.arp_request(THEIR_MAC, CLIENT, ADDRESS)[:size]) is None


PIECES = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda frame, at, value: frame[:at] + bytes([value]) + frame[at + 1 :],
        st.sampled_from(
            [SYN, ipv4(struct.pack("!BBHI", 3, 4, 0, 0) + SYN[ETHERNET:], frames.ICMP),
             frames.arp_request(THEIR_MAC, CLIENT, ADDRESS)]
        ),
        st.integers(0, 80),
        st.integers(0, 255),
    ),
)  # fmt: skip


@given(PIECES, st.integers(0, 40))
def test_anything_is_read_or_none(frame, cut):
    frame = frame[: len(frame) - cut]
    arp = read_arp(frame)
    assert arp is None or len(frames.arp_reply(OUR_MAC, arp)) == 42
    packet = read(frame)
    if packet is not None:
        assert 0 <= packet.source_port <= 65535
        reply = tarpit_reply(frame, ETHERNET, packet)
        assert reply is None or read(reply) is not None


@given(st.binary(max_size=200).filter(lambda data: len(data) % 2 == 0 and any(data)))
def test_checksum_sums_to_nothing(data):
    """RFC 1071: data with its checksum appended has the checksum 0."""
    assert checksum(data + checksum(data).to_bytes(2, "big")) == 0


class TestTarpit:
    def answer(self, flags, sequence, ack=0, data=b""):
        frame = ipv4(tcp(flags, sequence, ack, data), frames.TCP)
        reply = tarpit_reply(frame, ETHERNET, read(frame))
        if reply is None:
            return None
        assert reply[:12] == THEIR_MAC + OUR_MAC
        back = read(reply)
        assert back[:5] == (frames.TCP, ADDRESS, CLIENT, 80, 4000)
        assert checksum(reply[ETHERNET : ETHERNET + 20]) == 0
        pseudo = reply[26:34] + struct.pack("!HH", frames.TCP, 20)
        assert checksum(pseudo + reply[34:]) == 0
        sequence, ack, _, flags, window = struct.unpack_from("!IIBBH", reply, 38)
        return flags, sequence, ack, window

    @pytest.mark.parametrize("first", [1000, 0, 0xFFFFFFFF])
    def test_a_connection(self, first):
        after = (first + 1) % 2**32
        flags, ours, ack, window = self.answer(frames.SYN, first)
        assert (flags, ack) == (frames.SYN | frames.ACK, after)
        assert 0 < window < 100
        expected = (ours + 1) % 2**32
        stalled = (frames.ACK, expected, after, 0)
        assert self.answer(frames.ACK, after, expected) is None
        assert self.answer(frames.ACK, after, expected, b"0123456789") == stalled
        assert self.answer(frames.ACK, first, expected) == stalled  # a probe
        assert self.answer(frames.ACK | frames.FIN, after, expected) == stalled

    @pytest.mark.parametrize("flags", [0, frames.RST, frames.RST | frames.ACK, 0x12])
    def test_nothing_to_say(self, flags):
        assert self.answer(flags, 1000, 1000, b"data") is None
