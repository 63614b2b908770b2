"""The sweeps' sizes are what they say, and the report shows what was found."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from bench import sweeps
from bench.control import Cost
from bench.peers import BASELINE
from bench.scaling import OURS, Results, server
from bench.scaling_report import write_report
from bench.soak import Kinds
from pen.core.acl import AccessList, parse_entry


def test_an_access_list_of_many_networks_that_lets_the_client_in(tmp_path):
    options = sweeps.SWEEPS["entries"].setup(1000, tmp_path).options
    lines = [line.split() for line in Path(options[1]).read_text().splitlines()]
    entries = [parse_entry(words[2] == "permit", *words[3:]) for words in lines[:-1]]
    assert len({(entry.network, entry.mask) for entry in entries}) == 1000
    assert len({entry.mask for entry in entries}) > 8
    assert AccessList.of(entries).permits("127.0.0.1")
    assert not AccessList.of(entries).permits("10.0.9.0")


def test_every_server_has_its_own_address():
    assert len({server(slot) for slot in range(70_000)}) == 70_000


def test_a_batch_of_the_soak_has_as_many_as_asked():
    kinds = Kinds.of(100_000)
    parts = (kinds.short, kinds.addresses, kinds.aborted, kinds.idle, kinds.unanswered)
    assert sum(parts) == 100_000


def test_the_report(tmp_path):
    results = Results()
    results.costs["servers", OURS, 2] = [60.0, 70.0, 62.0]
    results.costs["servers", BASELINE, 2] = [50.0]
    results.algorithms["hash"] = {2: 1.5, 10: 1.6}
    results.remembered = {1: 0.8, 1_000_000: 2.6}
    results.commands["2 servers", OURS] = {"status": Cost(cpu=[0.3], waits=[1.0, 2.0, 9.0])}
    results.waits[OURS] = {10: 0.5, 100: 1.5}
    path = tmp_path / "scaling.md"
    write_report(results, path, took=60)
    text = path.read_text()
    assert "| 2 | 62 (60-70) | 50 (50-50) |" in text
    assert "| `status` | 0.30, waits 2.0 |" in text
    assert "| hash | 1.5 | 1.6 |" in text
    drawing = path.with_suffix(".svg").read_text()
    assert ElementTree.fromstring(drawing).tag.endswith("svg")
    assert "currentColor" in drawing
    assert "prefers-color-scheme: dark" in drawing
