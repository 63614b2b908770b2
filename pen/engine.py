"""What serves clients: the loop, the listener, the relays and the log, of one process.

An engine does as the state says, and follows changed settings through its `parts`; it never
reads commands or options itself.
"""

import gc
import logging
from contextlib import ExitStack

from pen import daemon
from pen.core.address import Resolve
from pen.core.applying import Part, Prepared
from pen.core.errors import CommandError
from pen.core.settings import Settings
from pen.core.state import State
from pen.countries import Countries
from pen.logs.current import CurrentLog
from pen.net import source, transparent
from pen.net.dsr import DirectReturn
from pen.net.listening import Listening
from pen.net.pollers import SelectPoller, make_poller
from pen.net.reactor import Reactor
from pen.services import Service, TcpService, UdpService

logger = logging.getLogger("pen")

OWN_DESCRIPTORS = 64
"""Descriptors needed beside two for each connection."""
HELD_MIN = 16
"""Connections to try for even where descriptors are too few by that reckoning."""


class Engine:
    """Serves the clients of a state. When its parts first follow, listener and log are opened.

    Args:
        state: what it does as.
        find: gives the address of a host.

    Raises:
        PenError: the event mechanism, or the interface for direct server return, cannot be had.
    """

    def __init__(self, state: State, find: Resolve) -> None:
        self.state = state
        self._ending = False
        self._reserve_descriptors()
        self.reactor = Reactor(make_poller(state.settings.poller))
        serving = UdpService if state.settings.udp else TcpService
        self.service: Service = serving(self.reactor, state)
        self.listening = self._make_listening(find)
        carrier = self.service.carrier
        self.log = CurrentLog(self.reactor, find, self.service.set_log, carrier.set_watch)
        self.countries = Countries(state.acls)
        self.parts: tuple[Part, ...] = (
            self._refuse_late,
            self.log.follow,
            self.countries.follow,
            transparent.follow,
            source.follow,
            *self.service.parts,
            self._follow_listen,
            self._follow_sizes,
        )

    def _make_listening(self, find: Resolve) -> Listening | DirectReturn:
        interface = self.state.settings.dsr_if
        if interface is None:
            return Listening(self.service.carrier, find)
        return DirectReturn(self.reactor, self.state, interface)

    def run(self) -> None:
        """Serve until `stop`."""
        _calm_collector()
        self.reactor.run()

    def stop(self) -> None:
        """Let `run` return: once clients have finished, within `grace`; the second time at once."""
        grace, carrier = self.state.settings.grace, self.service.carrier
        if self._ending or not grace or not len(carrier.sessions):
            self.reactor.stop()
            return
        self._ending = True
        logger.info("ends in %d s, or when %d connections have", grace, len(carrier.sessions))
        self.listening.close()
        self.service.ends_soon()
        carrier.room_made = self._stop_when_done
        self._stop_when_done()
        self.reactor.call_at(self.reactor.now + grace, self.reactor.stop)

    def _stop_when_done(self) -> None:
        if not len(self.state.sessions):
            self.reactor.stop()

    def close(self) -> None:
        """Close all there is: first the way in, last the log."""
        with ExitStack() as closing:
            closing.callback(self.log.close)
            closing.callback(self.service.close)
            closing.callback(self.listening.close)

    def close_connection(self, number: int) -> None:
        """Close a session if it is there."""
        session = self.service.carrier.sessions.get(number)
        if session is not None:
            session.close("by command")

    def _reserve_descriptors(self) -> None:
        settings = self.state.settings
        wanted = 2 * settings.conn_max + OWN_DESCRIPTORS
        ceiling = SelectPoller.LIMIT if settings.poller == SelectPoller.name else None
        limit = daemon.raise_descriptor_limit(wanted, ceiling)
        self.state.sessions.holdable = max(HELD_MIN, (limit - OWN_DESCRIPTORS) // 2)
        if limit < wanted:
            logger.warning(
                "open files are limited to %d, so at most %d of %d connections are held at once",
                limit, self.state.sessions.holdable, settings.conn_max,
            )  # fmt: skip

    # What follows the settings; see `core.applying`.

    def _follow_listen(self, wanted: Settings, applied: Settings) -> Prepared | None:
        if self._ending and wanted.listen != applied.listen:
            raise CommandError("pen is ending, and listens no more")
        return self.listening.follow(wanted, applied)

    def _refuse_late(self, wanted: Settings, applied: Settings) -> None:  # noqa: ARG002
        if wanted.protocol != self.service.carrier.protocol:
            word = "udp" if wanted.udp else "no udp"
            raise CommandError(f"'{word}' must be given before pen starts")
        if wanted.poller != self.reactor.poller.name:
            raise CommandError(f"'{wanted.poller}' must be given before pen starts")
        if wanted.dsr_if != self.listening.interface:
            raise CommandError("'dsr_if' must be given before pen starts")

    def _follow_sizes(self, wanted: Settings, applied: Settings) -> Prepared:
        def commit() -> None:
            self.state.clients.capacity = wanted.clients_max
            if wanted.conn_max > applied.conn_max:
                self._reserve_descriptors()
            logger.setLevel(logging.DEBUG if wanted.debug else logging.INFO)
            self.reactor.aborts = wanted.abort_on_error
            carrier = self.service.carrier
            carrier.retune()
            if wanted.idle_timeout != applied.idle_timeout:
                carrier.watch_idle()
            if carrier.room_made is not None:
                carrier.room_made()  # for a limit may have been raised

        return Prepared(commit)


def _calm_collector() -> None:
    """Let the garbage collector look rarely, and never at what stays.

    Relays leave no circles, so what it could find is little; left at its default it
    took a tenth of the time of a short connection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
