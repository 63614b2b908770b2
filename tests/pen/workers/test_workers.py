"""Real workers serve as one pen: clients, limits, commands, facts, the end."""

import re
import socket
from collections import Counter
from pathlib import Path

import pytest

from tests.pen.conftest import echo, naming, until
from tests.pen.workers.crowd import children
from tests.ports import free_port

CLIENTS = [f"127.1.{high}.{low}" for high in range(4) for low in range(1, 26)]


def ask(running, client: str) -> str:
    with running.connect(client) as stream:
        stream.sendall(b"?")
        try:
            return stream.recv(100).decode()
        except ConnectionResetError:
            return ""


@pytest.fixture
def three(backend):
    return [f"127.0.0.1:{backend(naming(name)).port}" for name in (b"a", b"b", b"c")]


@pytest.mark.parametrize("workers", [2, 3])
def test_each_client_comes_back_to_its_server(pen, three, workers):
    running = pen("--workers", str(workers), *three)
    assert len(children(running.process.pid)) == workers
    first = {client: ask(running, client) for client in CLIENTS}
    assert {client: ask(running, client) for client in reversed(CLIENTS)} == first
    assert set(first.values()) == {"a", "b", "c"}
    counted = sum(int(server["sx"]) for server in running.servers())
    assert counted == 2 * len(CLIENTS)
    recent = running.ctl("recent").splitlines()
    assert sorted(line.split()[0] for line in recent) == sorted(CLIENTS)
    assert all(" connects 2 " in line for line in recent)


def test_soft_limits_hold_over_all_workers(pen, backend):
    limited, other = backend(echo), backend(echo)
    running = pen("--workers", "2", f"127.0.0.1:{limited.port}:5", f"127.0.0.1:{other.port}:100")
    streams = []
    for client in CLIENTS[:40]:
        stream = running.connect(client)
        stream.sendall(b"x")
        assert stream.recv(1) == b"x"
        streams.append(stream)
    connections = [int(server["conn"]) for server in running.servers()]
    assert sum(connections) == 40
    assert connections[0] <= 5 + 1, "one more than the limit for each other worker at the most"
    for stream in streams:
        stream.close()
    until(lambda: {server["conn"] for server in running.servers()} == {"0"}, "all are gone")


def test_conn_max_is_for_all_and_waiting_clients_are_served(pen, backend):
    running = pen("--workers", "2", "-x", "4", f"127.0.0.1:{backend(echo).port}")
    streams = [running.connect(client) for client in CLIENTS[:30]]
    for stream in streams:
        stream.sendall(b"x")
    waiting = list(streams)
    while waiting:
        served = until(lambda: [s for s in waiting if has_news(s)], "somebody is served")
        for stream in served:
            assert stream.recv(1) == b"x"
            stream.close()
            waiting.remove(stream)


def has_news(stream: socket.socket) -> bool:
    stream.setblocking(False)
    try:
        return bool(stream.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        stream.setblocking(True)


def test_a_failure_that_one_worker_meets_is_known_to_all(pen, backend):
    gone, other = backend(echo), backend(naming(b"b"))
    gone.stop()
    running = pen("--workers", "2", "-P", f"127.0.0.1:{gone.port}", f"127.0.0.1:{other.port}")
    assert {ask(running, client) for client in CLIENTS} == {"b"}
    tried = Counter(re.findall(r"server 0 .* failed", running.stderr))
    assert sum(tried.values()) <= 4


def test_commands_reach_all_workers(pen, three):
    running = pen("--workers", "2", "-r", *three)
    running.ctl("server 0 state down")
    running.ctl("server 1 state down")
    assert {ask(running, client) for client in CLIENTS} == {"c"}
    running.ctl("acl 1 deny 127.1.0.0 255.255.255.0")
    running.ctl("client_acl 1")
    denied = [client for client in CLIENTS if client.startswith("127.1.0.")]
    assert {ask(running, client) for client in denied} == {""}
    assert {ask(running, client) for client in CLIENTS if client not in denied} == {"c"}
    assert running.ctl("workers") == "2\n"
    assert running.ctl("workers 3").startswith("error: ")


def test_listening_elsewhere_while_it_runs(pen, three):
    running = pen("--workers", "2", *three)
    ask(running, CLIENTS[0])
    port = free_port()
    assert running.ctl(f"listen 127.0.0.1:{port}") == f"127.0.0.1:{port}\n"
    old, running.port = running.port, port
    assert {ask(running, client) for client in CLIENTS} == {"a", "b", "c"}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))


def test_connections_have_public_numbers(pen, backend):
    running = pen("--workers", "2", f"127.0.0.1:{backend(echo).port}")
    streams = [running.connect(client) for client in CLIENTS[:20]]
    for stream in streams:
        stream.sendall(b"x")
        stream.recv(1)
    shown = [n for n in range(60) if "state = 2" in running.ctl(f"connection {n}")]
    assert len(shown) == 20
    running.ctl(f"close {shown[7]}")
    until(lambda: "state = 0" in running.ctl(f"connection {shown[7]}"), "it is closed")
    assert running.servers()[0]["conn"] == "19"
    for stream in streams:
        stream.close()


def test_all_end_when_it_is_told_to(pen, three):
    running = pen("--workers", "3", *three)
    workers = children(running.process.pid)
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_workers_do_not_outlive_the_supervisor(pen, three):
    running = pen("--workers", "2", *three)
    workers = children(running.process.pid)
    running.process.kill()
    until(lambda: not [pid for pid in workers if alive(pid)], "they end too")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
