"""Pen's own sender of records, alone: what comes in on stdin goes to a penlogd.

    python bench/pensender.py HOST:PORT < records

It is `pen.logs.penlogdlog` on pen's own loop, so records go as pen would send them: here with the
bench saying when, and without the work of a balancer beside.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pen.core.address import resolve
from pen.logs.penlogdlog import PenlogdLog
from pen.net.pollers import EpollPoller
from pen.net.reactor import Reactor
from penlog.lines import LineSplitter
from penlog.records import split_datagram


class Telling:
    """Reads records from a descriptor and logs them, until its end."""

    def __init__(self, fd: int, log: PenlogdLog, reactor: Reactor) -> None:
        self._fd, self._log, self._reactor = fd, log, reactor
        self._lines = LineSplitter()

    def read(self, _mask: int) -> None:
        """Log what there is."""
        data = os.read(self._fd, 1 << 16)
        if not data:
            self._reactor.remove(self._fd)
            self._reactor.stop()
        for line in self._lines.feed(data):
            self._tell(line)
        self._log.flush()

    def _tell(self, line: bytes) -> None:
        if line.startswith(b"="):
            self._log.add(line + b"\n")
        else:
            client, server, request = split_datagram(line)
            self._log.record(client.decode(), 0, server.decode(), request)


def main() -> None:
    """Run."""
    reactor = Reactor(EpollPoller())
    log = PenlogdLog(sys.argv[1], resolve, reactor, lambda: None)
    reactor.add(0, Telling(0, log, reactor).read)
    reactor.run()
    log.close()
    if log.lost:
        sys.exit(f"pensender: {log.lost} records were lost")


if __name__ == "__main__":
    main()
