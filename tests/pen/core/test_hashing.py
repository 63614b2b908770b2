"""The consistent hash: even, moving as little as can be, and the same everywhere."""

import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pen.core.address import resolve
from pen.core.hashing import address_hash, client_identity
from pen.core.state import State

CLIENTS = [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(20_000)]
"""One network, address by address: where a weak hash shows."""


def chooser(*hosts: str):
    """Address of client -> host of server, by `hash consistent`."""
    state = State()
    state.settings.hash = state.settings.hash_consistent = True
    for slot, host in enumerate(hosts):
        state.servers.slot(slot).move(host, resolve(host, 80))

    def choose(client: str, now: float = 0.0) -> str:
        return state.selector.first(None, client, 0, now).address

    return choose, state


def hosts(count: int) -> list[str]:
    return [f"192.0.2.{n}" for n in range(1, count + 1)]


@pytest.mark.parametrize("count", [2, 3, 4, 8, 10])
def test_every_server_gets_the_same_share(count):
    choose, _ = chooser(*hosts(count))
    shares = Counter(map(choose, CLIENTS))
    fair = len(CLIENTS) / count
    # Five standard deviations of a fair draw.
    assert all(abs(share - fair) < 5 * fair**0.5 for share in shares.values())
    assert len(shares) == count


@pytest.mark.parametrize("count", [2, 4, 10])
def test_a_new_server_takes_its_share_and_moves_nobody_else(count):
    before, _ = chooser(*hosts(count))
    after, _ = chooser(*hosts(count + 1))
    moved = [client for client in CLIENTS if before(client) != after(client)]
    fair = len(CLIENTS) / (count + 1)
    assert abs(len(moved) - fair) < 5 * fair**0.5
    assert {after(client) for client in moved} == {f"192.0.2.{count + 1}"}


def test_a_lost_server_moves_only_its_own_clients_and_spreads_them():
    choose, state = chooser(*hosts(5))
    before = {client: choose(client) for client in CLIENTS}
    state.servers[2].ban(30, 0.0, by_hand=False)
    after = {client: choose(client) for client in CLIENTS}
    moved = Counter(after[c] for c in CLIENTS if before[c] != after[c])
    assert sum(moved.values()) == Counter(before.values())["192.0.2.3"]
    assert len(moved) == 4
    assert max(moved.values()) < 1.3 * min(moved.values())
    assert {client: choose(client, 31.0) for client in CLIENTS} == before


def test_order_and_unused_slots_do_not_matter():
    names = hosts(6)
    shuffled = random.Random(1).sample(names, len(names))
    first, _ = chooser(*names)
    second, _ = chooser("0.0.0.0", *shuffled)
    assert [first(client) for client in CLIENTS] == [second(client) for client in CLIENTS]


def test_another_process_chooses_alike():
    """Also one whose strings hash otherwise."""
    program = (
        "from tests.pen.core.test_hashing import chooser, hosts, CLIENTS\n"
        "choose, _ = chooser(*hosts(7))\n"
        "print(*map(choose, CLIENTS[:500]))"
    )
    command = [sys.executable, "-c", program]
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    choose, _ = chooser(*hosts(7))
    assert output.stdout.split() == list(map(choose, CLIENTS[:500]))


def test_the_choice_never_changes_between_versions():
    """Paired balancers may run different ones."""
    choose, _ = chooser(*hosts(9))
    clients = ["198.51.100.1", "198.51.100.2", "203.0.113.77", "2001:db8::1", "::ffff:203.0.113.77"]
    assert [choose(client)[-1] for client in clients] == ["1", "5", "5", "1", "5"]


def test_ports_count_when_asked():
    _, state = chooser(*hosts(4))
    state.settings.roundrobin = True
    choices = {state.selector.first(None, "10.0.0.1", port, 0.0).slot for port in range(1, 60)}
    assert choices == {0, 1, 2, 3}


ADDRESSES = st.one_of(
    st.just(""),
    st.ip_addresses().map(str),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
)


@given(ADDRESSES, st.integers(0, 65535))
def test_any_client_has_a_hash(address, port):
    assert 0 <= address_hash(address, port) < 1 << 32
    assert 0 <= client_identity(address, port) < 1 << 64


def test_mapped_addresses_hash_as_ipv4():
    mapped = "::ffff:192.0.2.1"
    assert address_hash(mapped, 80) == address_hash("192.0.2.1", 80)
    assert client_identity(mapped, 80) == client_identity("192.0.2.1", 80)
