"""The control sockets' safety: who may connect, and the port that only answers questions."""

import grp
import os
import socket
import stat
import subprocess

import pytest

from tests.pen.conftest import BIN, DEADLINE, naming
from tests.ports import free_port


@pytest.fixture
def server(backend) -> str:
    return f"127.0.0.1:{backend(naming(b'a')).port}"


def access(path: object) -> tuple[int, int]:
    """Mode and group of a socket file."""
    found = os.stat(str(path))
    assert stat.S_ISSOCK(found.st_mode)
    return stat.S_IMODE(found.st_mode), found.st_gid


def ask(path: object, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(DEADLINE)
        stream.connect(str(path))
        stream.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: stream.recv(65536), b"")).decode()


GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.mark.parametrize(
    ("options", "mode"),
    [([], 0o600), (["--control-mode", "660"], 0o660), (["--control-group", GROUP], 0o600),
     (["--control-mode", "0666", "--control-group", os.getgid()], 0o666)],
)  # fmt: skip
def test_mode_and_group_of_the_control_socket(pen, server, options, mode):
    running = pen(*options, server)
    assert access(running.control) == (mode, os.getgid())


def test_another_group(pen, server, tmp_path):
    """Only root may give a file to any group."""
    other = os.getgid() + 1 if os.geteuid() == 0 else os.getgid()
    running = pen("--control-group", other, server)
    assert access(running.control) == (0o600, other)
    asking = tmp_path / "ask"
    running.ctl(f"control_readonly {asking} 640 {other}")
    assert access(asking) == (0o640, other)
    running.ctl(f"control_readonly {asking} 644")
    assert access(asking) == (0o644, os.getgid())


WRONG = [
    (["--control-mode", "660"], "need a socket path for -C"),
    (["-C", "8888", "--control-mode", "660"], "'8888' is no socket path"),
    (["-C", "/tmp/x", "--control-mode", "rw"], "'rw' is not a mode in octal"),
    (["-C", "/tmp/x", "--control-mode", "680"], "'680' is not a mode in octal"),
    (["-C", "/tmp/x", "--control-mode", "1777"], "'1777' is not a mode in octal"),
    (["-C", "/tmp/x", "--control-group", "nosuchgroup"], "group 'nosuchgroup' does not exist"),
    (["-o", "control_readonly 127.0.0.1:0 660"], "'127.0.0.1:0' is no socket path"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_access_is_wrong_usage(options, message):
    words = [BIN / "pen", "-f", *options, f"127.0.0.1:{free_port()}", "127.0.0.1:80"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_port_for_questions(pen, server, tmp_path):
    asking, saved = tmp_path / "ask", tmp_path / "saved"
    running = pen("-o", f"control_readonly {asking}", server)
    assert access(asking) == (0o600, os.getgid())
    assert ask(asking, "timeout") == "3\n"
    assert ask(asking, "servers").startswith("0 addr 127.0.0.1")
    assert ask(asking, "status").startswith("<!DOCTYPE html>")
    assert ask(asking, "control_readonly") == f"{asking}\n"
    for command in ("timeout 5", f"write {saved}", f"log {saved}", "include /etc/passwd", "exit",
                    "server 0 port 1", "control_readonly /x", "close 0", "no acl 0"):  # fmt: skip
        assert ask(asking, command).startswith(f"error: '{command}' is no question")
    assert ask(asking, "bogus").startswith("error: 'bogus' is no command")
    assert running.ctl("timeout") == "3\n"
    assert not saved.exists()


def test_moving_the_port_for_questions(pen, server, tmp_path):
    running = pen(server)
    first, second, taken = tmp_path / "first", tmp_path / "second", tmp_path / "taken"
    taken.write_text("precious")
    assert running.ctl("control_readonly") == ""
    assert running.ctl(f"control_readonly {first} 666") == f"{first}\n"
    assert access(first)[0] == 0o666
    assert running.ctl(f"control_readonly {first} 660") == f"{first}\n"
    assert access(first)[0] == 0o660
    assert "is no socket" in running.ctl(f"control_readonly {taken}")
    assert "does not exist" in running.ctl(f"control_readonly {second} 660 nosuchgroup")
    assert ask(first, "mode").startswith("no hash")
    running.ctl(f"control_readonly {second}")
    assert not first.exists()
    assert ask(second, "mode").startswith("no hash")
    assert running.ctl("no control_readonly") == ""
    assert not second.exists()
    assert taken.read_text() == "precious"


def test_a_config_that_fails_leaves_the_port_as_it_was(pen, server, tmp_path):
    asking, config = tmp_path / "ask", tmp_path / "config"
    running = pen("-o", f"control_readonly {asking} 640", server)
    config.write_text(f"control_readonly {asking} 666\nlisten {config}\n")
    assert "the file exists and is no socket" in running.ctl(f"include {config}")
    assert access(asking)[0] == 0o640
    config.write_text(f"control_readonly {tmp_path}/other\nlisten {config}\n")
    assert "the file exists and is no socket" in running.ctl(f"include {config}")
    assert ask(asking, "mode").startswith("no hash")
    assert not (tmp_path / "other").exists()


def test_the_socket_file_is_gone_at_the_end(pen, server, tmp_path):
    asking = tmp_path / "ask"
    running = pen("-o", f"control_readonly {asking} 666", server)
    assert ask(asking, "pid") == f"{running.process.pid}\n"
    assert running.stop() == 0
    assert not asking.exists()


def test_control_acl_guards_it_too(pen, server):
    port = free_port()
    running = pen("-o", f"control_readonly 127.0.0.1:{port}", server)
    penctl = [BIN / "penctl", f"127.0.0.1:{port}", "timeout"]
    assert subprocess.run(penctl, capture_output=True, timeout=DEADLINE).stdout == b"3\n"
    running.ctl("acl 3 deny 127.0.0.0/8")
    running.ctl("control_acl 3")
    assert subprocess.run(penctl, capture_output=True, timeout=DEADLINE).stdout == b""
