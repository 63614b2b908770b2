"""A worker: an engine in a process of its own, which does what the supervisor says."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final, NoReturn

from pen import daemon
from pen.core.address import resolve
from pen.core.applying import Applier
from pen.core.errors import PenError
from pen.engine import Engine
from pen.net.listening import Listening
from pen.workers.calls import Adopt, Ask, Call, Close, Heard, ReopenFiles, ReopenLog, Stop
from pen.workers.sharing import Membership, join
from pen.workers.tally import WAITING

logger = logging.getLogger("pen")

BREATH: Final = 0.02
"""Seconds between looks whether other workers have made room."""
IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""They are the supervisor's; a terminal sends INT to all."""


class Worker:
    """Made in the process that was just forked; the supervisor's engine becomes its own.

    So all that the supervisor opened while it had the right to is open here too.

    Args:
        engine: the supervisor's, as inherited.
        membership: which worker this is, given what to call when others leave no room.
        link: calls come and replies go here; its other end is the supervisor's.
        listener: where clients come in.
    """

    def __init__(
        self,
        engine: Engine,
        membership: Callable[[Callable[[], object]], Membership],
        link: Connection,
        listener: socket.socket,
    ) -> None:
        self._engine = engine
        self._state = engine.state
        self._link = link
        self._listener = listener
        self._waits = False
        self._membership = membership(self._wait_for_room)
        join(engine.state, self._membership)
        engine.begin_anew()
        engine.listening = self._listening = Listening(
            engine.service.carrier, resolve, self._take_listener
        )
        self._applier = Applier(*engine.parts, applied=engine.state.settings)
        self._answers: dict[type, Callable[..., object]] = {
            Adopt: self._adopt,
            Heard: lambda call: call.news.tell(self._state),
            Ask: lambda call: getattr(engine.facts, call.question)(*call.arguments),
            ReopenFiles: lambda _: engine.reopen_files(),
            ReopenLog: lambda _: engine.reopen_log(),
            Close: lambda call: engine.close_connection(call.number),
            Stop: lambda _: engine.stop(),
        }

    def run(self) -> None:
        """Serve until told to end."""
        self._signals = daemon.Signals([signal.SIGTERM])
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        engine, reactor = self._engine, self._engine.reactor
        reactor.add(self._signals.fileno(), lambda _: engine.stop())
        reactor.add(self._link.fileno(), lambda _: self._obey())
        try:
            self._listening.begin(self._state.settings)
            engine.run()
        finally:
            engine.close()

    def _obey(self) -> None:
        try:
            call: Call = self._link.recv()
        except (EOFError, OSError):
            self._give_up()
        try:
            reply = self._answers[type(call)](call)
        except PenError as error:
            reply = error
        try:
            self._link.send(reply)
        except OSError:
            self._give_up()

    def _give_up(self) -> NoReturn:
        logger.error("process %d: pen's first process is gone; ending", os.getpid())
        os._exit(1)

    def _adopt(self, call: Adopt) -> None:
        if call.moved:
            _, descriptors, _, _ = socket.recv_fds(_as_socket(self._link), 1, 1)
            self._listener = socket.socket(fileno=descriptors[0])
        before = self._state.configuration(tables=True)
        self._state.adopt(call.configuration)
        try:
            self._applier.apply(self._state.settings)
        except PenError:
            self._state.adopt(before)
            raise

    def _wait_for_room(self) -> None:
        """Look again soon whether others have made room."""
        if not self._waits:
            self._waits = True
            reactor = self._engine.reactor
            reactor.call_at(reactor.now + BREATH, self._look_for_room)

    def _look_for_room(self) -> None:
        self._waits = False
        self._membership.put(WAITING, 0)  # unless it is found anew that clients wait
        room_made = self._engine.service.carrier.room_made
        if room_made is not None:
            room_made()

    def _take_listener(self, *_: object) -> socket.socket:
        return self._listener


def _as_socket(link: Connection) -> socket.socket:
    return socket.socket(fileno=os.dup(link.fileno()))
