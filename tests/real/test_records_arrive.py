"""pen's records reach penlogd whatever happens to datagrams, or to penlogd."""

import pytest

from tests.real.dropping import Dropping
from tests.real.farm import HOSTS, Farm, fetch
from tests.real.peers import wait_for
from tests.real.test_exact import (
    APACHE,
    APACHE_PAGES,
    CLIENTS,
    HOLD,
    Visitors,
    check,
    run_all,
    start_apache,
    statistics,
)  # fmt: skip


@pytest.fixture
def farm(peers):
    return Farm(peers)


@pytest.fixture
def network(farm):
    made = Dropping(farm.log_port)
    yield made
    made.close()


def start(farm, network, log_format):
    for number in range(len(HOSTS)):
        start_apache(farm, number)
    farm.start_pen("-l", f"127.0.0.1:{network.port}", "--log-format", log_format, "-r")


def test_every_line_is_joined_exactly_where_all_datagrams_are_lost(farm, network, pool):
    farm.penlogd = farm.start_penlogd("--hold", str(HOLD), "--format", APACHE)
    start(farm, network, "both")
    visitors = Visitors(farm.connect, APACHE_PAGES)
    run_all(visitors, pool, 12)
    check(farm, visitors)
    counted = statistics(farm)
    assert (
        int(counted["lines_joined[exact]"])
        == int(counted["lines_received"])
        >= len(visitors.answered)
    )
    assert int(counted["request_records"]) >= int(counted["lines_received"])
    assert not network.lost


def test_a_penlogd_that_was_killed_is_told_again_of_open_connections(farm, network):
    options = ("--hold", "1", "--journal", "none", "--format", APACHE)
    farm.penlogd = farm.start_penlogd(*options)
    start(farm, network, "connections")
    connections = {client: farm.connect(client) for client in CLIENTS}

    def ask(name):
        for client, connection in connections.items():
            headers = {"X-Client": client, "X-Id": f"{name}-{client}"}
            assert fetch(connection, "/p.html", headers)[0] == 200
        wait_for(lambda: logged(name), lambda: f"lines of {name}", 30)
        return logged(name)

    def logged(name):
        text = farm.merged_log.read_text() if farm.merged_log.exists() else ""
        lines = [line for line in text.splitlines() if f'"{name}-' in line]
        return lines if len(lines) == len(CLIENTS) else None

    for name in ("first", "second"):
        lines = ask(name)
        assert [line for line in lines if line.split()[0] != line.rsplit('"', 4)[1]] == []
        counted = statistics(farm)
        assert counted["lines_joined[exact]"] == counted["lines_received"] == str(len(CLIENTS))
        farm.penlogd.kill()
        farm.penlogd = farm.start_penlogd(*options)
        wait_for(
            lambda: int(statistics(farm)["connection_records"]), "pen and the Apaches are back"
        )
    for connection in connections.values():
        connection.close()
