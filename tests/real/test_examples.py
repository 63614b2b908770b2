"""The files of etc/ work together: units, four kinds of web servers, and logrotate."""

import grp
import os
import pwd
import re
import shlex
import signal
import socket
import subprocess

import pytest

from tests.real.caddy import Caddy
from tests.real.examples import example
from tests.real.farm import Farm, fetch
from tests.real.lighttpd import Lighttpd
from tests.real.nginx import Nginx
from tests.real.peers import SUITE, accepts, receives, wait_for
from tests.real.test_exact import statistics

APACHE, NGINX, LIGHTTPD = "127.0.1.1", "127.0.1.2", "127.0.1.3"
CADDY = "127.0.0.1"
"""From where its datagrams come on this machine: penlogd tells servers apart by that."""
CLIENTS = [f"127.0.0.{number}" for number in range(20, 32)]
ROUNDS = 8


@pytest.mark.parametrize("name", ["pen.service", "penlogd.service"])
def test_systemd_finds_no_fault(name, tmp_path):
    unit = tmp_path / name
    unit.write_text(example(f"systemd/{name}", {"/usr/local/bin": SUITE}))
    command = ["systemd-analyze", "verify", "--man=no", unit]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.stdout + result.stderr, result.returncode) == ("", 0)


def command_of(name, replacements):
    """The command of a unit, with this machine's addresses and folders."""
    unit = example(f"systemd/{name}", {"/usr/local/bin": SUITE, **replacements})
    unit = unit.replace("\\\n", " ")  # as systemd reads it
    return shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])


@pytest.fixture
def penlogd(peers):
    """Run penlogd with its unit's command; gives the farm that it logs for."""
    farm = Farm(peers)
    replacements = {
        "/var/log/pen/access.log": farm.merged_log,
        "/run/penlogd": peers.folder,
        "    10000": f"    {farm.log_port}",
        "192.0.2.22": NGINX,
        "192.0.2.23": LIGHTTPD,
    }
    command = command_of("penlogd.service", replacements)
    farm.penlogd = peers.start("penlogd", command, lambda: receives(farm.log_port))
    return farm


@pytest.fixture
def pen(penlogd, peers):
    """Run pen with its unit's command in front of a server of each kind, set up as in etc/."""
    farm = penlogd
    servers = start_servers(farm)
    replacements = {
        "/run/pen": peers.folder,
        "192.0.2.10:10000": f"127.0.0.1:{farm.log_port}",
        " 80 ": f" 127.0.0.1:{farm.port} ",
        **{f"192.0.2.{21 + n}:80": f"{s.host}:{s.port}" for n, s in enumerate(servers)},
    }
    command = command_of("pen.service", replacements)
    return peers.start("pen", command, lambda: accepts("127.0.0.1", farm.port))


def start_servers(farm):
    peers, log_port = farm.peers, farm.log_port
    nginx = Nginx(peers, "www2", NGINX, f"include {nginx_example(farm)};")
    nginx.page("p.html", "www2\n")
    lighttpd = {
        "/usr/local/bin": SUITE,
        "/var/spool/penlog 192": f"{peers.folder / 'spool'} 192",
        "192.0.2.10 10000 192.0.2.23": f"127.0.0.1 {log_port} {LIGHTTPD}",
    }
    caddy = {"192.0.2.10:10000": f"127.0.0.1:{log_port}"}
    return (
        farm.start_apache("www1", APACHE),
        nginx.start(),
        Lighttpd(peers, "www3", LIGHTTPD, lighttpd).start(),
        Caddy(peers, "www4", CADDY, caddy).start(),
    )


def nginx_example(farm):
    """A file of nginx's example."""
    file = farm.peers.folder / "nginx-penlog.conf"
    file.write_text(
        example("nginx/penlog.conf", {"192.0.2.10:10000": f"127.0.0.1:{farm.log_port}"})
    )
    return file


def lines(farm):
    return farm.merged_log.read_text().splitlines() if farm.merged_log.exists() else []


