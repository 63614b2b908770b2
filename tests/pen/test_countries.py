"""Access lists by country, with a real MaxMind database file and real clients."""

import ipaddress
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from pen.core.acl import AccessLists, parse_entry
from pen.core.errors import CommandError
from pen.countries import open_countries
from tests.pen.conftest import naming, until
from tests.pen.test_starting import run

PLACES = {
    "SE": ["127.0.0.16/28", "192.0.2.0/24", "2001:db8:5e::/48"],
    "DE": ["127.0.0.32/28", "198.51.100.0/24", "2001:db8:de::/48"],
}


def write_database(path: Path, places: dict[str, list[str]], form=lambda cc: {"iso_code": cc}):
    writer = MMDBWriter(6, "GeoLite2-Country", ipv4_compatible=True)
    for country, networks in places.items():
        writer.insert_network(IPSet(networks), {"country": form(country)})
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    fresh.replace(path)


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("geo") / "countries.mmdb"
    write_database(path, PLACES)
    return path


def test_countries_of_addresses(database):
    country_of = open_countries(str(database))
    found = [
        country_of(each) for each in ("192.0.2.1", "2001:db8:de::1", "203.0.113.1", "fe80::1%lo")
    ]
    assert found == ["SE", "DE", None, None]


@pytest.mark.parametrize("form", [lambda cc: cc, lambda cc: cc.lower()])
def test_databases_of_another_form(tmp_path, form):
    write_database(tmp_path / "db", PLACES, form)
    assert open_countries(str(tmp_path / "db"))("192.0.2.1") == "SE"


ENTRIES = st.sampled_from(
    [("country", "SE"), ("country", "de"), ("country", "FR"), ("192.0.2.0/25", None),
     ("192.0.2.0", "255.255.255.0"), ("198.51.100.7", None), ("2001:db8::/32", None),
     ("2001:db8:5e::1", None), ("0.0.0.0/0", None), ("::/0", None)]
)  # fmt: skip
ADDRESSES = ["192.0.2.1", "192.0.2.200", "198.51.100.7", "203.0.113.9", "2001:db8:5e::1",
             "2001:db8:de::1", "::1", "::ffff:192.0.2.1"]  # fmt: skip


def decide(entries, address, country_of) -> bool:
    """The rule as penctl(1) says it, entry by entry."""
    address = address.removeprefix("::ffff:")
    version = ipaddress.ip_address(address).version
    permit = False
    for permit, source, mask in entries:
        if source == "country":
            matches = country_of(address) == mask.upper()
        else:
            length = source if mask is None else f"{source}/{mask}"
            network = ipaddress.ip_network(length, strict=False)
            matches = network.version == version and ipaddress.ip_address(address) in network
        if matches:
            return permit
    return not permit


@given(st.lists(st.tuples(st.booleans(), ENTRIES), min_size=1, max_size=8))
def test_the_first_entry_that_matches_decides(database, pairs):
    entries = [(permit, *entry) for permit, entry in pairs]
    acls = AccessLists(country_of=open_countries(str(database)))
    for entry in entries:
        acls.append(4, parse_entry(*entry))
    for address in ADDRESSES:
        assert acls.permits(4, address) == decide(entries, address, acls.country_of)
    assert acls.permits(4, "")


def test_a_country_is_looked_up_only_where_it_may_decide():
    asked = []

    def country_of(address):
        asked.append(address)
        return "SE"

    acls = AccessLists(country_of=country_of)
    acls.append(1, parse_entry(True, "192.0.2.0/24"))
    assert not acls.permits(1, "203.0.113.9")
    acls.append(1, parse_entry(False, "country", "SE"))
    assert acls.permits(1, "192.0.2.1")
    assert asked == []
    assert not acls.permits(1, "203.0.113.9")
    assert asked == ["203.0.113.9"]


def served(running, source: str) -> bool:
    """Whether a client is; else it is closed, before or after it has sent its request."""
    try:
        return running.ask(source) == b"a"
    except ConnectionError:
        return False


def test_clients_by_country(pen, backend, database):
    running = pen(
        "-o", f"geoip_db {database}", "-o", "acl 1 deny country se", "-o", "client_acl 1",
        f"127.0.0.1:{backend(naming(b'a')).port}",
    )  # fmt: skip
    clients = ("127.0.0.17", "127.0.0.33", "127.0.0.1")
    assert [served(running, source) for source in clients] == [False, True, True]
    running.ctl("acl 2 permit country DE")
    running.ctl("client_acl 2")
    assert [served(running, source) for source in clients] == [False, True, False]


def test_a_country_without_a_database_is_refused(pen, backend, database):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}")
    refused = "error: access list 3 names a country: give 'geoip_db FILE'\n"
    assert running.ctl("acl 3 permit country SE") == refused
    assert running.ctl(f"geoip_db {database}") == f"{database}\n"
    assert running.ctl("acl 3 permit country SE") == ""
    assert running.ctl("no geoip_db") == refused
    assert running.ctl("geoip_db") == f"{database}\n"
    assert running.ctl("no acl 3") == ""
    assert running.ctl("no geoip_db") == ""


WRONG = [
    ("acl 1 permit country", "'' is not the two letters of a country"),
    ("acl 1 permit country SWE", "'SWE' is not the two letters"),
    ("acl 1 permit country S\u00c9", "is not the two letters"),
    ("acl 1 permit country S1", "'S1' is not the two letters"),
]


@pytest.mark.parametrize(("command", "message"), WRONG)
def test_wrong_countries(command, message):
    ended = run("-o", command, "127.0.0.1:0", "127.0.0.1:80")
    assert ended.returncode == 2
    assert message in ended.stderr


def test_wrong_databases(tmp_path):
    wrong = (("/nowhere/db", "cannot read geoip_db '/nowhere/db'"),
             (__file__, "is not a MaxMind database"), (tmp_path, "Is a directory"),
             ("/dev/zero", "not a regular file"))  # fmt: skip
    for path, message in wrong:
        ended = run("-o", f"geoip_db {path}", "127.0.0.1:0", "127.0.0.1:80")
        assert ended.returncode == 1
        assert re.fullmatch(r"pen: .+\n", ended.stderr)
        assert message in ended.stderr


def test_hup_reads_the_database_again(pen, backend, tmp_path):
    path = tmp_path / "db"
    write_database(path, PLACES)
    config = tmp_path / "config"
    config.write_text(f"acl 1 deny country SE\ngeoip_db {path}\nclient_acl 1\n")
    running = pen("-F", config, f"127.0.0.1:{backend(naming(b'a')).port}")
    assert not served(running, "127.0.0.17")
    write_database(path, {"FR": PLACES["SE"]})
    running.process.send_signal(signal.SIGHUP)
    until(lambda: served(running, "127.0.0.17"), "the new database is in use")
    path.write_bytes(b"rubbish")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "is not a MaxMind database; going on" in running.stderr, "it is refused")
    assert served(running, "127.0.0.17")


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_database_never_does_more_than_not_know(database, tmp_path_factory, data):
    good = database.read_bytes()
    damaged = bytearray(good)
    for at in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=8)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.mmdb"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(good)))])
    try:
        country_of = open_countries(str(path))
    except CommandError:
        return
    for address in ADDRESSES:
        assert isinstance(country_of(address), str | None)


def test_the_database_may_be_overwritten_in_place(tmp_path):
    """A mapped file that shrinks would kill the process (SIGBUS)."""
    path = tmp_path / "db"
    write_database(path, PLACES)
    country_of = open_countries(str(path))
    path.write_bytes(b"")
    assert country_of("192.0.2.1") == "SE"
