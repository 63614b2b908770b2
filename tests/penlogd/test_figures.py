"""The declarations of what penlogd counts, and the status file that shows them."""

import os
import re
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.accesslog import ByShape
from penlogd.attribution import Attribution
from penlogd.connections import Connections
from penlogd.consolidator import Consolidator
from penlogd.exposition import Exposition
from penlogd.figures import FIGURES, SERVERS_MAX, Kind, counters, printable, words
from penlogd.intake import Intake
from penlogd.ordering import ReorderBuffer
from penlogd.parts import Parts
from penlogd.sink import Sink
from penlogd.statusfile import AT_LAST, EVERY, StatusFile

MAN = Path(__file__).parents[2] / "man" / "penlogd.1"


class Network:
    """What the parts without sockets are put together with."""

    refused = 0
    connections = ()

    def dropped(self):
        return 0


@pytest.fixture
def parts(tmp_path):
    buffer = ReorderBuffer(60)
    consolidator = Consolidator(ByShape(), Attribution(1000), Connections(10), buffer)
    sink = Sink(str(tmp_path / "log"), print)
    network = Network()
    yield Parts(network, network, network, consolidator, Intake(consolidator, None), sink, 1e9)
    sink.close()


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_names_are_as_prometheus_wants_them(figure):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", figure.name)
    assert not figure.name.endswith(("_total", "_count", "_sum", "_bucket", "_info", "_created"))
    for unit in ("bytes", "seconds"):
        assert unit not in figure.name or figure.name.endswith(f"_{unit}")
    assert figure.help[0].isupper()
    assert figure.help.endswith((".", ")."))


def test_the_manual_explains_each_figure():
    section = MAN.read_text().partition(".Ss Statistics")[2].partition("\n.Sh ")[0]
    explained = " ".join(re.findall(r"^\.It (.*)$", section, re.MULTILINE)).replace(",", " ")
    names = [word for word in explained.split() if re.fullmatch(r"[a-z_]+(\[[a-z]+\])?", word)]
    assert [name.partition("[")[0] for name in names] == [figure.name for figure in FIGURES]
    assert [name for name in names if "[" in name] == [
        f"{figure.name}[{figure.label}]" for figure in FIGURES if figure.label
    ]


def test_all_forms_tell_the_same(parts):
    parts.consolidator.take([(b'1.2.3.4 - - [x] "GET /" 200 5', "10.0.0.1")] * 3, 1e9)
    told = dict(word.split("=") for word in words(parts))
    assert (told["lines_received"], told["held_lines"], told["held_bytes"]) == ("3", "3", "87")
    shown = Exposition(parts).text().decode()
    for figure in FIGURES:
        total = "_total" if figure.kind is Kind.COUNTER else ""
        assert f"# TYPE penlogd_{figure.name}{total} {figure.kind.value}\n" in shown
    assert "\npenlogd_lines_received_total 3.0\n" in shown
    assert '\npenlogd_server_lag_seconds{server="10.0.0.1"} ' in shown


def test_made_up_servers_are_not_all_told_of(parts):
    for number in range(5 * SERVERS_MAX):
        line = b'1.2.3.4 - - [26/Nov/2026:00:00:00 +0000] "GET /" 200 5'
        parts.consolidator.take([(line, f"10.0.{number // 250}.{number % 250}")], 1.8e9)
    told = list(words(parts))
    assert f"servers={5 * SERVERS_MAX}" in told
    assert len([word for word in told if word.startswith("server_lag")]) == SERVERS_MAX


@given(st.binary(max_size=300))
def test_any_name_is_told_as_one_printable_word(name):
    told = printable(name)
    assert told.isprintable()
    assert " " not in told
    assert len(told) <= 64


def test_counters_are_equal_as_long_as_nothing_happens(parts):
    before = counters(parts)
    assert counters(parts) == before
    parts.consolidator.take([(b"+ x", "10.0.0.1")], 1e9)
    assert counters(parts) != before


@pytest.fixture
def status(parts, tmp_path):
    folder = tmp_path / "status"
    folder.mkdir()
    said = []
    file = StatusFile(str(folder / "file"), parts, said.append)
    file.said = said
    return file


def written(status):
    path = Path(status._path)
    return path.stat().st_ino if path.exists() else None


def test_it_is_written_each_second_if_something_was_counted_else_seldom(status, parts):
    status.work(0.0)
    first = written(status)
    for now in (EVERY, 2 * EVERY, AT_LAST - 1):
        status.work(now)
        assert written(status) == first
    parts.consolidator.take([(b"+ x", "10.0.0.1")], 1e9)
    status.work(AT_LAST - 0.5)  # too soon after it was last looked at
    assert "bad_records=0\n" in Path(status._path).read_text()
    status.work(AT_LAST)
    assert "bad_records=1\n" in Path(status._path).read_text()
    second = written(status)
    status.work(2 * AT_LAST)
    assert written(status) != second


def test_a_reader_never_sees_half(status):
    status.write()
    with open(status._path) as open_before:
        status.write()
        assert open_before.read() == Path(status._path).read_text()
    assert os.listdir(Path(status._path).parent) == ["file"]
    assert Path(status._path).read_text().count("\n") == len(list(words(status._parts)))


def test_a_folder_that_goes_is_told_once_and_written_to_when_it_is_back(status, tmp_path):
    (tmp_path / "status").rename(tmp_path / "away")
    for now in (0.0, 1.0, AT_LAST, 2 * AT_LAST):
        status.work(now)
    (said,) = status.said
    assert said.endswith("status/file: No such file or directory; trying again now and then")
    (tmp_path / "away").rename(tmp_path / "status")
    status.work(3 * AT_LAST)
    assert status.said[1:] == [f"status file {status._path}: written again"]


def test_a_full_disk_leaves_the_old_file_whole(status):
    status.work(0.0)
    before = Path(status._path).read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        status.work(AT_LAST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(status.said) == 1
    assert Path(status._path).read_text() == before
    assert os.listdir(Path(status._path).parent) == ["file"]


def test_what_is_no_regular_file_is_left_alone(parts):
    with pytest.raises(OSError, match="not a regular file"):
        StatusFile("/dev/null", parts, print).write()
