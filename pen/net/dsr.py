"""Direct server return: frames in, the same frames out to a server, and nothing kept.

pen answers ARP for the address that clients know. Every server has that address too, but
does not answer ARP for it. A client's frame gets the hardware address of the client's
server and goes out again; the server answers the client itself, past pen.
"""

import contextlib
import logging
import socket
import time
from typing import Final

from pen.core import frames
from pen.core.address import UNSET, Endpoint, parse_listen
from pen.core.applying import Prepared
from pen.core.direct import Directions, number
from pen.core.errors import AddressError, PenError
from pen.core.frames import Packet
from pen.core.settings import Settings
from pen.core.state import State
from pen.core.tarpit import tarpit_reply
from pen.net import packetsocket
from pen.net.packetsocket import VNET, PacketSocket
from pen.net.reactor import Reactor

logger = logging.getLogger("pen")

FRAMES_PER_TURN: Final = 64
"""Then others get their turn."""
LOOK_EVERY: Final = 1.0
"""Seconds between looks at which servers take part."""
START: Final = VNET + frames.ETHERNET
"""Where in the buffer the IPv4 header begins."""
FRAME_MAX: Final = START + 65535
"""As long as a packet can be; it is much longer than the wire allows when the hardware, or
the other end of a virtual cable, is to cut it."""


class DirectReturn:
    """The part that follows `listen` in place of a listener (`net.listening`).

    Raises:
        PenError: the interface cannot be used.
    """

    def __init__(self, reactor: Reactor, state: State, interface: str) -> None:
        self._reactor = reactor
        self.interface = interface
        self._directions = Directions(state)
        self._arp = PacketSocket(interface, packetsocket.ETH_P_ARP)
        try:
            self._frames = PacketSocket(interface, packetsocket.ETH_P_IP, offload=True)
        except PenError:
            self._arp.close()
            raise
        self._mac = self._arp.mac
        self._own = packetsocket.own_address(interface)
        self._buffer = bytearray(FRAME_MAX)
        self.endpoint: Endpoint | None = None
        """What clients connect to."""
        self._address = 0
        self._port = 0
        self._protocol = frames.UDP if state.settings.udp else frames.TCP
        _tell_of_forwarding(interface)

    # Following the settings.

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        if (wanted.listen, wanted.tarpit_acl) == (applied.listen, applied.tarpit_acl):
            return None
        endpoint = parse_listen(wanted.listen)
        _check_address(endpoint)
        return Prepared(lambda: self._aim(endpoint, tarpit=wanted.tarpit_acl >= 0))

    def _aim(self, endpoint: Endpoint, *, tarpit: bool) -> None:
        started, self.endpoint = self.endpoint is not None, endpoint
        self._address, self._port = number(endpoint.host), endpoint.port
        self._frames.admit(self._address, all_tcp_but=self._own if tarpit else None)
        # Whoever had it before, the others on the network shall know that we have it now.
        self._send_arp(frames.arp_request(self._mac, self._address, self._address))
        if not started:
            self._reactor.add(self._arp.fileno(), self._on_arp)
            self._reactor.add(self._frames.fileno(), self._on_frames)
            self._look()

    def close(self) -> None:
        """Answer for the address no more."""
        for each in (self._arp, self._frames):
            self._reactor.remove(each.fileno())
            each.close()

    # Finding the servers, and being found: ARP.

    def _look(self) -> None:
        now = self._reactor.now
        for server in self._directions.look(now, int(time.time())):
            logger.warning("server %d (%s) does not answer ARP", server.slot, server.address)
        for address in self._directions.neighbours.due(now):
            self._send_arp(frames.arp_request(self._mac, self._own, address))
        self._reactor.call_at(now + LOOK_EVERY, self._look)

    def _on_arp(self, mask: int) -> None:  # noqa: ARG002
        for _ in range(FRAMES_PER_TURN):
            try:
                arp = frames.read_arp(self._arp.receive(128))
            except OSError:  # no more for now, or the interface is down
                return
            if arp is None or arp.mac == self._mac:
                continue
            for server in self._directions.heard(arp, self._reactor.now):
                logger.info("server %d (%s) answers ARP", server.slot, server.address)
            if arp.is_request and self._answers_for(arp):
                self._send_arp(frames.arp_reply(self._mac, arp))

    def _answers_for(self, arp: frames.Arp) -> bool:
        """Whether the address asked for is ours, or in the tarpit.

        There, only who means to send something is answered, not a machine that asks
        whether the address it is about to take is free (RFC 5227).
        """
        if arp.target == self._address:
            return True
        means_it = arp.address not in (frames.UNSPECIFIED, arp.target)
        return means_it and arp.target != self._own and self._directions.traps(arp.target)

    def _send_arp(self, frame: bytes) -> None:
        try:
            self._arp.send(frame)
        except OSError as error:
            logger.debug("cannot send ARP on %s: %s", self.interface, error.strerror)

    # Passing frames on. This is the hot path.

    def _on_frames(self, mask: int) -> None:  # noqa: ARG002
        buffer, now = self._buffer, self._reactor.now
        receive_into, send = self._frames.receive_into, self._frames.send
        read_packet, route_of = frames.read_packet, self._directions.route
        address, own_mac = self._address, self._mac
        served = ((self._protocol, self._port), (self._protocol, 0), (frames.ICMP, 0))
        with memoryview(buffer) as whole:
            for _ in range(FRAMES_PER_TURN):
                try:
                    size = receive_into(buffer)
                except OSError:  # no more for now, or the interface is down
                    return
                packet = read_packet(buffer, START, size)
                if packet is None:
                    continue
                if packet.destination != address:
                    self._trap(packet)
                    continue
                if (packet.protocol, packet.destination_port) not in served:
                    continue
                route = route_of(packet, now)
                if route is None:
                    continue
                route.server.sx += size - START
                buffer[VNET : VNET + 12] = route.mac + own_mac
                try:  # not suppress(), which costs a tenth of it all
                    send(whole[:size])
                except OSError:
                    pass  # lost, as frames may be: the queue is full

    def _trap(self, packet: Packet) -> None:
        """Keep whoever connects to an address in the tarpit busy."""
        if packet.protocol == frames.TCP and self._directions.traps(packet.destination):
            reply = tarpit_reply(self._buffer, START, packet)
            if reply is not None:
                with contextlib.suppress(OSError):
                    self._frames.send(bytes(VNET) + reply)


def _check_address(endpoint: Endpoint) -> None:
    """DSR is for one IPv4 address, which this machine must not have itself."""
    host = endpoint.host
    if endpoint.family != socket.AF_INET or host == UNSET:
        raise AddressError(
            f"direct server return (dsr_if) is for one IPv4 address, IP:port, not {endpoint}"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((host, 9))
        except OSError:
            return  # no way there, so it is not here
        if asking.getsockname()[0] == host:
            raise AddressError(
                f"{host} is an address of this machine, which would answer clients itself;"
                " with dsr_if only the servers have it: take it off ('ip address')"
            )


def _tell_of_forwarding(interface: str) -> None:
    setting = f"net.ipv4.conf.{interface}.forwarding"
    with contextlib.suppress(OSError), open(f"/proc/sys/{setting.replace('.', '/')}") as file:
        if file.read().strip() != "0":
            logger.warning(
                "%s is on, so the system tells clients that the address cannot be reached;"
                " turn it off: sysctl -w %s=0", setting, setting,
            )  # fmt: skip
