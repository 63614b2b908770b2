"""The engine of mergelogs, with as little memory as may be."""

import random
import time

from penlogd.accesslog import ByShape
from penlogd.merging import Merger

T = 1795449645


def stamp(when, zone=0):
    local = time.strftime("%d/%b/%Y:%H:%M:%S", time.gmtime(when + zone * 3600))
    return f"[{local} {zone:+03d}00]"


def test_lines_in_any_order_with_any_zone_come_out_right():
    """Twenty seconds over the end of summer time: local hours repeat, the zone tells them apart."""
    end_of_summer_time = 1_793_494_800  # 25 October 2026, 01:00 UTC
    times = [end_of_summer_time - 3610 + n * 361 for n in range(20)]
    records = [b"10.0.0.%d %d 192.0.2.1 GET / HTTP/1.1\n" % (n, at) for n, at in enumerate(times)]
    lines = [
        f'pen - - {stamp(at, 2 if at < end_of_summer_time else 1)} "GET / HTTP/1.1" 200 {n}\n'
        for n, at in enumerate(times)
    ]
    chance = random.Random(1)
    chance.shuffle(records)
    shuffled = chance.sample(lines, len(lines))
    merger = Merger(ByShape(), 600.0, run=3)
    merger.read_records(records, 0.0)
    merger.read_lines("192.0.2.1", [line.encode() for line in shuffled])
    merged = [line.decode() for line in merger.merged()]
    merger.close()
    assert merged == [f"10.0.0.{n}{line[3:-1]}" for n, line in enumerate(lines)]


def test_equal_requests_of_a_second_are_joined_in_their_order():
    merger = Merger(ByShape(), 600.0)
    merger.read_records(
        [b"10.0.0.%d %d 192.0.2.1 GET / HTTP/1.1\n" % (n, T + n // 3) for n in range(9)], 0.0
    )
    lines = [f'pen - - {stamp(T + n // 3)} "GET / HTTP/1.1" 200 {n}\n' for n in range(9)]
    merger.read_lines("192.0.2.1", [line.encode() for line in lines])
    assert [line.split()[0] for line in merger.merged()] == [b"10.0.0.%d" % n for n in range(9)]
    assert merger.statistics.late == 0


def test_too_many_records_for_the_jitter_are_told_of(monkeypatch):
    monkeypatch.setattr("penlogd.merging.AHEAD", 10)
    merger = Merger(ByShape(), 600.0)
    merger.read_records(
        [b"10.0.0.1 %d 192.0.2.1 GET /%d HTTP/1.1\n" % (T + n, n) for n in range(100)], 0.0
    )
    lines = [f'pen - - {stamp(T + n)} "GET /{n} HTTP/1.1" 200 1\n'.encode() for n in range(100)]
    merger.read_lines("192.0.2.1", lines)
    assert len(list(merger.merged())) == 100
    assert merger.statistics.joined == 100
    assert 5 < merger.looked_ahead < 15
