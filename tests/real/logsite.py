"""A penlogd and its loggers, of which every line is counted."""

import os
import select
import subprocess
import time

from tests.ports import free_port
from tests.real.peers import SUITE, wait_for

DEBIAN_PENLOG = "/usr/bin/penlog"
STAMP = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()).encode()


def lines(first, last):
    """Lines that tell their numbers."""
    return b"".join(
        b'192.0.2.1 - - [%b] "GET /%d HTTP/1.1" 200 5 "-" "-"\n' % (STAMP, number)
        for number in range(first, last)
    )


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def ready(fd: int, event: int) -> bool:
    """Whether a descriptor is ready now; select() would not take those from 1024 on."""
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(0))


class Site:
    """A penlogd, and loggers that read from pipes that outlive them, as Apache's do."""

    def __init__(self, peers):
        self.peers = peers
        self.folder = peers.folder
        self.log = self.folder / "log" / "access.log"
        self.log.parent.mkdir()
        self.port = free_port("0.0.0.0")
        self.host = "127.0.0.1"
        self.within = {"penlogd": [], "penlog": []}
        self.options = ["--hold", "0.3"]
        self.runs = 0
        self.written = 0
        self.lost = self.doubled = None
        self.pipes = []
        self.loggers = []

    def start_penlogd(self, *options):
        self.runs += 1
        command = [*self.within["penlogd"], SUITE / "penlogd", "-f", "-d", "-l", self.log]
        command += [*self.options, *options, str(self.port)]
        serves = lambda: b"receive buffer" in self._output("penlogd")  # noqa: E731
        self.penlogd = self.peers.start(f"penlogd{self.runs}", command, serves)
        return self.penlogd

    def _output(self, name):
        return (self.folder / f"{name}{self.runs}.output").read_bytes()

    def pipe(self):
        """Make what a web server writes into; returns its two ends."""
        self.pipes.append(os.pipe())
        os.set_blocking(self.pipes[-1][1], False)
        return self.pipes[-1]

    def start_penlog(self, pipe, *options, program=SUITE / "penlog"):
        command = [*self.within["penlog"], program, *options, self.host, str(self.port)]
        if program != DEBIAN_PENLOG:
            command[-2:-2] = ["--spool", self.folder / "spool"]
        said = (self.folder / "penlog.output").open("ab")
        logger = subprocess.Popen(list(map(str, command)), stdin=pipe[0], stderr=said)
        said.close()
        self.loggers.append(logger)
        return logger

    def write(self, pipe, count):
        """Write the next lines as a web server does."""
        data = lines(self.written, self.written + count)
        self.written += count
        while data:
            wait_for(lambda: ready(pipe[1], select.POLLOUT), "a logger that reads")
            data = data[os.write(pipe[1], data) :]

    def end(self, pipe):
        """Close what was written into."""
        for fd in pipe:
            os.close(fd)
        self.pipes.remove(pipe)

    def text(self):
        """The log, in all its files."""
        files = [path for path in self.log.parent.glob("access.log*") if "journal" not in path.name]
        return b"".join(path.read_bytes() for path in files)

    def count(self):
        """How many lines are in the log."""
        return self.text().count(b"\n")

    def check(self, seconds=30):
        """All lines come, each once."""
        wait_for(
            lambda: self.count() >= self.written,
            lambda: f"{self.written} lines; {self.count()} came; penlog said {self.said()}",
            seconds,
        )
        self.penlogd.terminate()
        numbers = [int(line.split()[6][1:]) for line in self.text().splitlines()]
        self.lost = len(set(range(self.written)) - set(numbers))
        self.doubled = len(numbers) - len(set(numbers))
        assert (self.lost, self.doubled) == (0, 0)
        assert sorted(numbers) == list(range(self.written))

    def said(self):
        return (self.folder / "penlog.output").read_text()

    def close(self):
        for logger in self.loggers:
            if logger.poll() is None:
                logger.kill()
            logger.wait()
        for pipe in list(self.pipes):
            self.end(pipe)
