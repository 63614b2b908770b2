"""Starting: what a command line, commands among options, and the system may hold against it."""

import re
import socket
import subprocess

import pytest

from tests.pen.conftest import BIN, DEADLINE
from tests.ports import free_port

COMMANDS = [
    "close 3", "connection 3", "control", "exit", "include /nowhere", "kqueue", "listen", "mode",
    "pid", "recent", "server 0 max 1", "server 5", "servers", "socket 3", "status", "write",
    "log", "no log", "web_stats", "epoll", "no acl 1", "# nothing", "",
]  # fmt: skip


def run(*arguments: object) -> subprocess.CompletedProcess:
    """A pen that ends by itself."""
    return subprocess.run(
        [BIN / "pen", "-f", *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_before_there_is_anything_to_command(command):
    """Each works, or is refused in one line; here the start fails in any case."""
    ended = run("-X", "-o", command, f"127.0.0.1:{free_port()}", "nosuchhost.invalid:80")
    assert ended.returncode in (1, 2)
    assert re.fullmatch(r"pen: .+\n", ended.stderr)


def test_replies_of_commands_are_told_to_those_who_debug():
    addresses = [f"127.0.0.1:{free_port()}", "nosuchhost.invalid:80"]
    assert "no hash no roundrobin" in run("-d", "-o", "mode", *addresses).stderr
    assert "no hash" not in run("-o", "mode", *addresses).stderr


@pytest.mark.parametrize("control", ["99999", "127.0.0.1:x", "/" + "x" * 200])
@pytest.mark.parametrize("insist", [["-u", "root"], []])
def test_a_control_address_that_is_none_is_wrong_usage(control, insist):
    ended = run(*insist, "-C", control, f"127.0.0.1:{free_port()}", "127.0.0.1:80")
    assert ended.returncode == 2
    assert re.fullmatch(r"pen: .+\n", ended.stderr)


def test_a_control_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        control = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run("-u", "root", "-C", control, f"127.0.0.1:{free_port()}", "127.0.0.1:80")
    assert ended.returncode == 1
    assert re.fullmatch(r"pen: cannot listen on .+: address in use.+\n", ended.stderr)


def test_a_socket_whose_owner_is_slow_is_in_use(tmp_path):
    """Asking whether a socket file is stale must not wait for the one who listens there."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        fillers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(path)
        ended = run(path, "127.0.0.1:80")
        for filler in fillers:
            filler.close()
    assert ended.returncode == 1
    assert "address in use" in ended.stderr


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    ended = run(path, "127.0.0.1:80")
    assert (ended.returncode, path.read_text()) == (1, "data")
    assert "is no socket" in ended.stderr


def test_a_start_that_fails_leaves_no_socket_file(tmp_path):
    front, control = tmp_path / "front", tmp_path / "control"
    ended = run("-u", "root", "-C", control, "-l", tmp_path / "no/log", front, "127.0.0.1:80")
    assert ended.returncode == 1
    assert list(tmp_path.iterdir()) == []
