"""How both pens start, and what becomes of those that cannot."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.real.peers import accepts, wait_for
from tests.real.sidebyside.scene import OURS, C
from tests.real.sidebyside.servers import NamedServer

PROGRAMS = pytest.mark.parametrize("program", [C, OURS], ids=lambda program: program.name)


@pytest.fixture
def server():
    server = NamedServer("A")
    yield f"127.0.0.1:{server.port}"
    server.close()


def run(program, *words):
    """Start it without -f; its exit status once it has gone into the background, or failed."""
    command = [program.pen, *map(str, words)]
    return subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=False
    ).returncode


@contextlib.contextmanager
def ended_by(number, file):
    """End the process whose id is in the file, and wait until it is gone."""
    try:
        yield
    finally:
        process = int(file.read_text())
        os.kill(process, number)
        wait_for(lambda: not Path(f"/proc/{process}").exists(), "the end of pen")


@PROGRAMS
def test_the_background(program, server, tmp_path):
    port, file = free_port(), tmp_path / "pid"
    assert run(program, "-p", file, f"127.0.0.1:{port}", server) == 0
    wait_for(lambda: file.exists() and file.read_text().strip(), "the pid file")
    with ended_by(signal.SIGTERM, file):
        wait_for(lambda: accepts("127.0.0.1", port), "pen serves")
        command = Path(f"/proc/{int(file.read_text())}/cmdline").read_bytes()
        assert str(file).encode() in command
        assert Path(f"/proc/{int(file.read_text())}/cwd").readlink() == Path.cwd()
    assert not file.exists()


@PROGRAMS
@pytest.mark.parametrize("host", ["127.0.0.1:", "localhost:", ""])
def test_control_over_tcp(peers, program, server, host):
    port = free_port()
    command = [program.pen, "-f", "-u", "root", "-C", f"{host}{port}", str(free_port()), server]
    peers.start("pen", command, lambda: accepts("127.0.0.1", port))
    for penctl in (C.penctl, OURS.penctl):
        done = subprocess.run([penctl, f"127.0.0.1:{port}", "control"], capture_output=True)
        assert done.stdout.decode() == f"{host}{port}\n"


@PROGRAMS
@pytest.mark.parametrize("words", [(), ("-y",), ("-t",)], ids=["nothing", "unknown", "half"])
def test_bad_usage(program, words):
    """What docs/compatibility.md tells of it."""
    assert run(program, *words) == (0 if program is C else 2)
