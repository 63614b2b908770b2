"""Real programs for tests: started, waited for until they serve, and all gone at the end.

Nothing here knows what the programs are; `apache` and `farm` do.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = Path(os.environ.get("PEN_SUITE_BIN", Path(sys.executable).parent))
"""Where pen, penctl, penlog and penlogd are; set PEN_SUITE_BIN to test others, such as Debian's."""


def wait_for(condition, what, seconds=10.0):
    """Wait until the condition gives something true, and return that.

    `what` says what is awaited: a text, or a function that makes one when it did not come.
    """
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            awaited = what() if callable(what) else what
            raise AssertionError(f"not within {seconds:g} s: {awaited}")
        time.sleep(0.01)
    return result


def accepts(host, port):
    """Whether a TCP server is there; it sees a connection that comes and goes."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def receives(port):
    """Whether a UDP server is there, found without sending to it."""
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            if int(line.split()[1].rpartition(":")[2], 16) == port:
                return True
    return False


def group_of(leader):
    """The running threads of a process group; a zombie has others that may hold its sockets."""
    members = []
    for status in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
        try:
            state, _, group, *_ = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(group) == leader and state not in "ZX":
            members.append(int(status.parent.name))
    return members


@dataclass
class Peer:
    """A program that was started, the leader of its process group."""

    name: str
    process: subprocess.Popen
    output: Path

    @property
    def pid(self):
        return self.process.pid

    def ended(self):
        """Whether it has ended; it stays a zombie, so that its group keeps its number."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self.process.returncode is not None or bool(os.waitid(os.P_PID, self.pid, flags))

    def said(self):
        return self.output.read_text(errors="replace")

    def signal(self, number):
        os.kill(self.pid, number)

    def terminate(self, seconds=10.0):
        """TERM, and wait for the end; returns the exit status."""
        self.signal(signal.SIGTERM)
        wait_for(self.ended, lambda: f"the end of {self.name}; it said: {self.said()}", seconds)
        self.kill()
        return self.process.returncode

    def kill(self):
        """Kill it and whatever it started."""
        if self.process.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            wait_for(lambda: not group_of(self.pid), f"the end of {self.name}'s process group")
            self.process.wait()


class Peers:
    """The programs of one test, and a folder for their files that other users can read."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pen-real-"))
        self.folder.chmod(0o755)
        self._peers = []

    def start(self, name, command, serves):
        """Start a program and wait until it serves."""
        output = self.folder / f"{name}.output"
        with output.open("wb") as printed:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        peer = Peer(name, process, output)
        self._peers.append(peer)
        wait_for(lambda: peer.ended() or serves(), lambda: f"{name} serves; it said: {peer.said()}")
        assert not peer.ended(), f"{name} ended; it said: {peer.said()}"
        return peer

    def close_processes(self):
        """Kill them all, while their files stay."""
        for peer in reversed(self._peers):
            peer.kill()

    def close(self):
        self.close_processes()
        shutil.rmtree(self.folder)
