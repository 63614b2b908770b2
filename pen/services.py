"""What serves the clients of one protocol, and follows the settings that are its own."""

from typing import Protocol, cast

from pen.core.applying import Part, Prepared
from pen.core.errors import CommandError
from pen.core.session import Sessions
from pen.core.settings import Settings
from pen.core.state import State
from pen.logs.current import Observe
from pen.net.doorstep import Doorstep
from pen.net.idlers import Idlers
from pen.net.reactor import Reactor
from pen.net.relay import Relay
from pen.net.relays import Relays
from pen.net.taps import Taps
from pen.net.termination import Termination
from pen.net.udp import Datagrams, UdpSession
from pen.net.udptaps import UdpTaps


class Service(Protocol):
    """What an engine asks of either."""

    parts: tuple[Part, ...]

    @property
    def carrier(self) -> Relays | Datagrams:
        """What holds the sessions and moves their bytes."""

    def set_log(self, observe: Observe | None) -> None:
        """Let the request log see what clients send; None: nobody."""

    def ends_soon(self) -> None:
        """No more clients will come; give up what was held ready for them."""

    def reload(self) -> None:
        """HUP: read files again.

        Raises:
            PenError: one cannot be used; all stay as they were.
        """

    def close(self) -> None:
        """End everything."""


class TcpService:
    """TCP and Unix sockets: relays, and what comes before a client gets one."""

    def __init__(self, reactor: Reactor, state: State) -> None:
        sessions = cast(Sessions[Relay], state.sessions)
        self.carrier = Relays(reactor, sessions, state.settings)
        taps = Taps(self.carrier, state.acls)
        self.set_log = taps.set_log
        self._doorstep = Doorstep(self.carrier)
        self._idlers = Idlers(self.carrier)
        self.ends_soon = self._idlers.close
        self._termination = Termination(self.carrier)
        self.reload = self._termination.reload
        self.parts: tuple[Part, ...] = (
            taps.follow,
            self._idlers.follow,
            self._termination.follow,
            self._follow_way_in,
        )

    def _follow_way_in(self, wanted: Settings, applied: Settings) -> Prepared:  # noqa: ARG002
        """What a client goes through before it gets a server; the handshake sees to `peek` too."""
        if wanted.dummy and wanted.ssl_certificate is not None:
            raise CommandError("'dummy' does not speak TLS; it needs a pen without -E")

        def commit() -> None:
            held = wanted.peek or wanted.dummy
            plain = self._doorstep.hold if held else self.carrier.begin
            self.carrier.admit = self._termination.way_in or plain

        return Prepared(commit)

    def close(self) -> None:
        """End everything: first those who have no server yet."""
        self._doorstep.close()
        self._idlers.close()
        self._termination.close()
        self.carrier.close_all("pen ends")


class UdpService:
    """UDP."""

    def __init__(self, reactor: Reactor, state: State) -> None:
        sessions = cast(Sessions[UdpSession], state.sessions)
        self.carrier = Datagrams(reactor, sessions, state.settings)
        taps = UdpTaps(self.carrier)
        self.set_log = taps.set_log
        self.parts: tuple[Part, ...] = (_refuse_streams, taps.follow)

    def ends_soon(self) -> None:
        """Nothing is held ready."""

    def reload(self) -> None:
        """There are no files."""

    def close(self) -> None:
        """End everything."""
        self.carrier.close_all("pen ends")


def _refuse_streams(wanted: Settings, applied: Settings) -> None:  # noqa: ARG001
    """What datagrams have no use for is refused, so that nobody relies on it."""
    asked = (
        (wanted.ssl_certificate, "TLS (-E)"),
        (wanted.http, "http (-H)"),
        (wanted.peek, "peek"),
        (wanted.dummy, "dummy"),
        (wanted.idlers, "idlers"),
    )
    for given, what in asked:
        if given:
            raise CommandError(f"{what} is for TCP, and pen serves UDP")
