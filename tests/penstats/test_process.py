"""penstats signals pen and nothing else."""

import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstats.errors import NoPageError
from penstats.process import Pen, runs_pen


@pytest.mark.parametrize(
    ("program", "command_line", "is_pen"),
    [
        (b"pen", b"/usr/bin/pen 80 www1 www2", True),
        (b"pen", b"whatever", True),
        (None, b"pen 80 www1", True),
        (None, b"/usr/sbin/pen", True),
        (b"python3.11", b"/opt/venv/bin/python /opt/venv/bin/pen -f 80 www1", True),
        (None, b"/opt/venv/bin/python3 /opt/venv/bin/pen", True),
        (b"python3.11", b"python3 -I -X utf8 -m pen.cli 80 www1", True),
        (b"python3", b"python3 -m pen", True),
        (b"bash", b"pen", False),
        (b"penctl", b"pen", False),
        (b"python3.11", b"pen", False),
        (b"python3.11", b"python3 /usr/bin/penctl pen", False),
        (b"python3.11", b"python3 -c pen pen", False),
        (b"python3.11", b"python3 -cpen pen", False),
        (b"python3.11", b"python3 -m http.server pen", False),
        (b"python3.11", b"python3 -m", False),
        (b"python3.11", b"python3 -X", False),
        (b"vim", b"vim pen", False),
        (None, b"grep pen", False),
        (None, b"", False),
    ],
)
def test_what_is_a_pen(program, command_line, is_pen):
    assert runs_pen(program, command_line.split(b" ")) is is_pen


@given(st.none() | st.binary(), st.lists(st.binary(), min_size=1))
def test_any_command_line_is_judged(program, words):
    assert runs_pen(program, words) in (True, False)


@pytest.fixture
def pid_file(tmp_path):
    path = tmp_path / "pen.pid"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        return str(path)

    return write


def test_pen_is_signalled(start_pen, pid_file, tmp_path):
    process = start_pen(tmp_path / "page", "end")
    with Pen(pid_file(f"{process.pid}\n")) as pen:
        assert not pen.has_ended()
        pen.signal()
        process.wait(5)
        assert pen.has_ended()
        with pytest.raises(NoPageError, match="has just ended") as error:
            pen.signal()
    assert error.value.status == 503


def test_foreign_process_is_left_alone(pid_file):
    """USR1 kills a process that does not expect it, so a foreign one must not get it."""
    command = [sys.executable, "-c", "print(flush=True); input()", "pen"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # its command line can be seen only once it has begun
        with pytest.raises(NoPageError, match=f"Process {other.pid}.* is not pen") as error:
            Pen(pid_file(other.pid))
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0
    assert error.value.status == 500


def test_this_very_process_is_left_alone(pid_file):
    received = []
    before = signal.signal(signal.SIGUSR1, lambda *_: received.append(True))
    try:
        with pytest.raises(NoPageError, match="is not pen"):
            Pen(pid_file(os.getpid()))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not received


def test_stale_pid_file(pid_file):
    with subprocess.Popen(["true"]) as ended:
        pass
    with pytest.raises(NoPageError, match="gone") as error:
        Pen(pid_file(ended.pid))
    assert error.value.status == 503


def test_zombie_is_gone(start_pen, pid_file, tmp_path):
    process = start_pen(tmp_path / "page", "never")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(NoPageError, match="gone"):
        Pen(pid_file(process.pid))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"0",
        b"1",
        b"-1",
        b"+5",
        b"12 13",
        b"12\n13\n",
        b"0x10",
        b"1e3",
        b"pen",
        b"\0",
        b"9" * 64,
    ],
)
def test_wrong_pid_file(pid_file, content):
    with pytest.raises(NoPageError, match="not a pid file") as error:
        Pen(pid_file(content))
    assert error.value.status == 500


@given(content=st.binary(max_size=80))
def test_any_pid_file_is_a_pen_or_the_one_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.pid"
    path.write_bytes(content)
    with pytest.raises(NoPageError):
        Pen(str(path))


def test_no_pid_file(tmp_path):
    with pytest.raises(NoPageError, match="There is no pid file") as error:
        Pen(str(tmp_path / "gone"))
    assert error.value.status == 503


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_pid_file_that_is_no_file(tmp_path, make):
    make(tmp_path / "odd")
    with pytest.raises(NoPageError, match="not a pid file"):
        Pen(str(tmp_path / "odd"))
