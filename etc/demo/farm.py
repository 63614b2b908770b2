"""The programs wired together. On real machines each command here is a line of a unit file."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ports import accepts, answers, free_port, receives
from processes import Child, ProcessError, Processes
from statuspage import StatusPage

LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("", "*", "0.0.0.0", "::", "[::]")


@dataclass(slots=True, frozen=True)
class Suite:
    """Where the suite's programs are."""

    folder: Path

    def program(self, name: str) -> str:
        """Return the path of a program.

        Raises:
            ProcessError: it is not there.
        """
        path = self.folder / name
        if not path.exists():
            raise ProcessError(f"there is no {path}; `make install` makes it")
        return str(path)


@dataclass(slots=True)
class WebServer:
    """One of the demonstration's own web servers."""

    name: str
    host: str
    port: int
    child: Child


@dataclass(slots=True)
class Farm:
    """pen, what stands behind it, and what goes with it."""

    suite: Suite
    processes: Processes
    listen: str
    """Where pen listens, as it is told: port or host:port."""
    log_port: int = 0
    web_servers: list[WebServer] = field(default_factory=list)

    @property
    def control(self) -> str:
        """The path of pen's control socket; only this user may open it."""
        return str(self.processes.folder / "control")

    @property
    def address(self) -> tuple[str, int]:
        """Where a client on this machine reaches pen."""
        host, _, port = self.listen.rpartition(":")
        return (LOOPBACK if host in _EVERYWHERE else host.strip("[]")), int(port)

    @property
    def _merged_log(self) -> Path:
        return self.processes.folder / "access.log"

    def merged_log_text(self) -> str:
        """Return what penlogd has written so far."""
        return self._merged_log.read_text() if self._merged_log.exists() else ""

    def start_penlogd(self) -> None:
        """Start what makes one log of the web servers'."""
        port = self.log_port = free_port(LOOPBACK, socket.SOCK_DGRAM)
        command = [self.suite.program("penlogd"), "-f", "-l", str(self._merged_log), str(port)]
        self.processes.start("penlogd", command, lambda: receives(port))

    def start_web_server(self, name: str, host: str) -> None:
        """Start a web server that has an address of its own."""
        port = free_port(host)
        self.web_servers.append(WebServer(name, host, port, self._run(name, host, port)))

    def restart(self, server: WebServer) -> None:
        """Start a stopped web server again, where it was."""
        server.child = self._run(server.name, server.host, server.port)

    def _run(self, name: str, host: str, port: int) -> Child:
        # penlog sends from the web server's address: by it penlogd knows whose line it is.
        spool = ["--spool", str(self.processes.folder / "spool")]
        penlog = [self.suite.program("penlog"), *spool, LOOPBACK, str(self.log_port), host]
        script = str(Path(__file__).with_name("webserver.py"))
        command = [sys.executable, script, name, host, str(port), *penlog]
        return self.processes.start(name, command, lambda: accepts(host, port))

    def start_pen(self, servers: list[str]) -> None:
        """Start the balancer in front of these servers (host:port)."""
        command = [self.suite.program("pen"), "-f", "-C", self.control]
        if os.geteuid() == 0:
            command += ["-u", "root"]  # else it would open no control socket
        if self.log_port:
            command += ["-l", f"{LOOPBACK}:{self.log_port}"]
        command += [self.listen, *servers]
        self.processes.start("pen", command, lambda: answers(self.control, b"pid"))

    def penctl(self, *words: str) -> str:
        """Send pen a command and return its answer.

        Raises:
            ProcessError: penctl says that something is wrong.
        """
        command = [self.suite.program("penctl"), self.control, *words]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if result.returncode:
            problem = (result.stdout + result.stderr).strip()
            raise ProcessError(f"penctl {' '.join(words)} failed: {problem}")
        return result.stdout

    def status_page(self) -> StatusPage:
        """Serve pen's status page; the caller closes it."""
        return StatusPage(self.suite.program("penstats"), self.control)
