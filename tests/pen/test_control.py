"""The control port and penctl: replies, mistakes, and people who misbehave."""

import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.pen.conftest import BIN, DEADLINE, echo, naming, receive, until


@pytest.fixture
def running(pen, backend):
    return pen(f"127.0.0.1:{backend(naming(b'a')).port}")


def penctl(*arguments: object) -> subprocess.CompletedProcess:
    words = [str(argument) for argument in arguments]
    return subprocess.run(
        [BIN / "penctl", *words], capture_output=True, text=True, timeout=DEADLINE, check=False
    )


REPLIES = [
    ("mode", "no hash no roundrobin no stubborn no weight no prio\n"),
    ("timeout", "3\n"),
    ("timeout 5", "5\n"),
    ("tracking", "0\n"),
    ("blacklist", "30\n"),
    ("clients_max", "2048\n"),
    ("clients_max 3000", "3000\n"),
    ("clients_max 1", "2048\n"),
    ("conn_max", "500\n"),
    ("conn_max 600", "600\n"),
    ("idle_timeout", "Idle timeout: 0 seconds\n"),
    ("debug", "0\n"),
    ("client_acl", "0\n"),
    ("control_acl 3", "3\n"),
    ("close 3", "Forcibly closing connection 3\n"),
    ("close 9999", "Connection 9999 out of range\n"),
    (
        "connection 0",
        "Connection 0:\nstate = 0\ndownfd = -1, upfd = -1\nclient = 0, server = 0\npend = 0\n",
    ),
    ("socket 5", "Socket 5 belongs to connection -1\n"),
    ("exit", "Exit is not enabled; restart with -X flag\n"),
    ("recent", ""),
    ("roundrobin", ""),
    ("tcp_fastclose both", ""),
    ("  mode  ", "no hash no roundrobin no stubborn no weight no prio\n"),
    ("# a comment", ""),
    ("block", ""),
]


@pytest.mark.parametrize(("command", "reply"), REPLIES)
def test_replies_are_those_of_pen_0_34_1(running, command, reply):
    assert running.ctl(command) == reply


MISTAKES = [
    ("bogus", "'bogus' is no command"),
    ("Mode", "'Mode' is no command"),
    ("timeout x", "'x' is not a whole number"),
    ("timeout -1", "'-1' is not a whole number"),
    ("timeout 99999999999999999999", "is not a whole number"),
    ("timeout 1 2", "'2' is too much for 'timeout'"),
    ("server", "'server' needs N"),
    ("server x", "'x' is not a whole number"),
    ("server 9", "there is no server 9"),
    ("server 0 bogus 3", "a server has no 'bogus'"),
    ("server 0 port", "'port' needs a value"),
    ("server 0 port 70000", "out of range"),
    ("server 0 max 3 hard x", "hard: 'x' is not a whole number"),
    ("server 0 address nosuchhost.invalid", "cannot be resolved"),
    ("server 99999 port 1", "'99999' is not a whole number"),
    ("acl 11 permit 1.2.3.4", "'11' is not a whole number"),
    ("acl 1 maybe 1.2.3.4", "'maybe' is none of permit, deny"),
    ("acl 1 permit 1.2.3", "'1.2.3' is not an IPv4 address"),
    ("acl 1 permit ::1/129", "'/129' is not a prefix length"),
    ("include /nowhere", "cannot read config file '/nowhere'"),
    ("log /nowhere/log", "cannot open log file '/nowhere/log'"),
    ("log nosuchhost.invalid:1", "cannot be resolved"),
    ("listen 127.0.0.1:x", "'x' is no port number"),
    ("listen 127.0.0.1:99999", "out of range"),
    ("write", "'write' needs a file name"),
    ("write /dev/null", "is not a regular file"),
    ("write /nowhere/file", "cannot write '/nowhere/file'"),
    ("poll", "must be given before pen starts"),
    ("kqueue", "must be given before pen starts"),
    ("tcp_fastclose sideways", "'sideways' is none of off, up, down, both"),
    ("no", "'no' is no command"),
    ("no bogus", "'no bogus' is no command"),
    ("timeout \x00", "is not a whole number"),
    ("t\u00efmeout", "is no command"),
]


