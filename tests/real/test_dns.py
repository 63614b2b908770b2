"""UDP with real name servers, bind9, asked by dig and dnsperf."""

from collections import Counter
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.real.bind9 import LARGE, Named, answers, dig, dnsperf, outcome
from tests.real.peers import SUITE, wait_for

TWO = ("ns1", "ns2")


@pytest.fixture
def servers(peers):
    return [Named(peers, name) for name in TWO]


@pytest.fixture
def balance(peers, servers):
    """Start pen before both; returns its port."""

    def start(*options, listen="127.0.0.1:{port}"):
        port = free_port()
        places = [f"127.0.0.1:{server.port}" for server in servers]
        command = [SUITE / "pen", "-f", "-U", *options, listen.format(port=port), *places]
        peers.start("pen", command, lambda: answers("127.0.0.1", port))
        return port

    return start


def test_questions_rotate(balance):
    port = balance("-r", "-o", "udp_replies 1")
    assert Counter(dig("127.0.0.1", port) for _ in range(10)) == {"ns1": 5, "ns2": 5}


def test_a_client_stays_with_its_server(balance):
    port = balance("-x", "50")
    for client in ("127.0.0.5", "127.0.0.6", "127.0.0.7"):
        assert len({dig("127.0.0.1", port, "who", "TXT", "-b", client) for _ in range(5)}) == 1
    asked = {dig("127.0.0.1", port, "who", "TXT", "-b", f"127.0.0.{n}") for n in range(8, 12)}
    assert asked == set(TWO)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1"])
def test_dig_takes_replies_only_from_where_it_asked(balance, host):
    port = balance("-r", listen="[::]:{port}")
    assert dig(host, port) in TWO


def test_large_answers(balance):
    port = balance("-r")
    answer = dig("127.0.0.1", port, "large", "TXT", "+bufsize=4096", "+ignore")
    assert len(answer.replace('"', "").replace(" ", "")) == 250 * LARGE


def test_questions_by_tcp_go_to_another_pen(balance, servers, peers):
    """A resolver turns to TCP on the same port when an answer is cut."""
    port = balance("-r")
    command = [SUITE / "pen", "-f", f"127.0.0.1:{port}"]
    command += [f"127.0.0.1:{server.port}" for server in servers]
    peers.start("pen-tcp", command, lambda: dig("127.0.0.1", port, "who", "TXT", "+tcp") in TWO)
    answer = dig("127.0.0.1", port, "large", "TXT", "+bufsize=512")
    assert len(answer.replace('"', "").replace(" ", "")) == 250 * LARGE


def test_a_server_dies_and_no_client_notices(balance, servers):
    port = balance("-r", "-b", "1")
    servers[0].kill()
    assert {dig("127.0.0.1", port) for _ in range(10)} == {"ns2"}
    servers[0].start()
    wait_for(lambda: dig("127.0.0.1", port) == "ns1", "the server is used again")


def test_a_server_dies_under_load(balance, servers, peers):
    """What it had taken and not answered is lost, some 40 questions; nothing after that."""
    port = balance("-r")
    load = dnsperf(peers.folder, port, 4, "-Q", "2000", "-c", "8", "-q", "40")
    idle = cpu(servers[0])
    wait_for(lambda: cpu(servers[0]) > idle + 5, "the server has answered a good many")
    servers[0].kill()
    sent, answered, lost = outcome(load)
    assert sent > 4000
    assert answered == sent - lost
    assert lost <= 40


def cpu(server):
    """CPU it has used, in ticks (proc(5))."""
    fields = Path(f"/proc/{server.peer.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("options", [(), ("-o", "udp_replies 1"), ("-P",)], ids=str)
def test_nothing_is_lost(balance, peers, options):
    port = balance("-r", *options)
    sent, answered, lost = outcome(dnsperf(peers.folder, port, 3, "-c", "10", "-Q", "3000"))
    assert lost == 0
    assert answered == sent > 5000
