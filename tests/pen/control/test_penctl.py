"""penctl: what it prints and how it ends."""

import socket
import subprocess

import pytest
from click.shell_completion import ShellComplete

from pen import penctl
from tests.pen.conftest import BIN, DEADLINE, echo
from tests.ports import free_port

PENCTL = BIN / "penctl"


@pytest.fixture
def running(pen, backend):
    return pen(f"127.0.0.1:{backend(echo).port}")


def run(*arguments: object, shell: str = "") -> subprocess.CompletedProcess:
    """Run penctl, or a shell line."""
    words = shell or [str(PENCTL), *map(str, arguments)]
    return subprocess.run(
        words, shell=bool(shell), capture_output=True, text=True, timeout=DEADLINE
    )


@pytest.mark.parametrize(
    ("words", "status", "stdout"),
    [
        (["timeout"], 0, "3\n"),
        (["roundrobin"], 0, ""),
        (["server", "0", "max", "3"], 0, ""),
        (["timeout 5"], 0, "5\n"),
        (["bogus"], 1, "error: 'bogus' is no command; see penctl --help\n"),
        (["exit"], 0, "Exit is not enabled; restart with -X flag\n"),
    ],
)
def test_replies_and_status(running, words, status, stdout):
    done = run(running.control, *words)
    assert (done.returncode, done.stdout, done.stderr) == (status, stdout, "")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ([], 2), (["/nowhere"], 2), (["--bogus", "x"], 2),
        (["/nowhere/socket", "mode"], 1), (["127.0.0.1:99999", "mode"], 1),
        (["nosuchhost.invalid:80", "mode"], 1), (["/" + "x" * 200, "mode"], 1),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(words, status):
    done = run(*words)
    assert done.returncode == status
    assert done.stderr.startswith("penctl: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "incomplete", "offered"),
    [
        ([], "serv", ["servers", "server"]),
        (["no"], "stub", ["stubborn"]),
        (["no"], "timeo", []),
        (["mode"], "", []),
        ([], "block", []),
    ],
)
def test_shell_completion(typed, incomplete, offered):
    complete = ShellComplete(penctl.command, {}, "penctl", "_PENCTL_COMPLETE")
    found = [each.value for each in complete.get_completions(["/run/pen", *typed], incomplete)]
    assert sorted(found) == sorted(offered)


def test_nobody_there():
    done = run(f"127.0.0.1:{free_port()}", "mode")
    assert done.returncode == 1
    assert done.stderr.startswith("penctl: no answer from pen at 127.0.0.1:")


def test_somebody_else_there_who_hangs_up():
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        process = subprocess.Popen([PENCTL, address, "mode"], stdout=subprocess.PIPE)
        stream, _ = other.accept()
        stream.recv(100)
        stream.close()
        assert process.communicate(timeout=DEADLINE) == (b"", None)


def test_a_reader_that_leaves_and_a_full_disk(running):
    running.ctl("server 9999 max 1")
    done = run(shell=f"{PENCTL} {running.control} servers | head -c 10")
    assert (done.stdout, done.stderr) == ("0 addr 127", "")
    done = run(shell=f"{PENCTL} {running.control} servers > /dev/full")
    assert done.stderr == "penctl: cannot write the reply: No space left on device\n"
    assert done.returncode == 1