def visit(farm, client):
    """Ask over one kept connection and over one each; the same page always, as who it is."""
    headers = {"User-Agent": f"Client {client}"}
    kept = farm.connect(client)
    served = {fetch(kept, "/p.html", headers) for _ in range(ROUNDS)}
    kept.close()
    for _ in range(ROUNDS):
        connection = farm.connect(client)
        served.add(fetch(connection, "/p.html", {**headers, "Connection": "close"}))
        connection.close()
    assert len(served) == 1  # it stays with its server
    return served.pop()


def client_of(line):
    """The client of a line, be it of words or Caddy's object."""
    words = re.match(r'\{.*?"remote_ip":"([^"]*)"|(\S+)', line)
    return words[1] or words[2]


def wait_for_lines(farm, count):
    wait_for(lambda: len(lines(farm)) >= count, lambda: f"{count} lines: {lines(farm)}", 20)
    assert len(lines(farm)) == count


def test_the_units_and_a_server_of_each_kind(pen, penlogd, peers, pool):
    farm = penlogd
    served = list(pool.map(lambda client: visit(farm, client), CLIENTS))
    assert sorted(set(served)) == [(200, f"www{n}\n") for n in range(1, 5)]
    wait_for_lines(farm, len(CLIENTS) * 2 * ROUNDS)
    for client in CLIENTS:
        of_client = [line for line in lines(farm) if f'Client {client}"' in line]
        assert [client_of(line) for line in of_client] == [client] * 2 * ROUNDS
    pen.signal(signal.SIGHUP)
    pen.signal(signal.SIGUSR1)
    wait_for((peers.folder / "status.html").exists, "the status page")
    assert (peers.folder / "pen.pid").read_text().strip() == str(pen.pid)
    assert visit(farm, CLIENTS[0]) == served[0]
    wait_for_lines(farm, (len(CLIENTS) + 1) * 2 * ROUNDS)
    counted = statistics(farm)
    assert (
        counted["lines_joined[exact]"]
        == counted["lines_received"]
        == str((len(CLIENTS) + 1) * 2 * ROUNDS)
    )


def test_logrotate(penlogd, peers):
    """A line before the rotation is in the old file, one after it in the new."""
    farm = penlogd
    line = '127.0.0.1 - - [23/Nov/2026:16:00:00 +0000] "GET /{} HTTP/1.1" 200 1 "-" "-"\n'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as penlog:
        penlog.connect(("127.0.0.1", farm.log_port))
        penlog.send(line.format("before").encode())
        farm.wait_for_lines(1)
        rotate(farm, peers)
        wait_for(farm.merged_log.exists, "the new log file")
        penlog.send(line.format("after").encode())
        farm.wait_for_lines(1)
    assert [url for _, url, _ in farm.logged()] == ["/after"]
    assert "/before " in farm.merged_log.with_suffix(".log.1").read_text()


def rotate(farm, peers):
    """Run logrotate with the example."""
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    replacements = {
        "/var/log/pen/access.log": farm.merged_log,
        "/run/penlogd": peers.folder,
        "su www-data adm": f"su {user} {group}",
    }
    settings = peers.folder / "logrotate.conf"
    settings.write_text(example("logrotate/penlogd", replacements))
    settings.chmod(0o644)
    state = peers.folder / "logrotate.state"
    subprocess.run(["/usr/sbin/logrotate", "--force", "--state", state, settings], check=True)


def test_nginx_behind_header_rewriting_sees_the_client_and_its_log_is_joined(penlogd, peers):
    """realip puts the client in the place of pen everywhere but in the example's log format."""
    farm = penlogd
    realip = peers.folder / "realip.conf"
    realip.write_text(example("nginx/realip.conf", {"192.0.2.10": "127.0.0.1"}))
    nginx = Nginx(peers, "www2", NGINX, f"include {nginx_example(farm)}; include {realip};")
    farm.web_servers.append(nginx.start())
    farm.start_pen("-H", "--log-format", "connections")
    assert farm.get("127.0.0.20", "/who") == (200, "127.0.0.20")
    wait_for(lambda: lines(farm), "a line")
    assert client_of(lines(farm)[0]) == "127.0.0.20"
    assert farm.penlogd.terminate() == 0
