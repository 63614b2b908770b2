"""What serves clients: the loop, the listener, the relays and the log, of one process.

An engine does as the state says, and follows changed settings through its `parts`; it never
reads commands or options itself.
"""

import gc
import logging
from contextlib import ExitStack
from typing import cast

from pen import daemon
from pen.core.address import Resolve
from pen.core.applying import Part, Prepared
from pen.core.errors import CommandError
from pen.core.session import Sessions
from pen.core.settings import Settings
from pen.core.state import State
from pen.countries import Countries
from pen.logs.current import CurrentLog
from pen.net import source, transparent
from pen.net.doorstep import Doorstep
from pen.net.dsr import DirectReturn
from pen.net.idlers import Idlers
from pen.net.listening import Listening
from pen.net.pollers import SelectPoller, make_poller
from pen.net.reactor import Reactor
from pen.net.relay import Relay
from pen.net.relays import Relays
from pen.net.taps import Taps
from pen.net.termination import Termination

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
        self.relays = Relays(self.reactor, cast(Sessions[Relay], state.sessions), state.settings)
        self.listening = self._make_listening(find)
        self.doorstep = Doorstep(self.relays)
        self.idlers = Idlers(self.relays)
        taps = Taps(self.relays, state.acls)
        self.log = CurrentLog(self.reactor, find, taps.set_log, self.relays.set_watch)
        self.countries = Countries(state.acls)
        self.termination = Termination(self.relays)
        self.parts: tuple[Part, ...] = (
            self._refuse_late,
            self.log.follow,
            taps.follow,
            self.countries.follow,
            transparent.follow,
            source.follow,
            self.idlers.follow,
            self.termination.follow,
            self._follow_way_in,
            self._follow_listen,
            self._follow_sizes,
        )

    def _make_listening(self, find: Resolve) -> Listening | DirectReturn:
        interface = self.state.settings.dsr_if
        if interface is None:
            return Listening(self.relays, find)
        return DirectReturn(self.reactor, self.state, interface)

    def run(self) -> None:
        """Serve until `stop`."""
        _calm_collector()
        self.reactor.run()

    def stop(self) -> None:
        """Let `run` return: once clients have finished, within `grace`; the second time at once."""
        grace, relays = self.state.settings.grace, self.relays
        if self._ending or not grace or not len(relays.sessions):
            self.reactor.stop()
            return
        self._ending = True
        logger.info("ends in %d s, or when %d connections have", grace, len(relays.sessions))
        self.listening.close()
        self.idlers.close()
        relays.room_made = self._stop_when_done
        self.reactor.call_at(self.reactor.now + grace, self.reactor.stop)

    def _stop_when_done(self) -> None:
        if not len(self.relays.sessions):
            self.reactor.stop()

    def close(self) -> None:
        """Close all there is: first the way in, last the log."""
        with ExitStack() as closing:
            closing.callback(self.log.close)
            closing.callback(self.relays.close_all, "pen ends")
            closing.callback(self.termination.close)
            closing.callback(self.idlers.close)
            closing.callback(self.doorstep.close)
            closing.callback(self.listening.close)

    def close_connection(self, number: int) -> None:
        """Close a session if it is there."""
        relay = self.relays.sessions.get(number)
        if relay is not None:
            relay.close("by command")

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

    def _follow_way_in(self, wanted: Settings, applied: Settings) -> Prepared:  # noqa: ARG002
        """What a client goes through before it gets a server; the handshake sees to `peek` too."""
        if wanted.dummy and wanted.ssl_certificate is not None:
            raise CommandError("'dummy' does not speak TLS; it needs a pen without -E")

        def commit() -> None:
            held = wanted.peek or wanted.dummy
            plain = self.doorstep.hold if held else self.relays.begin
            self.relays.admit = self.termination.way_in or plain

        return Prepared(commit)

    def _follow_listen(self, wanted: Settings, applied: Settings) -> Prepared | None:
        if self._ending and wanted.listen != applied.listen:
            raise CommandError("pen is ending, and listens no more")
        return self.listening.follow(wanted, applied)

    def _refuse_late(self, wanted: Settings, applied: Settings) -> None:  # noqa: ARG002
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
            self.relays.retune()
            self.reactor.aborts = wanted.abort_on_error
            if wanted.idle_timeout != applied.idle_timeout:
                self.relays.watch_idle()
            if self.relays.room_made is not None:
                self.relays.room_made()  # for a limit may have been raised

        return Prepared(commit)


def _calm_collector() -> None:
    """Let the garbage collector look rarely, and never at what stays.

    Relays leave no circles, so what it could find is little; left at its default it
    took a tenth of the time of a short connection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
