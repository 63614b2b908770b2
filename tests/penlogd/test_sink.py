"""The sink keeps lines while they cannot be written."""

import os
import resource

import pytest

from penlogd.sink import Sink


@pytest.fixture
def said():
    return []


def test_lines_are_appended(tmp_path, said):
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    sink = Sink(str(path), said.append)
    sink.write([b"a", b"b"])
    assert path.read_bytes() == b"before\na\nb\n"


def test_reopening_follows_the_name(tmp_path, said):
    path = tmp_path / "log"
    sink = Sink(str(path), said.append)
    sink.write([b"a"])
    path.rename(tmp_path / "log.1")
    sink.write([b"b"])
    sink.reopen()
    sink.write([b"c"])
    assert (tmp_path / "log.1").read_bytes() == b"a\nb\n"
    assert path.read_bytes() == b"c\n"


def test_when_reopening_fails_the_old_file_stays(tmp_path, said):
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = Sink(str(folder / "log"), said.append)
    folder.rename(tmp_path / "gone")
    sink.reopen()
    sink.write([b"a"])
    assert (tmp_path / "gone" / "log").read_bytes() == b"a\n"
    assert "still writing to the old file" in said[0]


def test_a_full_disk_is_said_once_lines_are_kept_and_come_back(tmp_path, said, monkeypatch):
    path = tmp_path / "log"
    sink = Sink(str(path), said.append, limit=10)
    real_write = os.write

    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for number in range(8):
        sink.write([b"%d" % number])
    assert len(said) == 1
    assert "No space left" in said[0]
    assert sink.waiting
    assert sink.dropped == 3
    monkeypatch.setattr(os, "write", real_write)
    sink.write([b"x"])  # no room: it is the newest that goes
    assert path.read_bytes() == b"0\n1\n2\n3\n4\n"
    assert "writing again; 4 lines dropped" in said[1]


def test_what_is_finished_at_once_may_be_more_than_is_kept_while_nothing_can_be_written(
    tmp_path, said
):
    path = tmp_path / "log"
    sink = Sink(str(path), said.append, limit=10)
    sink.write([b"0123456", b"89abcdef"])
    assert path.read_bytes() == b"0123456\n89abcdef\n"
    assert sink.dropped == 0


def test_a_file_that_may_not_grow_gets_the_rest_when_it_may(tmp_path, said):
    path = tmp_path / "log"
    sink = Sink(str(path), said.append)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        sink.write([b"0123456", b"89abcdef"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"0123456\n89"
    assert "File too large" in said[0]
    sink.flush()
    assert path.read_bytes() == b"0123456\n89abcdef\n"
