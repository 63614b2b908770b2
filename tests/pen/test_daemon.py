"""Pid file, background, user, chroot, signals and a clean end, seen from outside."""

import os
import subprocess

import pytest

from tests.pen.conftest import BIN, DEADLINE, echo
from tests.ports import free_port


def run(*arguments: object, **options) -> subprocess.CompletedProcess:
    """A pen that is expected to end, or to go into the background, by itself."""
    return subprocess.run(
        [BIN / "pen", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        **options,
    )


def test_a_start_that_fails_leaves_the_pid_file_of_the_pen_that_runs(pen, backend, tmp_path):
    pid_file, server = tmp_path / "pid", f"127.0.0.1:{backend(echo).port}"
    running = pen("-p", pid_file, server)
    second = run("-f", "-p", pid_file, f"127.0.0.1:{running.port}", server)
    assert (second.returncode, "address in use" in second.stderr) == (1, True)
    assert pid_file.read_text() == f"{running.process.pid}\n"
    assert running.stop() == 0
    assert not pid_file.exists()


def test_a_start_that_fails_leaves_no_pid_file(tmp_path):
    pid_file = tmp_path / "pid"
    assert run("-f", "-p", pid_file, "-l", tmp_path / "no/log", "127.0.0.1:0", "::1").returncode
    assert not pid_file.exists()


def test_the_pid_file_of_a_pen_that_came_later_stays(pen, backend, tmp_path):
    pid_file, server = tmp_path / "pid", f"127.0.0.1:{backend(echo).port}"
    first, second = pen("-p", pid_file, server), pen("-p", pid_file, server)
    assert first.stop() == 0
    assert pid_file.read_text() == f"{second.process.pid}\n"


@pytest.mark.parametrize("foreground", ["-f", "-d"])
def test_a_pid_file_that_cannot_be_written_is_said(tmp_path, foreground):
    """Nor is it removed: it is no file, but a device (here one of our own)."""
    device = tmp_path / "device"
    full = os.stat("/dev/full")
    os.mknod(device, full.st_mode, full.st_rdev)
    ended = run(foreground, "-p", device, f"127.0.0.1:{free_port()}", "127.0.0.1:1")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"pen: cannot write pid file '{device}': ")
    assert len(ended.stderr.splitlines()) == 1
    assert device.exists()
