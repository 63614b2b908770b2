"""The main job with real Apaches: clients are served, and one log has all they asked for."""

from datetime import datetime
from itertools import chain

import pytest

from tests.real.farm import HOSTS, Farm, fetch
from tests.real.peers import wait_for

CLIENTS = [f"127.0.0.{number}" for number in range(20, 60)]
EACH_WAY = 9

# A CGI that answers when it is let; it leaves a mark that it runs.
GATED_CGI = """\
#!/bin/sh
touch "{folder}/started.$$"
while [ ! -e "{folder}/gate" ]; do sleep 0.02; done
printf 'Content-Type: text/plain\\n\\n{name}\\n'
"""


def visit(farm, client):
    """Ask for pages over one kept connection and over one each; returns (client, url) pairs."""
    urls = [f"/p.html?c={client}&n={number}" for number in range(2 * EACH_WAY)]
    kept = farm.connect(client)
    answers = [fetch(kept, url) for url in urls[:EACH_WAY]]
    kept.close()
    answers += [farm.get(client, url) for url in urls[EACH_WAY:]]
    assert set(answers) in ({(200, "www1\n")}, {(200, "www2\n")})  # it stays with its server
    return [(client, url) for url in urls]


def check_log(farm, visits):
    """Each visit has its one line with its client."""
    logged = farm.wait_for_lines(len(visits))
    assert sorted((client, url) for client, url, _ in logged) == sorted(visits)
    return logged


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_one_log_has_every_request_with_its_client(peers, pool, mpm):
    farm = Farm(peers)
    farm.start_penlogd()
    for number, host in enumerate(HOSTS, 1):
        farm.start_apache(f"www{number}", host, mpm)
    farm.start_pen()
    visits = list(chain.from_iterable(pool.map(lambda c: visit(farm, c), CLIENTS)))
    assert len(visits) == 720
    logged = check_log(farm, visits)
    stamps = [datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z") for _, _, stamp in logged]
    assert stamps == sorted(stamps)
    used = [line.split() for line in farm.penctl("servers").splitlines()]
    assert all(int(words[words.index("rx") + 1]) > 0 for words in used)


def test_graceful_restart_in_the_middle_of_slow_requests_loses_no_line(farm, pool):
    """The old workers log after the old penlog got TERM; it must read on."""
    for apache in farm.web_servers:
        apache.cgi("slow", GATED_CGI.format(folder=apache.folder, name=apache.name))
        apache.folder.chmod(0o777)
    slow = [(client, f"/cgi/slow?c={client}&n=0") for client in CLIENTS[:8]]
    answers = [pool.submit(farm.get, *request) for request in slow]
    for apache in farm.web_servers:
        wait_for(lambda a=apache: len(list(a.folder.glob("started.*"))) == 4, "4 slow CGIs")
        apache.graceful()
    quick = list(chain.from_iterable(visit(farm, client) for client in CLIENTS[8:16]))
    for apache in farm.web_servers:
        (apache.folder / "gate").touch()
    assert {answer.result()[0] for answer in answers} == {200}
    check_log(farm, slow + quick)


def test_clients_of_a_killed_apache_are_served_by_the_other(farm):
    www1 = farm.web_servers[0]
    before = {client: farm.get(client, f"/p.html?c={client}&n=0") for client in CLIENTS[:10]}
    assert set(before.values()) == {(200, "www1\n"), (200, "www2\n")}
    farm.wait_for_lines(len(before))  # Apache answers first and logs then; the killed cannot log
    www1.peer.kill()
    after = {farm.get(client, f"/p.html?c={client}&n=1") for client in CLIENTS[:10]}
    assert after == {(200, "www2\n")}
    check_log(farm, [(c, f"/p.html?c={c}&n={n}") for c in CLIENTS[:10] for n in (0, 1)])
