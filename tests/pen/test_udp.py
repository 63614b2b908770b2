"""UDP: sessions, replies, who gets which server, failover, and how sessions end."""

import random
import signal
import socket
import threading
from contextlib import ExitStack

import pytest

from tests.pen.conftest import DEADLINE, until

POLLERS = ["epoll", "poll", "select"]


def udp_socket(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.bind((host, port))
    made.settimeout(DEADLINE)
    return made


class Server:
    """Answers datagrams with what `answer` makes of them, in a thread; notes all that came."""

    def __init__(self, answer, host="127.0.0.1", port=0):
        self.socket = udp_socket(host, port)
        self.socket.settimeout(None)
        self.port = self.socket.getsockname()[1]
        self.heard = []
        self.peers = []
        self._answer = answer
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            datagram, peer = self.socket.recvfrom(65535)
            if datagram == b"\0stop":
                return
            self.heard.append(datagram)
            self.peers.append(peer[0])
            for reply in self._answer(datagram):
                self.socket.sendto(reply, peer)

    def stop(self):
        """Refuse from now on."""
        if self._thread.is_alive():
            with udp_socket(self.socket.getsockname()[0]) as teller:
                teller.sendto(b"\0stop", self.socket.getsockname())
            self._thread.join(DEADLINE)
        self.socket.close()


def naming(name):
    return lambda datagram: [name + b":" + datagram]


def echo(datagram):
    return [datagram]


@pytest.fixture
def server():
    """Makes servers."""
    with ExitStack() as stack:

        def make(answer=echo, **where):
            made = Server(answer, **where)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture
def balance(pen):
    """Starts pen in front of servers and gives a client's way to it."""

    def start(*servers, options=(), host="127.0.0.1"):
        with udp_socket(host) as probe:
            port = probe.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        places = [
            f"127.0.0.1:{each.port}" if isinstance(each, Server) else str(each) for each in servers
        ]
        running = pen("-U", *options, *places, listen=f"{shown}:{port}")
        running.port = port
        return running

    return start


@pytest.fixture
def client():
    """Makes clients' sockets."""
    with ExitStack() as stack:
        yield lambda host="127.0.0.1": stack.enter_context(udp_socket(host))


def ask(client, running, datagram, host="127.0.0.1"):
    client.sendto(datagram, (host, running.port))
    reply, peer = client.recvfrom(65535)
    assert peer[:2] == (host, running.port)
    return reply


def connections(running):
    return [int(row["conn"]) for row in running.servers()]


@pytest.mark.parametrize("poller", POLLERS)
def test_datagrams_of_every_size_come_back_as_they_are(balance, server, client, poller):
    running = balance(server(), options=["-o", poller])
    one = client()
    for size in (0, 1, 512, 1472, 1473, 9000, 65507):
        datagram = random.Random(size).randbytes(size)
        assert ask(one, running, datagram) == datagram
    assert running.servers()[0]["conn"] == "1"


@pytest.mark.parametrize("poller", POLLERS)
def test_a_burst_of_many_clients_goes_to_the_right_ones(balance, server, client, poller):
    running = balance(server(), server(), options=["-r", "-o", poller])
    clients = [client() for _ in range(40)]
    for turn in range(5):
        for number, each in enumerate(clients):
            each.sendto(b"%d/%d" % (number, turn), ("127.0.0.1", running.port))
    for number, each in enumerate(clients):
        got = {each.recv(100) for _ in range(5)}
        assert got == {b"%d/%d" % (number, turn) for turn in range(5)}
    assert connections(running) == [20, 20]


def test_sessions_rotate_and_a_session_stays(balance, server, client):
    running = balance(server(naming(b"A")), server(naming(b"B")), options=["-r"])
    one, two = client(), client()
    assert [ask(one, running, b"x") for _ in range(3)] == [b"A:x"] * 3
    assert [ask(two, running, b"x") for _ in range(3)] == [b"B:x"] * 3


def test_a_client_comes_back_to_its_server(balance, server, client):
    running = balance(server(naming(b"A")), server(naming(b"B")))
    assert ask(client("127.0.0.2"), running, b"x") == b"A:x"
    assert ask(client("127.0.0.3"), running, b"x") == b"B:x"
    assert [ask(client("127.0.0.2"), running, b"x") for _ in range(3)] == [b"A:x"] * 3
    assert "127.0.0.2 connects 4 sx 12 rx 4" in running.ctl("recent")


def test_a_client_whose_server_never_answers_is_remembered(balance, server, client):
    servers = [server(lambda datagram: []) for _ in range(2)]
    running = balance(*servers)
    for number in range(4):
        client().sendto(b"line %d" % number, ("127.0.0.1", running.port))
    until(lambda: len(servers[0].heard) == 4, "all lines are at the first server")
    assert not servers[1].heard


def test_per_packet(balance, server, client):
    running = balance(
        server(naming(b"A")),
        server(naming(b"B")),
        options=["-o", "udp_per_packet", "-o", "udp_replies 1"],
    )
    one = client()
    assert [ask(one, running, b"x") for _ in range(4)] == [b"A:x", b"B:x"] * 2
    until(lambda: connections(running) == [0, 0], "every answer has ended its session")


@pytest.mark.parametrize("replies", [1, 3])
def test_replies_end_a_session(balance, server, client, replies):
    running = balance(
        server(lambda datagram: [datagram] * replies), options=["-o", f"udp_replies {replies}"]
    )
    one = client()
    for turn in range(5):
        one.sendto(b"%d" % turn, ("127.0.0.1", running.port))
    got = sorted(one.recv(10) for _ in range(5 * replies))
    assert got == sorted([b"%d" % turn for turn in range(5)] * replies)
    until(lambda: connections(running) == [0], "the session is over")


@pytest.mark.parametrize("poller", POLLERS)
def test_failover_loses_nothing(balance, server, client, poller):
    """The first datagram finds nobody; it is sent to the next server."""
    gone = server()
    gone.stop()
    running = balance(f"127.0.0.1:{gone.port}", server(naming(b"B")), options=["-r", "-o", poller])
    assert [ask(client(), running, b"x") for _ in range(3)] == [b"B:x"] * 3
    assert connections(running) == [0, 3]
    assert "blacklist" not in running.ctl("servers")
    assert "127.0.0.1 connects 3 " in running.ctl("recent")


def test_failover_past_many_servers(balance, server, client):
    """Two datagrams at once, so that each server but the last refuses while they are sent."""
    gone = server()
    gone.stop()
    running = balance(*[f"127.0.0.1:{gone.port}"] * 600, server(naming(b"B")))
    one = client()
    running.process.send_signal(signal.SIGSTOP)
    for datagram in (b"1", b"2"):
        one.sendto(datagram, ("127.0.0.1", running.port))
    running.process.send_signal(signal.SIGCONT)
    assert {one.recv(10) for _ in range(2)} == {b"B:1", b"B:2"}


def test_failover_in_the_middle_of_a_session(balance, server, client):
    first = server(naming(b"A"))
    running = balance(first, server(naming(b"B")), options=["-d"])
    one = client()
    assert ask(one, running, b"1") == b"A:1"
    first.stop()
    assert ask(one, running, b"2") == b"B:2"
    assert connections(running) == [0, 1]
    assert ask(client(), running, b"3") == b"B:3", "the client is remembered with the new server"
    server(naming(b"A again"), port=first.port)
    running.ctl("server 0 blacklist 0")
    assert ask(one, running, b"4") == b"B:4"
    assert f"server 0 (127.0.0.1:{first.port}) failed: Connection refused" in running.stderr


def test_all_gone_and_back(balance, server, client):
    servers = [server(naming(b"A")), server(naming(b"B"))]
    running = balance(*servers)
    one = client()
    assert ask(one, running, b"1") == b"A:1"
    for each in servers:
        each.stop()
    one.sendto(b"2", ("127.0.0.1", running.port))
    until(lambda: connections(running) == [0, 0], "the session is given up")
    server(naming(b"A"), port=servers[0].port)
    server(naming(b"B"), port=servers[1].port)
    assert ask(one, running, b"3")[2:] == b"3"


def test_stubborn_does_not_fail_over(balance, server, client):
    gone, there = server(), server()
    gone.stop()
    running = balance(f"127.0.0.1:{gone.port}", there, options=["-s", "-d"])
    client().sendto(b"x", ("127.0.0.1", running.port))
    until(lambda: "no server left" in running.stderr, "the session is closed")
    assert connections(running) == [0, 0]
    assert not there.heard


def test_emergency_and_abuse(balance, server, client):
    emergency, abuse = server(naming(b"E")), server(naming(b"X"))
    gone = server()
    gone.stop()
    running = balance(
        f"127.0.0.1:{gone.port}",
        options=[
            "-e", f"127.0.0.1:{emergency.port}", "-B", f"127.0.0.1:{abuse.port}",
            "-o", "acl 1 deny 127.0.0.9", "-o", "client_acl 1",
        ],
    )  # fmt: skip
    assert ask(client(), running, b"x") == b"E:x"
    assert ask(client("127.0.0.9"), running, b"x") == b"X:x"


def test_limits_and_lists_of_servers(balance, server, client):
    a, b = server(naming(b"A")), server(naming(b"B"))
    running = balance(f"127.0.0.1:{a.port}:1", b, options=["-r", "-o", "acl 2 deny 127.0.0.7"])
    assert [ask(client(), running, b"x") for _ in range(3)] == [b"A:x", b"B:x", b"B:x"]
    running.ctl("server 1 acl 2")
    client("127.0.0.7").sendto(b"x", ("127.0.0.1", running.port))
    assert ask(client(), running, b"y") == b"B:y"
    assert connections(running) == [1, 3]


def test_a_full_table_drops_the_least_recently_active_session(balance, server, client):
    running = balance(server(), options=["-x", "3"])
    clients = [client() for _ in range(4)]
    for each in clients[:3]:
        ask(each, running, b"x")
    busy = running.ctl("connection 0").splitlines()[2]
    ask(clients[0], running, b"again")
    ask(clients[3], running, b"new")
    assert connections(running) == [3]
    assert running.ctl("connection 0").splitlines()[2] == busy
    assert ask(clients[1], running, b"back") == b"back"


@pytest.mark.parametrize("command", ["udp_timeout 1", "idle_timeout 1"])
def test_idle_sessions_end(balance, server, client, command):
    running = balance(server())
    one = client()
    ask(one, running, b"x")
    running.ctl(command)
    until(lambda: connections(running) == [0], "the session is over")
    assert ask(one, running, b"y") == b"y"


def test_close_by_command_and_what_is_shown(balance, server, client):
    running = balance(server())
    ask(client(), running, b"hello")
    shown = running.ctl("connection 0")
    assert "state = 2\n" in shown
    fd = shown.partition("upfd = ")[2].split()[0]
    assert running.ctl(f"socket {fd}") == f"Socket {fd} belongs to connection 0\n"
    assert running.servers()[0]["sx"] == running.servers()[0]["rx"] == "5"
    running.ctl("close 0")
    assert connections(running) == [0]
    assert running.servers()[0]["sx"] == running.servers()[0]["rx"] == "5"
    assert "<td>5</td>" in running.ctl("status")


def test_requests_and_connections_are_logged(balance, server, client, tmp_path):
    log = tmp_path / "log"
    echoing = server()
    running = balance(echoing, options=["-l", log, "--log-format", "both"])
    ask(client(), running, b"a question\nand more")
    running.ctl("close 0")
    until(lambda: "by command" in log.read_text(), "the end is logged")
    lines = log.read_text().splitlines()
    assert any(line.endswith(" 127.0.0.1 a question") for line in lines), lines
    opened, ended = (line.split() for line in lines if line.startswith("=1 "))
    assert opened[1:3] == ["open", "udp"]
    assert ended[1:3] == ["end", "udp"]
    assert opened[3:9] == ended[3:9]
    assert opened[8] == str(echoing.port)
    assert ended[11:] == ["19", "19", "by", "command"]


def test_dumps_show_both_ways(balance, server, client):
    running = balance(server(naming(b"answer")), options=["-ddd", "-a"])
    ask(client(), running, b"question")
    assert "connection 0: > question\n" in running.stderr
    assert "connection 0: < answer:question\n" in running.stderr


def test_listen_moves(balance, server, client):
    running = balance(server())
    one = client()
    ask(one, running, b"x")
    old = running.port
    with udp_socket() as probe:
        running.port = probe.getsockname()[1]
    assert running.ctl(f"listen 127.0.0.1:{running.port}") == f"127.0.0.1:{running.port}\n"
    assert ask(one, running, b"y") == b"y"
    with udp_socket() as stranger:
        stranger.connect(("127.0.0.1", old))
        stranger.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            stranger.recv(1)
    before = running.ctl("listen")
    taken = server()
    assert "address in use" in running.ctl(f"listen 127.0.0.1:{taken.port}")
    assert running.ctl("listen") == before
    assert ask(one, running, b"z") == b"z"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_replies_leave_from_the_address_that_was_asked(balance, server, client, host):
    running = balance(server(naming(b"A")), server(naming(b"B")), host=host, options=["-r"])
    one = client()
    assert ask(one, running, b"x", host="127.0.0.5") == b"A:x"
    assert ask(one, running, b"x", host="127.0.0.6") == b"B:x", "another address, another session"
    assert ask(one, running, b"x", host="127.0.0.5") == b"A:x"
    assert "127.0.0.1 connects 2 " in running.ctl("recent")


def test_ipv6_clients_and_servers(balance, server, client):
    six = server(naming(b"6"), host="::1")
    running = balance(f"[::1]:{six.port}", server(naming(b"4")), host="::", options=["-r"])
    assert ask(client("::1"), running, b"x", host="::1") == b"6:x"
    assert ask(client(), running, b"x") == b"4:x"


def test_a_second_pen_is_refused(balance, server, pen):
    running = balance(server())
    with pytest.raises(AssertionError, match=r"cannot listen on .*\(UDP\): address in use"):
        pen("-U", "127.0.0.1:9", listen=f"127.0.0.1:{running.port}")


def test_a_socket_path_is_refused(pen, tmp_path):
    with pytest.raises(AssertionError, match=r"cannot serve UDP at '.*': give \[host:]port"):
        pen("-U", "127.0.0.1:9", listen=str(tmp_path / "front"))


@pytest.mark.parametrize(
    "options", [["-E", "/none.pem"], ["-H"], ["-o", "peek"], ["-o", "dummy"], ["-o", "idlers 3"]]
)
def test_what_is_for_streams_is_refused(pen, options):
    with pytest.raises(AssertionError, match="is for TCP, and pen serves UDP"):
        pen("-U", *options, "127.0.0.1:9")


def test_source_of_what_goes_to_servers(balance, server, client):
    there = server()
    running = balance(there, options=["-o", "source 127.0.0.44"])
    assert ask(client(), running, b"x") == b"x"
    assert there.peers == ["127.0.0.44"]


def test_grace_does_not_keep_sessions(balance, server, client):
    running = balance(server(), options=["-o", "grace 60"])
    ask(client(), running, b"x")
    assert running.stop() == 0


def test_udp_cannot_be_changed_while_pen_runs(balance, server):
    running = balance(server())
    assert running.ctl("no udp") == "error: 'no udp' must be given before pen starts\n"
    assert running.ctl("udp") == ""


def test_settings_are_written_and_read_back(balance, server, pen, tmp_path, client):
    there = server()
    running = balance(
        there, options=["-o", "udp_timeout 7", "-o", "udp_replies 1", "-o", "udp_per_packet"]
    )
    config = tmp_path / "config"
    running.ctl(f"write {config}")
    running.stop()
    again = pen("-F", config, listen=f"127.0.0.1:{running.port}")
    again.port = running.port
    assert ask(client(), again, b"x") == b"x"
    assert again.ctl("udp_timeout") == "7\n"
    assert again.ctl("udp_replies") == "1\n"


def test_nothing_spins_when_clients_are_gone(balance, server):
    running = balance(server(lambda datagram: [datagram] * 3))
    with ExitStack() as stack:
        clients = [stack.enter_context(udp_socket()) for _ in range(50)]
        for one in clients:
            one.sendto(b"x", ("127.0.0.1", running.port))
    until(lambda: connections(running) == [50], "all have a session")
    used = running.cpu()
    for _ in range(20):
        assert running.ctl("pid")
    assert running.cpu() - used < 0.5


def test_too_large_for_the_way_is_lost_and_no_more(balance, server, client):
    """65527 bytes fit into IPv6, not into IPv4: they are lost, and no server is blamed."""
    running = balance(server(), host="::1")
    one = client("::1")
    one.sendto(bytes(65527), ("::1", running.port))
    assert ask(one, running, b"x", host="::1") == b"x"
    assert connections(running) == [1]
