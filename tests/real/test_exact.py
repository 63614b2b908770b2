"""The exact join with real servers: each line has the client that asked, whatever it asked for.

Clients tell who they are in a header, which the servers log: that is the truth to compare with.
"""

import http.client
import itertools
import signal
import ssl
from datetime import datetime

import pytest

from tests.real.farm import HOSTS, Farm
from tests.real.nginx import Nginx
from tests.real.peers import wait_for

CLIENTS = [f"127.0.0.{number}" for number in range(20, 40)]
HOLD = 5
SLOWEST = 1.2

# What to ask for in turn; a size is that of a body to send.
APACHE_PAGES = [("/p.html", 0), ("/p.html", 0), ("/q.html", 0), ("/cgi/slow", 20_000)]
NGINX_PAGES = [("/p.html", 0), ("/p.html", 0), ("/q.html", 0), ("/slow/p.html", 0)]

APACHE = (
    r"%h %l %u %t \"%r\" %>s %b %{remote}p %{local}p %D"
    r" \"%{X-Client}i\" \"%{X-Id}i\""
)
NGINX = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '$remote_port $server_port $request_time "$http_x_client" "$http_x_id"'
)

SLOW_CGI = f"""\
#!/bin/sh
head -c "${{CONTENT_LENGTH:-0}}" > /dev/null
sleep {SLOWEST}
printf 'Content-Type: text/plain\\n\\nslow\\n'
"""


class Visitors:
    """Clients that ask for the same few pages at once, over kept and over new connections."""

    def __init__(self, connect, pages):
        self._connect, self._pages = connect, pages
        self._ids = itertools.count()
        self.asked, self.answered = {}, {}

    def visit(self, client, rounds):
        """Ask so many times; what the server closed or is old is made anew."""
        connection = self._connect(client)
        for number in range(rounds):
            page, size = self._pages[number % len(self._pages)]
            while not self._ask(connection, client, page, b"x" * size):
                connection.close()
            if number % 7 == 6:
                connection.close()
        connection.close()

    def _ask(self, connection, client, page, body):
        name = f"r{next(self._ids)}"
        self.asked[name] = client
        headers = {"X-Client": client, "X-Id": name}
        try:
            connection.request("POST" if body else "GET", page, body, headers)
            answer = connection.getresponse()
            answer.read()
        except (http.client.HTTPException, OSError):
            return False  # a server that restarts closes kept connections
        # A restarted mod_cgid may have no daemon for a moment; such an answer has its line too.
        assert answer.status in (200, 503)
        self.answered[name] = client
        return True


def run_all(visitors, pool, rounds, in_the_middle=None):
    """Let all clients ask so many times each."""
    visits = [pool.submit(visitors.visit, client, rounds) for client in CLIENTS]
    if in_the_middle is not None:
        third = len(CLIENTS) * rounds / 3
        wait_for(lambda: len(visitors.answered) > third, "a third of the answers", 60)
        in_the_middle()
    for visit in visits:
        visit.result()
    assert len(visitors.answered) == len(CLIENTS) * rounds


def check(farm, visitors, *, in_order=True):
    """Every answered request has one line, with its client, and lines are in time order."""

    def lines():
        return farm.merged_log.read_text().splitlines() if farm.merged_log.exists() else []

    def names():
        return [line.rsplit('"', 2)[1] for line in lines()]

    wait_for(lambda: set(visitors.answered) <= set(names()), lambda: f"{len(names())} lines", 30)
    logged = names()
    assert len(logged) == len(set(logged))
    assert set(logged) <= set(visitors.asked)
    wrong = [line for line in lines() if line.split()[0] != line.rsplit('"', 4)[1]]
    assert not wrong
    stamps = [datetime.strptime(line[1:].split("[")[1].split("]")[0], "%d/%b/%Y:%H:%M:%S %z")
              for line in lines()]  # fmt: skip
    assert stamps == sorted(stamps) or not in_order


def statistics(farm):
    """What penlogd counted, asked for by USR1."""
    before = farm.penlogd.said().count("lines_received=")
    farm.penlogd.signal(signal.SIGUSR1)
    wait_for(lambda: farm.penlogd.said().count("lines_received=") > before, "statistics")
    return dict(word.split("=") for word in farm.penlogd.said().splitlines()[-1].split()[1:])


@pytest.fixture
def farm(peers):
    return Farm(peers)


def start_apache(farm, number):
    apache = farm.start_apache(f"www{number + 1}", HOSTS[number], log_format=APACHE)
    apache.page("q.html", "q\n")
    apache.cgi("slow", SLOW_CGI)


def test_apache_with_slow_pages_and_a_graceful_restart(farm, pool):
    farm.penlogd = farm.start_penlogd("--hold", str(HOLD), "--format", APACHE)
    for number in range(len(HOSTS)):
        start_apache(farm, number)
    farm.start_pen("--log-format", "connections", "-r")

    def restart():
        for apache in farm.web_servers:
            apache.graceful()

    visitors = Visitors(farm.connect, APACHE_PAGES)
    run_all(visitors, pool, 24, restart)
    check(farm, visitors)
    counted = statistics(farm)
    assert (
        int(counted["lines_joined[exact]"])
        == int(counted["lines_received"])
        >= len(visitors.answered)
    )
    assert (counted["request_records"], counted["lines_late"], counted["lines_ambiguous"]) == (
        "0",
        "0",
        "0",
    )


def test_a_new_penlogd_is_told_of_new_connections_and_requests_go_on(farm, pool):
    start = ("--hold", "1", "--order", "end", "--format", APACHE)
    farm.penlogd = farm.start_penlogd(*start)
    start_apache(farm, 0)
    farm.start_pen("--log-format", "both")
    for _ in range(2):
        visitors = Visitors(farm.connect, APACHE_PAGES)
        run_all(visitors, pool, 8)
        check(farm, visitors, in_order=False)
        counted = statistics(farm)
        assert counted["lines_joined[exact]"] == counted["lines_received"]
        assert int(counted["request_records"]) >= int(counted["lines_received"])
        assert counted["lines_late"] == "0"
        farm.penlogd.terminate()
        farm.merged_log.unlink()
        farm.penlogd = farm.start_penlogd(*start)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls-passthrough"])
def test_nginx_over_syslog(farm, pool, tls):
    names = [f"--server=www{number}={host}" for number, host in enumerate(HOSTS, 1)]
    farm.penlogd = farm.start_penlogd("--hold", str(HOLD), "--format", NGINX, *names)
    for number, host in enumerate(HOSTS, 1):
        name = f"www{number}"
        syslog = f"syslog:server=127.0.0.1:{farm.log_port},tag={name},nohostname"
        directives = f"log_format penlogd '{NGINX}'; access_log {syslog} penlogd;"
        nginx = Nginx(farm.peers, name, host, directives, tls=tls)
        for page, text in (("p.html", "p"), ("q.html", "q"), ("slow/p.html", "s" * 2 * nginx.RATE)):
            nginx.page(page, text)
        farm.web_servers.append(nginx.start())
    farm.start_pen("--log-format", "connections", "-r")

    def connect(client):
        if not tls:
            return farm.connect(client)
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection(
            "127.0.0.1", farm.port, timeout=20, source_address=(client, 0), context=context
        )

    visitors = Visitors(connect, NGINX_PAGES)
    run_all(visitors, pool, 16)
    check(farm, visitors)
    counted = statistics(farm)
    assert (
        counted["lines_joined[exact]"] == counted["lines_received"] == str(len(visitors.answered))
    )
