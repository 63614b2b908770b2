"""Direct server return in a network of its own: clients, pen, and servers on a switch."""

import struct
import subprocess
import sys

import pytest

from tests.real.network import Network, fetch, start, start_nginx
from tests.real.peers import ROOT, SUITE, wait_for

ADDRESS, TRAPPED = "10.78.0.100", "10.78.0.200"
SITE = f"http://{ADDRESS}/"
CLIENTS = [f"10.78.0.{n}" for n in range(30, 46)]
EXAMPLE = ROOT / "etc" / "network" / "dsr-server"
SEND_UDP = f"""
import socket, sys
for client in sys.argv[2:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((client, 0))
        asking.settimeout(5)
        asking.sendto(b"x" * int(sys.argv[1]), ("{ADDRESS}", 80))
        print(asking.recv(65535).decode())
"""
SERVE_UDP = f"""
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving:
    serving.bind(("{ADDRESS}", 80))
    while True:
        data, client = serving.recvfrom(65535)
        serving.sendto(f"{{sys.argv[1]}} {{len(data)}}".encode(), client)
"""
COUNT_BYTES = """
import socket
with socket.create_server(("0.0.0.0", 80)) as serving:
    while True:
        with serving.accept()[0] as client:
            count = 0
            while data := client.recv(65536):
                count += len(data)
            client.sendall(str(count).encode())
"""
UPLOAD = f"""
import socket, sys
with socket.create_connection(("{ADDRESS}", 80), 10) as server:
    server.sendall(bytes(int(sys.argv[1])))
    server.shutdown(socket.SHUT_WR)
    print(server.recv(100).decode(), end="")
"""
SEND_FRAME = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    for frame in sys.argv[1:]:
        wire.send(bytes.fromhex(frame))
"""


CAPTURE = f"""
import socket
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0x0800))
    with open("/dev/stdout", "w") as out:
        while True:
            frame = wire.recv(65535)
            if frame[30:34] == socket.inet_aton("{ADDRESS}") and frame[12:14] == bytes([8, 0]):
                print(frame.hex(), file=out, flush=True)
