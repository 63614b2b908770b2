"""Starting, waiting for and ending the processes of a measurement."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_DEADLINE = 60.0  # seconds until a started server must listen
STOP_DEADLINE = 15.0  # seconds between TERM and KILL


class StartError(Exception):
    """A server did not come up; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started process and the file that has what it printed."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process's id, which is its process group's too."""
        return self.process.pid

    def last_words(self) -> str:
        """Return the last line it printed."""
        said = self.log.read_text(errors="replace").strip().splitlines()
        return said[-1] if said else "it said nothing"

    def wait_until_listening(self, host: str, port: int, *, udp: bool = False) -> None:
        """Return when host:port accepts connections, or (`udp`) is bound.

        Raises:
            StartError: the process ended, or START_DEADLINE passed.
        """
        deadline = time.monotonic() + START_DEADLINE
        ready = _receives if udp else _accepts
        while not ready(host, port):
            status = self.process.poll()
            if status is not None:
                raise StartError(f"ended with status {status}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise StartError(f"not listening at {host}:{port} after {START_DEADLINE:.0f} s")
            time.sleep(0.02)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _receives(host: str, port: int) -> bool:
    """Whether a UDP socket is bound there, found without sending to it (proc_net(5))."""
    bound = f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1] == bound for line in lines)


@contextmanager
def running(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run `command` in a process group of its own, which is gone when the block ends.

    Raises:
        StartError: there is no such program, or it cannot be run.
    """
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"{command[0]}: {error.strerror}") from error
    try:
        yield Running(process, log)
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    deadline = time.monotonic() + STOP_DEADLINE
    while _kill_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)  # they die, and are reaped, in their own time


def _kill_group(group: int) -> bool:
    """Kill what is left of a process group; False when nothing is."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def free_port(host: str) -> int:
    """Find a TCP port that the kernel says is free on `host` now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
