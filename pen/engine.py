"""What serves clients: the loop, the listener, the relays and the log, of one process.

An engine does as the state says, and follows changed settings through its `parts`; it never
reads commands or options itself.
"""

import gc
import logging
from contextlib import ExitStack
from typing import Any, Protocol, cast

from pen import daemon
from pen.core.address import Endpoint, Resolve
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
from pen.stats.facts import Facts, LocalFacts

logger = logging.getLogger("pen")

OWN_DESCRIPTORS = 64
"""Descriptors needed beside two for each connection."""
HELD_MIN = 16
"""Connections to try for even where descriptors are too few by that reckoning."""


class Listens(Protocol):
    """What follows where pen listens."""

    @property
    def interface(self) -> str | None:
        """That of direct server return; None: sockets listen."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where clients connect to; None before the first time."""

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""

    def close(self) -> None:
        """Stop listening."""


class Serving(Protocol):
    """What the balancer wants of whoever serves the clients: one engine, or many workers."""

    reactor: Reactor
    facts: Facts

    @property
    def parts(self) -> tuple[Part, ...]:
        """What follows the settings."""

    def listening_on(self) -> str:
        """Address that clients connect to."""

    def reopen_files(self) -> None:
        """HUP: read certificates and the database of countries again.

        Raises:
            PenError: one cannot be used; it stays as it was.
        """

    def reopen_log(self) -> None:
        """HUP: open the log anew.

        Raises:
            PenError: it cannot be opened; the old one stays in use.
        """

    def close_connection(self, number: int) -> None:
        """Close a session if it is there."""

    def run(self) -> None:
        """Serve until `stop`."""

    def stop(self) -> None:
        """Let `run` return soon."""

    def close(self) -> None:
        """Close all there is."""


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
        self._workers = state.settings.workers
        self._reserve_descriptors()
        self.reactor = Reactor(make_poller(state.settings.poller))
        serving = UdpService if state.settings.udp else TcpService
        self.service: Service = serving(self.reactor, state)
        self.listening: Listens = self._make_listening(find)
        carrier = self.service.carrier
        self.log = CurrentLog(self.reactor, find, self.service.set_log, carrier.set_watch)
        self.countries = Countries(state.acls)
        self.facts: Facts = LocalFacts(state, lambda: self.reactor.now)

    @property
    def parts(self) -> tuple[Part, ...]:
        """See `Serving`."""
        return (
            self._refuse_late,
            self.log.follow,
            self.countries.follow,
            transparent.follow,
            source.follow,
            *self.service.parts,
            self._follow_listen,
            self._follow_sizes,
        )

    def _make_listening(self, find: Resolve) -> Listens:
        interface = self.state.settings.dsr_if
        if interface is None:
            return Listening(self.service.carrier, find)
        return DirectReturn(self.reactor, self.state, interface)

    def begin_anew(self) -> None:
        """In a process just forked: a loop of its own, and the state's present sessions."""
        self.reactor.restart(make_poller(self.state.settings.poller))
        self.service.carrier.enter(self.reactor, cast(Any, self.state.sessions))

    def run(self) -> None:
        """See `Serving`."""
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

    def listening_on(self) -> str:
        """See `Serving`."""
        ending = self.listening.endpoint is None
        return "nowhere, for pen is ending" if ending else self.state.settings.listen

    def reopen_files(self) -> None:
        """See `Serving`."""
        self.countries.reopen()
        self.service.reload()

    def reopen_log(self) -> None:
        """See `Serving`."""
        self.log.reopen()

    def close_connection(self, number: int) -> None:
        """See `Serving`."""
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
        if wanted.workers != self._workers:
            raise CommandError("'workers' must be given before pen starts")
        if wanted.poller != self.reactor.poller.name:
            raise CommandError(f"'{wanted.poller}' must be given before pen starts")
        if wanted.dsr_if != self.listening.interface:
            raise CommandError("'dsr_if' must be given before pen starts")

    def _follow_sizes(self, wanted: Settings, applied: Settings) -> Prepared:
        def commit() -> None:
            self.state.clients.capacity = -(-wanted.clients_max // self.state.shares)
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
    """Let the garbage collector look rarely, at little, and never at what stays.

    Relays leave no circles, so what it could find is little; left at its default it
    took a tenth of the time of a short connection. It stops the world by what it looks at:
    the new 2,000 objects (0.2 ms), after two such the 6,000 (0.6 ms), and hardly ever all.
    Looking at 50,000 took 9 ms, at the million of as many remembered clients 200 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 2, 10_000)