"""


class DirectFarm:
    """A client's machine, pen's, and two servers', on one switch."""

    def __init__(self, network, peers):
        self.peers = peers
        self.machines = network.switch(
            client="10.78.0.10/24", pen="10.78.0.2/24",
            www0="10.78.0.11/24", www1="10.78.0.12/24",
        )  # fmt: skip
        self.client, self.pen = self.machines["client"], self.machines["pen"]
        self.servers = [self.machines["www0"], self.machines["www1"]]
        for client in CLIENTS:
            self.client.address(f"{client}/24", "eth0")
        for machine in self.servers:
            machine.run(EXAMPLE, "add", ADDRESS)

    def start_servers(self):
        """Each server's page is its number and the client's address; /big is 8 MB."""
        big = self.peers.folder / "big"
        big.write_bytes(bytes(8_000_000))
        big.chmod(0o644)
        for slot, machine in enumerate(self.servers):
            serve = f'return 200 "{slot} $remote_addr"; }} location /big {{ root {big.parent};'
            start_nginx(self.peers, machine, f"www{slot}", serve, "80")

    def start_pen(self, *options, servers=("10.78.0.11", "10.78.0.12"), program=SUITE / "pen"):
        control = self.peers.folder / "control"
        command = [program, "-f", "-C", control, "-o", "dsr_if eth0", *options]
        words = self.pen.inside(*command, f"{ADDRESS}:80", *servers)
        return self.peers.start("pen", words, control.exists)

    def ctl(self, *words):
        command = [SUITE / "penctl", self.peers.folder / "control", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def counts(self):
        """Bytes sent to each server."""
        return [int(line.split()[-3]) for line in self.ctl("servers").splitlines()]

    def ready(self, pen):
        """Wait until both servers have answered ARP."""
        wait_for(lambda: pen.said().count("answers ARP") == 2, pen.said)
        return pen

    def get(self, client):
        """The server that this client gets; it must see the client's own address."""
        slot, seen = fetch(self.client, SITE, "--interface", client).split()
        assert seen == client
        return int(slot)

    def spread(self):
        """Client -> its server."""
        return {client: self.get(client) for client in CLIENTS}

    def send(self, *frames):
        self.client.run(sys.executable, "-c", SEND_FRAME, *(frame.hex() for frame in frames))


@pytest.fixture
def direct(peers):
    network = Network()
    try:
        yield DirectFarm(network, peers)
    finally:
        network.close()


@pytest.fixture
def running(direct):
    direct.start_servers()
    direct.ready(direct.start_pen("-u", "nobody"))
    return direct


def test_clients_are_spread_and_stay(running):
    spread = running.spread()
    assert set(spread.values()) == {0, 1}
    assert running.spread() == spread
    assert fetch(running.client, f"{SITE}big", "-o", "/dev/null", "-w", "%{size_download}") == (
        "8000000"
    )


def test_large_uploads_pass(direct):
    """Segments longer than the wire's frames, their checksums unfinished, go through whole."""
    for slot, machine in enumerate(direct.servers):
        start(direct.peers, machine, f"sink{slot}", [sys.executable, "-c", COUNT_BYTES], 80)
    direct.ready(direct.start_pen("-u", "nobody"))
    assert direct.client.run(sys.executable, "-c", UPLOAD, 8_000_000) == "8000000"
    assert sum(direct.counts()) > 8_000_000


def test_statistics(running):
    spread = running.spread()
    assert all(count > 0 for count in running.counts())
    recent = dict(line.split(" ", 1) for line in running.ctl("recent").splitlines())
    assert set(recent) == set(CLIENTS)
    assert recent[CLIENTS[0]].startswith("connects 1 ")
    page = running.ctl("status")
    assert all(client in page for client in spread)


def test_with_round_robin_the_port_counts(direct):
    direct.start_servers()
    direct.ready(direct.start_pen("-r", "-u", "root"))
    assert {direct.get(CLIENTS[0]) for _ in range(20)} == {0, 1}


def test_a_server_that_is_taken_out(running):
    before = running.spread()
    running.ctl("server", "0", "blacklist", "600")
    wait_for(lambda: set(running.spread().values()) == {1}, "all clients on the other server")
    running.ctl("server", "0", "blacklist", "0")
    wait_for(lambda: running.spread() == before, "all clients back where they were")


def test_a_server_that_vanishes(running):
    """Others' clients notice nothing; its own are served within seconds."""
    before = running.spread()
    stayers = [client for client, slot in before.items() if slot == 0]
    running.servers[1].ip("link", "set", "eth0", "down")

    def all_served():
        assert all(running.get(client) == 0 for client in stayers)
        return running.ctl("servers") and running.ctl("status").count('class="down"') == 1

    wait_for(all_served, "the loss is noticed", 20)
    assert set(running.spread().values()) == {0}
    running.servers[1].ip("link", "set", "eth0", "up")
    wait_for(lambda: 'class="down"' not in running.ctl("status"), "it is found again", 20)
    assert running.spread() == before


@pytest.mark.parametrize("size", [5, 4000], ids=["whole", "fragmented"])
def test_udp(direct, size):
    for slot, machine in enumerate(direct.servers):
        start(
            direct.peers, machine, f"udp{slot}", [sys.executable, "-c", SERVE_UDP, slot], 80, "udp"
        )
    direct.ready(direct.start_pen("-U", "-u", "nobody"))
    answers = direct.client.run(sys.executable, "-c", SEND_UDP, size, *CLIENTS).splitlines()
    assert set(answers) == {f"0 {size}", f"1 {size}"}
    assert direct.client.run(sys.executable, "-c", SEND_UDP, size, *CLIENTS).splitlines() == answers


def test_no_server_no_answer(direct):
    direct.start_pen("-u", "nobody")
    got = direct.client.attempt("curl", "-sS", "--max-time", 1, SITE)
    assert got.returncode != 0


def test_other_ports(running):
    """Frames for other ports go nowhere."""
    running.ctl("server", "1", "blacklist", "600")
    closed = running.client.attempt("curl", "-sS", "--max-time", 1, f"http://{ADDRESS}:81/")
    assert "timed out" in closed.stderr


@pytest.mark.parametrize("program", [SUITE / "pen", "/usr/bin/pen"], ids=["ours", "Debian's"])
def test_frames_go_out_as_from_debians(direct, program):
    """All but the hardware addresses is as it came; weights hold."""
    captures = [
        direct.peers.start(
            f"capture{slot}",
            machine.inside(sys.executable, "-c", CAPTURE),
            lambda machine=machine: machine.run("ss", "-H0l") != "",
        )
        for slot, machine in enumerate(direct.servers)
    ]
    servers = ("10.78.0.11:80:0:0:3", "10.78.0.12:80:0:0:1")
    direct.start_pen("-u", "root", program=program, servers=servers)
    own = hardware(direct.pen)
    frames = [own + hardware(direct.client) + b"\x08\x00" + syn(n) for n in range(256)]

    def passed():
        """What each server has got, sent again until both have answered ARP and all is there."""
        direct.send(*frames)
        got = [{bytes.fromhex(line) for line in each.said().split()} for each in captures]
        return got if sum(map(len, got)) >= len(frames) else None

    got = wait_for(passed, lambda: str([each.said()[:300] for each in captures]))
    assert {frame[12:] for each in got for frame in each} == {frame[12:] for frame in frames}
    for machine, each in zip(direct.servers, got, strict=True):
        assert {frame[:12] for frame in each} == {hardware(machine) + own}
    assert 2 < len(got[0]) / len(got[1]) < 4.5


def hardware(machine):
    return bytes.fromhex(machine.mac("eth0").replace(":", ""))


def syn(n):
    """A packet that asks for a connection, from the nth of many clients."""
    ends = bytes([203, 0, 113, n]) + bytes([10, 78, 0, 100])
    tcp = struct.pack("!HHIIBBHHH", 4000, 80, 1, 0, 0x50, 2, 1000, 0, 0)
    return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + ends + tcp


def test_garbage_harms_nobody(running):
    to_pen = bytes.fromhex(running.pen.mac("eth0").replace(":", "")) + bytes(6)
    target = bytes([10, 78, 0, 100])
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20, 0, 0, 64, 6, 0) + bytes([10, 78, 0, 30])
    long = struct.pack("!BBHHHBBH", 0x4F, 0, 9999, 0, 0, 64, 6, 0) + bytes([10, 78, 0, 30])
    running.send(
        to_pen + b"\x08\x00" + header + target,
        to_pen + b"\x08\x00" + long + target,
        to_pen + b"\x08\x00" + header + target + bytes(40),
        to_pen + b"\x08\x00",
        to_pen + b"\x08\x06" + bytes(46),
        to_pen + b"\x08\x06",
    )
    assert running.get(CLIENTS[0]) in (0, 1)


