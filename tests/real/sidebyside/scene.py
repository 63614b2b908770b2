"""One program on the stage: a pen that runs, its servers, its clients, and what they saw.

What differs from run to run by nature (ports, pids, times, folders) is replaced by names in all
that is noted, so that the notes of two programs can be compared line by line.
"""

import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port
from tests.real.peers import SUITE, wait_for
from tests.real.sidebyside.servers import NamedServer, Silent

DEADLINE = 10.0


@dataclass(frozen=True)
class Program:
    """A pen and its penctl."""

    name: str
    pen: Path
    penctl: Path


C = Program("C", Path("/usr/bin/pen"), Path("/usr/bin/penctl"))
OURS = Program("ours", SUITE / "pen", SUITE / "penctl")


class Scene:
    """A pen with its servers.

    In options, commands and files, ``{A}`` is server A's address, ``{folder}`` a folder,
    ``{listen}`` and ``{other}`` two addresses to listen on.
    """

    def __init__(self, peers, program, scenario):
        self.program = program
        self.folder = peers.folder / program.name
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.port = free_port()
        self.held = {}
        self._peers = peers
        self.servers = {
            name: Silent(name) if name == "X" else NamedServer(name, scenario.greets)
            for name in "ABCDEFX"
        }
        self.logger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.logger.bind(("127.0.0.1", 0))
        self.names = {
            "folder": self.folder,
            "port": self.port,
            "listen": f"127.0.0.1:{self.port}",
            "other": f"127.0.0.1:{free_port()}",
            "logger": f"127.0.0.1:{self.logger.getsockname()[1]}",
            **{name: f"127.0.0.1:{server.port}" for name, server in self.servers.items()},
            **{f"{name}port": server.port for name, server in self.servers.items()},
        }
        for name, text in scenario.files.items():
            (self.folder / name).write_text(self.filled(text))
        for name in scenario.down.split():
            self.servers[name].stop()
        self.command = [
            "env", "-C", str(self.folder),  # where core files go
            str(program.pen), "-f", "-u", "root", "-C", str(self.control),
            "-w", str(self.folder / "page.html"),  # C shows no page without
            *self.filled(scenario.options).split(),
            *self.filled(scenario.addresses).split(),
        ]  # fmt: skip

    @property
    def control(self):
        return self.folder / "control"

    def start(self):
        name = f"{self.program.name}-pen"
        self.pen = self._peers.start(name, self.command, lambda: self.ctl("pid").strip().isdigit())

    def close(self):
        for stream in self.held.values():
            stream.close()
        for server in self.servers.values():
            server.close()
        self.logger.close()

    def filled(self, text):
        """A text with the names in it replaced by what they stand for."""
        return text.format_map(self.names)

    def ctl(self, command):
        """The reply to a control command."""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(DEADLINE)
                stream.connect(str(self.control))
                stream.sendall(self.filled(command).encode() + b"\n")
                return b"".join(iter(lambda: stream.recv(65536), b"")).decode()
        except OSError as error:
            return f"({error.strerror})"

    def penctl(self, words, suite=None):
        """What penctl, or that of another suite, prints and its exit status."""
        command = [(suite or self.program).penctl, self.control, *self.filled(words).split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return f"{done.stdout}{done.stderr}(exit status {done.returncode})"

    def ended(self):
        return self.pen.ended()

    def said(self):
        """All that it printed."""
        return self.pen.said()

    def connect(self, client):
        """A connection from this address to pen."""
        stream = socket.socket(socket.AF_INET6 if ":" in client else socket.AF_INET)
        stream.settimeout(DEADLINE)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        host, _, own_port = client.partition("#")
        stream.bind((host, int(own_port or 0)))
        stream.connect((stream.getsockname()[0] if ":" in host else "127.0.0.1", self.port))
        return stream

    def settled(self):
        """Wait until pen knows of all that is closed, and of what is open."""

        def open_connections():
            found = re.search(r"(\d+) used", self.ctl("status"))
            return int(found[1]) if found else -1

        wait_for(lambda: open_connections() == len(self.held), "pen sees who came and left")

    def send(self, number):
        self.pen.signal(number)

    def normal(self, text):
        """The text without what differs from run to run."""
        for name, value in self.names.items():
            text = re.sub(rf"(?<![\d.]){re.escape(str(value))}(?!\d)", f"<{name}>", text)
        text = re.sub(rf"\b{self.pen.pid}\b", "<pid>", text)
        text = re.sub(r"fd = \d+", "fd = <fd>", text)
        return re.sub(r"\b1[6-9]\d{8}\b", "<epoch>", text)
