"""Nothing is lost on the way: flat out, over a cut cable, over TLS, without a port of its own.

Needs root, for network namespaces.
"""

import os
import socket
import time

import pytest

from tests.real.logsite import DEBIAN_PENLOG, run
from tests.real.network import Network
from tests.real.peers import accepts, receives, wait_for


@pytest.mark.parametrize("way", ["reliable", "plain", "debians"])
def test_20000_lines_flat_out_lose_none(site, way):
    site.start_penlogd()
    pipe = site.pipe()
    if way == "debians":
        logger = site.start_penlog(pipe, program=DEBIAN_PENLOG)
    else:
        logger = site.start_penlog(pipe, f"--{way}")
    site.write(pipe, 20_000)
    site.end(pipe)
    assert logger.wait(30) == 0
    site.check()


@pytest.fixture
def loghost(site):
    """penlogd's machine, joined by a cable to that of the loggers."""
    network = Network()
    try:
        loghost, www = network.machine("loghost"), network.machine("www")
        network.cable(loghost, www)
        loghost.address("10.0.0.1/24", "eth0")
        www.address("10.0.0.2/24", "eth0")
        site.within = {"penlogd": loghost.inside(), "penlog": www.inside()}
        site.host = "10.0.0.1"
        yield loghost
    finally:
        site.close()
        site.peers.close_processes()
        network.close()


def test_the_network_is_cut_for_a_minute(site, loghost):
    """The cable is out for longer than either end is patient, and the web server logs on."""
    site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    site.write(pipe, 1000)
    wait_for(site.count, "lines on the way")
    loghost.ip("link", "set", "eth0", "down")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        site.write(pipe, 50)
        time.sleep(0.1)  # 500 lines a second
    assert site.count() <= 1000
    loghost.ip("link", "set", "eth0", "up")
    site.check()


def test_tls_with_certificates_both_ways_and_a_list_of_senders(site):
    authority, own = site.folder / "ca.pem", site.folder / "own.pem"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-subj", "/CN=loghost", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(own), "-out", str(authority))  # fmt: skip
    own.write_text(own.read_text() + authority.read_text())
    tls = ("--tls-cert", own, "--tls-ca", authority)
    site.start_penlogd(*tls, "--allow", "127.0.0.1")
    pipe = site.pipe()
    site.start_penlog(pipe, "--tls", authority, "--tls-cert", own)
    site.write(pipe, 5000)
    wait_for(site.count, "lines on the way")
    site.penlogd.kill()
    site.write(pipe, 5000)
    site.start_penlogd(*tls, "--allow", "127.0.0.1")
    stranger = site.pipe()
    site.start_penlog(stranger, "--tls", authority)
    os.write(stranger[1], b"not welcome\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.9", 0))
        sock.sendto(b"not welcome\n", ("127.0.0.1", site.port))
    site.check()


def test_a_port_that_others_have_leaves_datagrams(site):
    with socket.create_server(("127.0.0.1", 0)) as other:
        site.port = other.getsockname()[1]
        penlogd = site.start_penlogd()
        assert "taking datagrams only" in penlogd.said()
        assert receives(site.port)
        assert accepts("127.0.0.1", site.port)
        pipe = site.pipe()
        site.start_penlog(pipe)
        for _ in range(2):  # what accepts() left, and the logger
            other.accept()[0].close()
        site.write(pipe, 1000)
        site.check()
