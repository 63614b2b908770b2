"""The supervisor: an engine whose clients are served by workers."""

import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

from pen.core.address import Resolve
from pen.core.applying import Part, Prepared
from pen.core.errors import CommandError, PenError
from pen.core.settings import Settings
from pen.engine import Engine
from pen.stats import merge
from pen.stats.facts import Facts
from pen.workers.calls import Adopt, Ask, Call, Close, Heard, ReopenFiles, ReopenLog, Stop
from pen.workers.facts import MergedFacts
from pen.workers.group import ListeningGroup
from pen.workers.sharing import Membership, ServerNews
from pen.workers.tally import Tally
from pen.workers.worker import Worker

logger = logging.getLogger("pen")

PATIENCE: Final = 10.0
"""Seconds to wait for a worker's reply; one that takes longer hangs, and is replaced."""
BREATH: Final = 1.0
"""Seconds between the births of a worker whose predecessors die young."""


@dataclass(slots=True)
class Process:
    """A worker as the supervisor sees it."""

    number: int
    pid: int
    link: Connection
    news: Connection
    born: float


class Supervisor:
    """Starts the workers, tells them what changes, asks them, and replaces those that die.

    Args:
        engine: follows the settings here too, so that what cannot be done is known before any
            worker is told; it serves nobody until a worker inherits it.
        find: gives the address of a host.
        workers: how many.
    """

    def __init__(self, engine: Engine, find: Resolve, workers: int) -> None:
        self._engine = engine
        self._group = engine.listening = ListeningGroup(
            workers, engine.service.carrier.protocol, find
        )
        self._tally = Tally(workers)
        self._count = workers
        self._workers: dict[int, Process] = {}
        self._stopping = False
        self.reactor = engine.reactor
        self.parts: tuple[Part, ...] = (_refuse, *engine.parts, self._follow_everything)
        self.facts: Facts = MergedFacts(self.ask, workers)

    def listening_on(self) -> str:
        """See `Engine.listening_on`."""
        return self._engine.listening_on()

    def close_connection(self, number: int) -> None:
        """See `Engine.close_connection`."""
        own, worker = merge.local(number, self._count)
        if worker in self._workers:
            self._call(self._workers[worker], Close(own))

    def reopen_files(self) -> None:
        """See `Engine.reopen_files`."""
        self._engine.reopen_files()
        self._tell(ReopenFiles())

    def reopen_log(self) -> None:
        """See `Engine.reopen_log`."""
        self._engine.reopen_log()
        self._tell(ReopenLog())

    def _follow_everything(self, wanted: Settings, applied: Settings) -> Prepared:
        def commit() -> None:
            configuration = self._engine.state.configuration(tables=True)
            call = Adopt(configuration, moved=wanted.listen != applied.listen)
            for process in list(self._workers.values()):
                moved = self._group.sockets[process.number] if call.moved else None
                self._call(process, call, moved)

        return Prepared(commit)

    def stop(self) -> None:
        """Tell all to end; `run` returns when they have."""
        self._stopping = True
        self._group.close()
        self._tell(Stop())
        if not self._workers:
            self._engine.stop()

    def close(self) -> None:
        """Close what is left, and do not leave workers behind."""
        for process in self._workers.values():
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
        self._engine.close()

    # The workers' lives.

    def run(self) -> None:
        """See `Engine.run`."""
        for number in range(self._count):
            self._start(number)
        self.reactor.run()

    def _start(self, number: int) -> None:
        link, its_link = _pair()
        news, its_news = _pair()
        pid = os.fork()
        if pid == 0:
            link.close()
            news.close()
            self._become_worker(number, its_link, its_news)
        its_link.close()
        its_news.close()
        process = Process(number, pid, link, news, time.monotonic())
        self._workers[number] = process
        self.reactor.add(news.fileno(), lambda _: self._on_news(process))

    def _become_worker(self, number: int, link: Connection, news: Connection) -> None:
        """In the new process; never returns."""
        status = 1
        try:
            self._let_go(number)
            membership = partial(Membership, number, self._tally, news.send)
            Worker(self._engine, membership, link, self._group.sockets[number]).run()
            status = 0
        except PenError as error:
            logger.error("worker %d: %s", number, error)
        except BaseException:
            logger.exception("worker %d: internal error", number)
        finally:
            os._exit(status)

    def _let_go(self, number: int) -> None:
        """Close what is the supervisor's, so that its end, and others' ends, are seen."""
        for fd in self.reactor.handlers:
            os.close(fd)
        for other in self._workers.values():
            other.link.close()
        for index, each in enumerate(self._group.sockets):
            if index != number and each is not self._group.sockets[number]:
                each.close()

    def _on_news(self, process: Process) -> None:
        try:
            news: ServerNews = process.news.recv()
        except (EOFError, OSError):
            self._bury(process)
            return
        news.tell(self._engine.state)
        self._tell(Heard(news), but=process.number)

    def _bury(self, process: Process) -> None:
        """A worker has ended: its connections are gone, another takes its place."""
        self.reactor.remove(process.news.fileno())
        process.news.close()
        process.link.close()
        _, status = os.waitpid(process.pid, 0)
        self._tally.clear(process.number)
        if self._workers.get(process.number) is process:
            del self._workers[process.number]
        if self._stopping:
            if not self._workers:
                self._engine.stop()
            return
        logger.error(
            "worker %d (process %d) has ended (%s): its connections are lost; starting another",
            process.number, process.pid, _cause(status),
        )  # fmt: skip
        delay = 0.0 if time.monotonic() - process.born > BREATH else BREATH
        self.reactor.call_at(self.reactor.now + delay, lambda: self._replace(process.number))

    def _replace(self, number: int) -> None:
        if not self._stopping and number not in self._workers:
            self._start(number)

    # Telling and asking them.

    def _call(self, process: Process, call: Call, attached: socket.socket | None = None) -> Any:
        """A worker's reply; None from one that is dying."""
        try:
            process.link.send(call)
            if attached is not None:
                _pass(process.link, attached)
            if not process.link.poll(PATIENCE):
                logger.error("worker %d hangs; replacing it", process.number)
                os.kill(process.pid, signal.SIGKILL)
                return None
            reply = process.link.recv()
        except (EOFError, OSError):
            return None
        if isinstance(reply, PenError):
            logger.error("worker %d: %s; it goes on as before", process.number, reply)
            return None
        return reply

    def _tell(self, call: Call, but: int = -1) -> None:
        """Tell all workers; `but`: the number of one who knows."""
        for process in list(self._workers.values()):
            if process.number != but:
                self._call(process, call)

    def ask(self, question: str, *arguments: object) -> dict[int, Any]:
        """Every living worker's answer to a question of `stats.facts.Facts`."""
        answers = {
            number: self._call(self._workers[number], Ask(question, arguments))
            for number in sorted(self._workers)
        }
        return {number: answer for number, answer in answers.items() if answer is not None}


def _refuse(wanted: Settings, applied: Settings) -> None:  # noqa: ARG001
    """What cannot be divided among workers."""
    for given, what in ((wanted.dsr_if, "dsr_if"), (wanted.idlers, "idlers")):
        if given:
            raise CommandError(f"'{what}' is for a pen that serves alone; leave out the workers")


def _pair() -> tuple[Connection, Connection]:
    """A way between two processes, and its other end."""
    one, other = socket.socketpair()
    return Connection(one.detach()), Connection(other.detach())


def _pass(link: Connection, attached: socket.socket) -> None:
    """Send a descriptor after a call (SCM_RIGHTS, unix(7))."""
    with socket.socket(fileno=os.dup(link.fileno())) as way:
        socket.send_fds(way, [b"s"], [attached.fileno()])


def _cause(status: int) -> str:
    """What waitpid(2) says of an end."""
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"
