"""By which way senders reach penlogd: connections only, and back to datagrams."""

import socket
import subprocess

import pytest

from tests.penlogd.test_end_to_end import (
    DEBIAN_PENLOG,
    DEBIAN_PENLOGD,
    LINE,
    OUR_PENLOGD,
    Farm,
    listening,
    receive_queue,
    stamp,
    stop,
    wait_for,
)


@pytest.fixture
def farm(tmp_path):
    farm = Farm(tmp_path)
    yield farm
    farm.close()


def start_without_datagrams(farm):
    command = [*OUR_PENLOGD, "-f", "-l", str(farm.log), "--hold", "0", "--no-datagrams"]
    daemon = subprocess.Popen([*command, str(farm.port)], stderr=subprocess.PIPE)
    farm.started.append(daemon)

    def accepts():
        with socket.socket() as probe:
            return not probe.connect_ex(("127.0.0.1", farm.port)) and not listening(farm.port)

    wait_for(accepts, 40)
    return daemon


def test_without_datagrams_they_are_refused_and_connections_taken(farm):
    daemon = start_without_datagrams(farm)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", farm.port))
        sock.send(LINE % (stamp(), b"plain"))
        sock.settimeout(10)
        with pytest.raises(ConnectionRefusedError):
            sock.recv(1)
    sender = farm.penlog(command=DEBIAN_PENLOG)
    sender.communicate(LINE % (stamp(), b"debian") + b"\n")
    sender = farm.penlog()
    sender.communicate(LINE % (stamp(), b"ours") + b"\n")
    wait_for(farm.lines, 40)
    stop(daemon)
    assert [line.split()[6] for line in farm.lines()] == [b"/ours"]
    assert daemon.stderr.read() == b""


def test_without_datagrams_the_port_must_be_free_for_connections(farm):
    with socket.create_server(("0.0.0.0", farm.port)):
        words = ["-f", "--no-datagrams", str(farm.port)]
        done = subprocess.run([*OUR_PENLOGD, *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    said = f"penlogd: cannot listen on TCP port {farm.port}: Address already in use\n"
    assert done.stderr == said


@pytest.mark.parametrize("way", ["by --plain", "by removing what is known"])
def test_a_sender_goes_back_to_datagrams_with_what_it_kept(farm, way):
    ours = farm.start("--hold", "0")
    sender = farm.penlog()
    sender.stdin.write(LINE % (stamp(), b"one") + b"\n")
    sender.stdin.flush()
    wait_for(farm.lines, 40)
    stop(ours)
    sender.stdin.write(LINE % (stamp(), b"two") + b"\n")
    sender.stdin.close()
    (known,) = wait_for(lambda: list(farm.spool.glob("*/known")), 40)
    wait_for(lambda: sender.terminate() or sender.poll() is not None, 40)  # once it is at the end
    farm.start(command=DEBIAN_PENLOGD)
    words = ["--plain"] if way == "by --plain" else []
    if not words:
        known.unlink()
    again = farm.penlog(*words)
    again.communicate(LINE % (stamp(), b"three") + b"\n")
    assert again.returncode == 0
    wait_for(lambda: receive_queue(farm.port) == 0, 40)
    stop(farm.started[-2])
    assert sorted(line.split()[6] for line in farm.lines()) == [b"/one", b"/three", b"/two"]
