"""Programs started for a while: each is waited for until it serves, and none is left behind."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.01
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ProcessError(Exception):
    """A program did not do what it was started for."""


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition, at most so long; whether it came true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


@dataclass(slots=True)
class Child:
    """A program that was started."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    """What it prints, on either stream."""

    def has_ended(self) -> bool:
        """Whether it has ended; it is not reaped, so its process id still means it."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, flags) is not None

    def said(self) -> str:
        """The last lines that it printed."""
        lines = self.output.read_text(errors="replace").strip().splitlines()
        return "\n".join(f"  {line}" for line in lines[-5:]) or "  (it printed nothing)"


class Processes:
    """The programs that run, a folder for their files, and the end of both.

    Each program leads a process group of its own: Ctrl-C reaches only this process, which then ends
    them, the last one first, together with whatever they started.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pen-demo-"))
        self._children: list[Child] = []
        self._held = False
        self._interrupted = False

    def __enter__(self) -> "Processes":
        for number in _ENDINGS:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        while self._children:
            self.stop(self._children[-1])
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name: str, command: list[str], serves: Callable[[], bool]) -> Child:
        """Start a program and wait until it serves.

        Raises:
            ProcessError: it ended, or does not serve in time; with what it printed.
        """
        output = self.folder / f"{name}.output"
        with self._no_interrupt(), output.open("wb") as printed:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            child = Child(name, process, output)
            self._children.append(child)
        wait_until(lambda: child.has_ended() or serves(), _START_SECONDS)
        if child.has_ended():
            raise ProcessError(f"{name} did not start; it said:\n{child.said()}")
        if not serves():
            problem = f"{name} does not serve after {_START_SECONDS:g} s; it said:\n{child.said()}"
            raise ProcessError(problem)
        return child

    def stop(self, child: Child) -> None:
        """End a program: ask it by TERM, then kill what is left of its process group."""
        os.kill(child.process.pid, signal.SIGTERM)  # Popen's own methods might reap it
        wait_until(child.has_ended, _STOP_SECONDS)
        try:
            os.killpg(child.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.process.wait()
        self._children.remove(child)

    def check(self) -> None:
        """See that all still run.

        Raises:
            ProcessError: naming the one that has ended.
        """
        for child in self._children:
            if child.has_ended():
                raise ProcessError(f"{child.name} ended by itself; it said:\n{child.said()}")

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupted = True
        if not self._held:
            raise KeyboardInterrupt

    @contextmanager
    def _no_interrupt(self) -> Iterator[None]:
        """Put an interrupt off, so that no process is started that nobody knows of."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._interrupted:
            raise KeyboardInterrupt
