"""`transparent`: the servers see the clients' addresses, with the example's routes."""

import pwd
import subprocess
import sys

import pytest

from tests.real.network import Network, fetch, start, start_nginx
from tests.real.peers import ROOT, SUITE

CLIENT, SERVER, CLIENT6, SERVER6 = "198.51.100.9", "10.0.2.2", "2001:db8:1::9", "2001:db8:2::2"
PEN, PEN6 = "198.51.100.1", "2001:db8:1::1"
SITE, SITE6 = f"http://{PEN}:80/", f"http://[{PEN6}]:80/"
EXAMPLE = ROOT / "etc" / "network" / "transparent"

# A server that answers each datagram with the address and the number of its sender.
SEES = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.socket(family, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
while True:
    datagram, peer = server.recvfrom(65535)
    server.sendto(peer[0].encode() + b" sent " + datagram, peer)
"""
# A client that asks from one port, and shows what it is answered.
ASKS = """
import socket, sys
host, port, *datagrams = sys.argv[1:]
client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(10)
client.connect((host, int(port)))
for datagram in datagrams:
    client.send(datagram.encode())
    print(client.recv(65535).decode())
"""


class Line:
    """client - pen's machine - server, which shows the address it sees."""

    def __init__(self, network, peers):
        self.peers = peers
        self.client, self.pen, self.server = map(network.machine, ("client", "pen", "server"))
        network.cable(self.pen, self.client, here="clients")
        network.cable(self.pen, self.server, here="servers")
        for machine, interface, *addresses in (
            (self.client, "eth0", f"{CLIENT}/24", f"{CLIENT6}/64"),
            (self.pen, "clients", f"{PEN}/24", f"{PEN6}/64"),
            (self.pen, "servers", "10.0.2.1/24", "2001:db8:2::1/64"),
            (self.server, "eth0", f"{SERVER}/24", f"{SERVER6}/64"),
        ):
            for address in addresses:
                machine.address(address, interface)
        for gateway in ("10.0.2.1", "2001:db8:2::1"):
            self.server.ip("route", "add", "default", "via", gateway)
        self.pen.run(EXAMPLE, "add", "servers", 8000)
        seen = 'return 200 "$remote_addr";'
        start_nginx(peers, self.server, "nginx", seen, f"{SERVER}:8000", f"[{SERVER6}]:8000")

    def start_pen(self, *options, listen=f"{PEN}:80", server=f"{SERVER}:8000"):
        control = self.peers.folder / "control"
        command = [SUITE / "pen", "-fr", "-C", control, *options, listen, server]
        return start(self.peers, self.pen, "pen", command, 80)

    def ctl(self, *words):
        command = [SUITE / "penctl", self.peers.folder / "control", *words]
        return subprocess.run(command, capture_output=True, text=True)

    def start_udp_pen(self, *options, listen=PEN, server=SERVER):
        start(self.peers, self.server, "seer", [sys.executable, "-c", SEES, server, 53], 53, "udp")
        control = self.peers.folder / "control"
        place = "[{}]:{}" if ":" in server else "{}:{}"
        places = place.format(listen, 80), place.format(server, 53)
        command = [SUITE / "pen", "-fUr", "-C", control, *options, *places]
        self.pen.run(EXAMPLE, "add", "servers", 53)
        return start(self.peers, self.pen, "pen", command, 80, "udp")

    def ask(self, host, *datagrams):
        """Send datagrams from one port of the client's; what is answered."""
        return self.client.run(sys.executable, "-c", ASKS, host, 80, *datagrams).splitlines()


@pytest.fixture
def line(peers):
    network = Network()
    try:
        yield Line(network, peers)
    finally:
        network.close()


def test_server_sees_the_client(line):
    line.start_pen("-u", "nobody", "-o", "transparent")
    assert fetch(line.client, SITE) == CLIENT


def test_server_sees_an_ipv6_client(line):
    line.start_pen("-u", "nobody", "-o", "transparent", listen="[::]:80", server=f"[{SERVER6}]")
    line.ctl("server", "0", "port", "8000")
    assert fetch(line.client, SITE6) == CLIENT6
    # There is no IPv4 address that could stand in an IPv6 connection.
    assert fetch(line.client, SITE) == "2001:db8:2::1"


def test_it_can_be_switched_while_pen_runs(line):
    line.start_pen("-u", "nobody", "-o", "transparent")
    line.ctl("no", "transparent")
    assert fetch(line.client, SITE) == "10.0.2.1"
    assert line.ctl("transparent").returncode == 0
    assert fetch(line.client, SITE) == CLIENT


def test_only_the_one_right_is_kept(line):
    pen = line.start_pen("-u", "nobody", "-o", "transparent")
    with open(f"/proc/{pen.pid}/status") as file:
        status = dict(each.split(":\t", 1) for each in file.read().splitlines())
    assert status["Uid"].split()[1] == str(pwd.getpwnam("nobody").pw_uid)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 1 << 13


def test_without_the_right_it_is_refused(line):
    line.start_pen("-u", "nobody")
    refused = line.ctl("transparent")
    assert refused.returncode == 1
    assert "CAP_NET_RAW" in refused.stdout
    assert fetch(line.client, SITE) == "10.0.2.1"


def test_start_without_the_right_fails():
    without = ["setpriv", "--bounding-set", "-net_raw,-net_admin"]
    pen = [SUITE / "pen", "-f", "-o", "transparent", "127.0.0.1:0", "127.0.0.1:9"]
    failed = subprocess.run([*without, *pen], capture_output=True, text=True, timeout=20)
    assert failed.returncode == 1
    assert "CAP_NET_RAW" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_the_rules_can_be_removed(line):
    before = line.pen.run("ip", "rule") + line.pen.run("ip", "-6", "rule")
    assert (before.count("sport 8000"), before.count("icmp")) == (4, 2)
    line.pen.run(EXAMPLE, "del", "servers", 8000)
    after = line.pen.run("ip", "rule") + line.pen.run("ip", "-6", "rule")
    assert "sport" not in after
    assert "icmp" not in after


def test_udp_server_sees_the_client(line):
    line.start_udp_pen("-u", "nobody", "-o", "transparent")
    assert line.ask(PEN, "1", "2") == [f"{CLIENT} sent 1", f"{CLIENT} sent 2"]


def test_udp_server_sees_an_ipv6_client(line):
    line.start_udp_pen("-u", "nobody", "-o", "transparent", listen=PEN6, server=SERVER6)
    assert line.ask(PEN6, "1", "2") == [f"{CLIENT6} sent 1", f"{CLIENT6} sent 2"]


def test_it_can_be_switched_while_pen_serves_udp(line):
    line.start_udp_pen("-u", "nobody", "-o", "transparent")
    line.ctl("no", "transparent")
    assert line.ask(PEN, "1") == ["10.0.2.1 sent 1"]
    assert line.ctl("transparent").returncode == 0
    assert line.ask(PEN, "2") == [f"{CLIENT} sent 2"]


@pytest.mark.parametrize(("server", "place"), [(SERVER, PEN), (SERVER6, PEN6)])
def test_a_server_that_refuses_datagrams_is_passed_over(line, server, place):
    """Its ICMP error goes to the client's address, and must reach pen instead."""
    line.start_udp_pen("-u", "nobody", "-o", "transparent", listen=place, server=server)
    line.ctl("server", "1", "address", server, "port", "54")
    client = CLIENT6 if ":" in server else CLIENT
    answers = [line.ask(place, str(number)) for number in range(3)]
    assert answers == [[f"{client} sent {number}"] for number in range(3)]
    assert " rx 0" in line.ctl("servers").stdout.splitlines()[1]