def test_the_tarpit(running):
    running.ctl("acl", "3", "permit", TRAPPED)
    assert running.ctl("tarpit_acl") == "tarpit_acl = -1\n"
    assert running.ctl("tarpit_acl", "3") == "tarpit_acl = 3\n"
    connect = f"import socket; s = socket.create_connection(('{TRAPPED}', 22), 5); "
    stall = "s.settimeout(0.5); s.sendall(b'x' * 3000); print(s.recv(9))"
    stuck = running.client.attempt(sys.executable, "-c", connect + stall)
    assert "timed out" in stuck.stderr
    assert running.get(CLIENTS[0]) in (0, 1)
    running.ctl("tarpit_acl", "-1")
    running.client.ip("neighbour", "flush", "all")
    gone = running.client.attempt(sys.executable, "-c", connect)
    assert "No route to host" in gone.stderr or "timed out" in gone.stderr


def test_what_cannot_work_is_said(direct):
    def fails(*words):
        done = direct.pen.attempt(SUITE / "pen", "-f", *words)
        assert done.returncode == 1
        return done.stderr

    servers = ("10.78.0.11", "10.78.0.12")
    assert "No such device" in fails("-o", "dsr_if eth9", f"{ADDRESS}:80", *servers)
    assert "no Ethernet" in fails("-o", "dsr_if lo", f"{ADDRESS}:80", *servers)
    assert "one IPv4 address" in fails("-o", "dsr_if eth0", "80", *servers)
    assert "one IPv4 address" in fails("-o", "dsr_if eth0", "[::1]:80", *servers)
    assert "of this machine" in fails("-o", "dsr_if eth0", "10.78.0.2:80", *servers)


def test_it_cannot_begin_late(direct):
    direct.start_pen("-u", "nobody")
    command = [SUITE / "penctl", direct.peers.folder / "control", "dsr_if", "eth1"]
    late = subprocess.run(command, capture_output=True, text=True)
    assert (late.returncode, late.stdout) == (
        1,
        "error: 'dsr_if' must be given before pen starts\n",
    )
    assert direct.ctl("dsr_if") == "eth0\n"


def test_forwarding_by_the_system_is_warned_of(direct):
    direct.pen.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=1")
    pen = direct.start_pen("-u", "nobody")
    assert "sysctl -w net.ipv4.conf.eth0.forwarding=0" in pen.said()


def test_the_address_moves(running):
    """`listen` gives another address; the servers have it too."""
    for machine in running.servers:
        machine.run(EXAMPLE, "add", "10.78.0.101")
    assert running.ctl("listen", "10.78.0.101:80") == "10.78.0.101:80\n"
    assert fetch(running.client, "http://10.78.0.101/").split()[1] == "10.78.0.10"
    running.client.ip("neighbour", "flush", "all")
    assert running.client.attempt("curl", "-sS", "--max-time", 1, SITE).returncode != 0
