"""Fixtures for tests with real programs; `peers` and `farm` say what they give."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.real.farm import HOSTS, Farm
from tests.real.logsite import Site
from tests.real.peers import Peers


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """Whoever runs the tests in the background may have INT ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def peers():
    """Start real programs; all are gone after the test."""
    peers = Peers()
    yield peers
    peers.close()


_COUNTED = pytest.StashKey[list[str]]()


@pytest.fixture
def site(peers, request):
    """A penlogd and loggers of which every line is counted; the counts are told at the end."""
    site = Site(peers)
    yield site
    site.close()
    told = f"{site.written} lines, {site.lost} lost, {site.doubled} doubled: {request.node.name}"
    request.config.stash.setdefault(_COUNTED, []).append(told)


def pytest_terminal_summary(terminalreporter, config):
    if counted := config.stash.get(_COUNTED, []):
        terminalreporter.section("lines of logs on their way")
        terminalreporter.write_line("\n".join(counted))


@pytest.fixture
def farm(peers):
    """penlogd, two Apaches and pen, running."""
    farm = Farm(peers)
    farm.start_penlogd()
    for number, host in enumerate(HOSTS, 1):
        farm.start_apache(f"www{number}", host)
    farm.start_pen()
    return farm


@pytest.fixture
def pool():
    """Run things at the same time."""
    with ThreadPoolExecutor(20) as pool:
        yield pool
