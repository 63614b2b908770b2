"""Fixtures for tests with real programs; `peers` and `farm` say what they give."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.real.farm import HOSTS, Farm
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