@pytest.mark.parametrize(("command", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_changes_nothing(running, tmp_path, command, message):
    before, after = tmp_path / "before", tmp_path / "after"
    assert running.ctl(f"write {before}") == ""
    reply = running.ctl(command)
    assert reply.startswith("error: ")
    assert message in reply
    assert reply.count("\n") == 1
    assert reply.isprintable() or reply[:-1].isprintable()
    assert running.ctl(f"write {after}") == ""
    assert before.read_text().splitlines()[1:] == after.read_text().splitlines()[1:]


def test_whoever_stalls_disturbs_nobody(running):
    stalled = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for stream in stalled:
        stream.connect(running.control)
        stream.sendall(b"serv")
    assert running.ask() == b"a"
    assert running.ctl("mode").startswith("no hash")
    for stream in stalled:
        stream.sendall(b"ers\n")
        assert receive(stream, 6) == b"0 addr"
        stream.close()


def test_a_line_without_end(running):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(DEADLINE)
        stream.connect(running.control)
        try:
            stream.sendall(b"x" * 1_000_000)
            assert receive(stream, 10_000).startswith(b"error: the line is longer")
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert running.ask() == b"a"


def test_a_line_without_newline_is_a_command(running):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(DEADLINE)
        stream.connect(running.control)
        stream.sendall(b"timeout")
        stream.shutdown(socket.SHUT_WR)
        assert receive(stream, 10) == b"3\n"


def test_leaving_early(running):
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(running.control)
            stream.sendall(b"status\n")
    assert running.ctl("timeout") == "3\n"


def test_a_reply_larger_than_any_buffer(running):
    assert running.ctl("server 40000 port 1") == ""
    reply = running.ctl("servers").splitlines()
    assert len(reply) == 40_001
    assert reply[-1].startswith("40000 addr 0.0.0.0 port 1 conn 0 ")


def test_the_socket_is_for_its_owner_only(running):
    assert stat.S_IMODE(Path(running.control).stat().st_mode) == 0o600


def test_control_acl(running):
    """A Unix socket has no address, so it may always; the rest is `acl`'s own test."""
    assert running.ctl("acl 5 deny 0.0.0.0 0.0.0.0") == ""
    assert running.ctl("control_acl 5") == "5\n"
    assert running.ctl("control_acl") == "5\n"


def test_penctl(running):
    done = penctl(running.control, "server", 0, "max", 7)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert running.servers()[0]["max"] == "7"
    done = penctl(running.control, "timeout")
    assert (done.returncode, done.stdout) == (0, "3\n")


def test_penctl_tells_mistakes(running, tmp_path):
    done = penctl(running.control, "bogus")
    assert done.returncode == 1
    assert done.stdout == "error: 'bogus' is no command; see penctl --help\n"
    done = penctl(tmp_path / "nobody", "servers")
    assert done.returncode == 1
    assert done.stderr.startswith("penctl: no answer from pen at ")
    assert penctl("host").returncode == 2
    assert penctl().returncode == 2
    assert "Traceback" not in done.stderr


def test_write_and_read_back(pen, backend, tmp_path):
    running = pen(f"127.0.0.1:{backend(echo).port}:3:4:5:6")
    for command in (
        "roundrobin", "weight", "stubborn", "timeout 7", "tracking 9", "blacklist 11", "debug 1",
        "acl 2 deny 10.0.0.0 255.0.0.0", "acl 2 permit ::1/64", "client_acl 2", "tcp_fastclose up",
        "tcp_nodelay", "keepalive", "idle_timeout 99", "server 2 address 127.0.0.2 port 99 acl 2",
        f"log {tmp_path}/log", f"web_stats {tmp_path}/page", "clients_max 4000", "conn_max 700",
        "pending_max 50",
    ):  # fmt: skip
        assert not running.ctl(command).startswith("error"), command
    first, second = tmp_path / "first", tmp_path / "second"
    assert running.ctl(f"write {first}") == ""
    assert running.stop() == 0
    again = pen("-F", str(first), listen=f"127.0.0.1:{running.port}")
    until(lambda: again.ctl(f"write {second}") == "", "the state is written")
    assert first.read_text().splitlines()[2:] == second.read_text().splitlines()[2:]
