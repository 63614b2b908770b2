"""The supervisor: an engine whose clients are served by workers."""

import logging
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
from pen.workers.links import Link, News, teller
from pen.workers.sharing import Membership
from pen.workers.tally import Tally
from pen.workers.worker import Worker

logger = logging.getLogger("pen")

PATIENCE: Final = 5.0
"""Seconds to wait for workers' replies; one that takes longer hangs, and is replaced."""
BREATH: Final = 1.0
"""Seconds in which a worker has at most two successors, if they die young."""


@dataclass(slots=True)
class Process:
    """A worker as the supervisor sees it."""

    number: int
    pid: int
    link: Link
    news: News
    born: float
    """Monotonic time."""
    succeeded: float
    """Its successor may not be born before this time."""

    def __str__(self) -> str:
        return f"worker {self.number} (process {self.pid})"


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
        self.parts: tuple[Part, ...] = (refuse, *engine.parts, self._follow_everything)
        self.facts: Facts = MergedFacts(self.ask, workers)

    def listening_on(self) -> str:
        """See `Engine.listening_on`."""
        return self._engine.listening_on()

    def close_connection(self, number: int) -> None:
        """See `Engine.close_connection`."""
        own, worker = merge.local(number, self._count)
        if worker in self._workers:
            self._call(Close(own), [self._workers[worker]])

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
            self._tell(call, attached=self._group.sockets if call.moved else None)

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
            self._give_birth(number, 0.0)
        self.reactor.run()

    def _give_birth(self, number: int, succeeded: float) -> None:
        """Start a worker, if it is still wanted; or try again later."""
        if self._stopping or number in self._workers:
            return
        try:
            self._start(number, succeeded)
        except OSError as error:
            logger.error("worker %d cannot be started: %s", number, error.strerror)
            self.reactor.call_at(
                self.reactor.now + BREATH, lambda: self._give_birth(number, succeeded)
            )

    def _start(self, number: int, succeeded: float) -> None:
        link, news = Link(PATIENCE), News()
        pid = os.fork()
        if pid == 0:
            self._become_worker(number, link, news)
        link.worker_end.close()
        news.worker_end.close()
        process = Process(number, pid, link, news, time.monotonic(), succeeded)
        self._workers[number] = process
        self.reactor.add(news.fileno(), lambda _: self._on_news(process))

    def _become_worker(self, number: int, link: Link, news: News) -> None:
        """In the new process; never returns."""
        status = 1
        try:
            link.close()
            news.close()
            self._let_go(number)
            membership = partial(Membership, number, self._tally, teller(news.worker_end))
            listener = self._group.sockets[number]
            Worker(self._engine, membership, link.worker_end, listener).run()
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
            news = process.news.take()
        except OSError:
            news = None
        if news is None:
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
        del self._workers[process.number]
        if self._stopping:
            if not self._workers:
                self._engine.stop()
            return
        logger.error(
            "%s has ended (%s): its connections are lost; starting another",
            process, _cause(status),
        )  # fmt: skip
        self.reactor.call_at(
            process.succeeded, lambda: self._give_birth(process.number, process.born + BREATH)
        )

    # Telling and asking them.

    def _call(
        self,
        call: Call,
        processes: Iterable[Process],
        attached: list[socket.socket] | None = None,
    ) -> dict[int, Any]:
        """Call all at once; the replies by number of worker, of those who live and can do it.

        `attached`: a socket for each, by number of worker, to go with the call.
        """
        called = []
        for process in processes:
            with _reaching(process):
                process.link.send(call, attached[process.number] if attached else None)
                called.append(process)
        deadline = time.monotonic() + PATIENCE
        replies = {}
        for process in called:
            with _reaching(process):
                reply = process.link.reply(deadline)
                if isinstance(reply, PenError):
                    logger.error("%s: %s; it goes on as before", process, reply)
                else:
                    replies[process.number] = reply
        return replies

    def _tell(
        self, call: Call, *, but: int = -1, attached: list[socket.socket] | None = None
    ) -> None:
        """Tell all workers; `but`: the number of one who knows."""
        told = [process for process in self._workers.values() if process.number != but]
        self._call(call, told, attached)

    def ask(self, question: str, *arguments: object) -> dict[int, Any]:
        """Every living worker's answer to a question of `stats.facts.Facts`.

        Raises:
            CommandError: there is none.
        """
        answers = self._call(Ask(question, arguments), self._workers.values())
        if not answers:
            raise CommandError("no worker can answer: all have just ended, and others are started")
        return answers


@contextmanager
def _reaching(process: Process) -> Iterator[None]:
    """Around what is done with a link; the worker may have ended, or hang, and then is killed."""
    try:
        yield
    except BlockingIOError:
        logger.error("%s has not answered for %g s; killing it", process, PATIENCE)
        os.kill(process.pid, signal.SIGKILL)
    except (EOFError, OSError):
        pass  # it has ended, which its news will tell


def refuse(wanted: Settings, applied: Settings) -> None:  # noqa: ARG001
    """The part that refuses what cannot be divided among workers.

    Raises:
        CommandError: it is wanted.
    """
    for given, what in ((wanted.dsr_if, "dsr_if"), (wanted.idlers, "idlers")):
        if given:
            raise CommandError(f"'{what}' is for a pen that serves alone; leave out the workers")


def _cause(status: int) -> str:
    """What waitpid(2) says of an end."""
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.WEXITSTATUS(status)}"
