"""The spool keeps a stream whole: over segments, in files and in memory, full or killed."""

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penlog.spool
from penlog.spool import LONGEST, FileSegment, Spool
from penlog.spoolfolder import SpoolFolder, source_of


@pytest.fixture
def folder(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    monkeypatch.setattr(penlog.spool, "SEGMENT", 10)


def content(spool):
    data = b""
    while piece := spool.read(spool.start + len(data), 7):
        data += piece
    return data


pieces = st.lists(st.binary(max_size=25) | st.integers(0, 60), max_size=30)


@settings(max_examples=60)
@given(steps=pieces)
def test_what_is_appended_is_there_until_it_is_trimmed_also_after_a_kill(tmp_path_factory, steps):
    folder = os.open(tmp_path_factory.mktemp("spool"), os.O_RDONLY)
    spools = [Spool(folder), Spool(None)]
    whole, start = b"", 0
    for step in steps:
        if isinstance(step, bytes):
            whole += step
            for spool in spools:
                spool.append(step)
        else:
            start = max(start, min(step, len(whole)))
            for spool in spools:
                spool.trim(start)
        spools[0] = Spool(folder)  # as the process after a killed one sees it
        for spool in spools:
            assert (spool.start, spool.end) == (start, len(whole))
            assert content(spool) == whole[start:]
    os.close(folder)


def test_files_go_when_the_receiver_has_what_is_in_them(folder, tmp_path):
    spool = Spool(folder)
    for _ in range(10):
        spool.append(b"0123456789\n")
    assert len(list(tmp_path.glob("0*"))) == 10
    spool.trim(99)
    assert [path.name for path in tmp_path.glob("0*")] == [f"{99:020d}"]
    spool.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_moved_into_the_files(folder):
    reader, writer = os.pipe()
    spool = Spool(folder)
    with pytest.raises(BlockingIOError):
        spool.fill(reader)
    os.write(writer, b"one\ntw")
    assert spool.fill(reader) == 6
    os.close(writer)
    assert spool.fill(reader) == 0
    spool.finish()
    spool.finish()
    assert content(spool) == b"one\ntw\n"
    os.close(reader)


def test_what_is_no_pipe_is_read(folder, tmp_path):
    (tmp_path / "lines").write_bytes(b"a\nb\n")
    with (tmp_path / "lines").open("rb") as file:
        spool = Spool(folder)
        assert spool.fill(file.fileno()) == 4
        assert spool.refusal is None
    assert content(spool) == b"a\nb\n"


def test_when_full_the_line_that_was_begun_is_kept_and_whole_new_ones_are_counted():
    spool = Spool(None, in_memory=10)
    spool.append(b"0123456789ab")
    spool.append(b"cd\nlost\nlost ")
    spool.append(b"too\nlost\n")
    assert (content(spool), spool.lost) == (b"0123456789abcd\n", 3)
    spool.trim(spool.end)
    spool.append(b"kept\n")
    assert content(spool) == b"kept\n"


def test_after_a_line_was_lost_in_part_its_rest_is_lost_too():
    spool = Spool(None, in_memory=5)
    spool.append(b"12345\n")
    spool.append(b"lo")
    spool.trim(6)
    spool.append(b"st\nkept\n")
    assert (content(spool), spool.lost) == (b"kept\n", 1)


def test_a_line_without_end_does_not_fill_the_machine():
    spool = Spool(None, in_memory=10)
    for _ in range(40):
        spool.append(b"x" * 100_000)
    assert spool.size < LONGEST + 300_000
    spool.append(b"\nkept?\n")
    assert spool.lost == 2
    assert content(spool).endswith(b"x\n")


def test_a_full_disk_sends_lines_into_memory_and_back_when_all_has_gone_out(folder, monkeypatch):
    spool = Spool(folder)
    spool.append(b"file\n")

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FileSegment, "append", full)
        spool.append(b"memory\n")
    spool.append(b"memory too\n")
    assert spool.refusal.errno == errno.ENOSPC
    assert content(spool) == b"file\nmemory\nmemory too\n"
    assert Spool(folder).end == 5
    spool.trim(spool.end)
    spool.append(b"file again\n")
    assert content(Spool(folder)) == b"file again\n"


def test_the_receiver_may_have_more_than_a_crash_left(folder):
    spool = Spool(folder)
    spool.append(b"begun ")
    spool.trim(20)
    spool.append(b"new\n")
    assert (spool.start, spool.end, content(Spool(folder))) == (20, 24, b"new\n")


def test_a_logger_on_the_same_pipe_goes_on_and_others_stay_apart(tmp_path):
    spools = SpoolFolder(str(tmp_path / "spool"), ["loghost", "10000", "any"], 1 << 20)
    reader, writer = os.pipe()
    source = source_of(reader)
    first = spools.own(source)
    first.spool.append(b"half a ")
    beside = spools.own(source)
    assert beside.session != first.session
    assert list(spools.orphans("x")) == []
    first.leave()  # as the kernel does for a process that is killed
    again = spools.own(source)
    assert (again.session, content(again.spool)) == (first.session, b"half a ")
    again.leave()
    assert list(spools.orphans("x")) == []  # a logger on the pipe may be starting
    os.close(reader)
    os.close(writer)
    (orphan,) = spools.orphans("x")
    assert content(orphan.spool) == b"half a \n"
    orphan.remove()
    beside.remove()
    assert list((tmp_path / "spool").glob("*/*")) == []


def test_destinations_are_told_apart(tmp_path):
    one = SpoolFolder(str(tmp_path), ["loghost", "10000", "any"], 1 << 20)
    other = SpoolFolder(str(tmp_path), ["../loghost", "10001", "::1"], 1 << 20)
    one.note_known()
    assert (one.known, other.known) == (True, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".._loghost,10001,::1", "loghost,10000,any",
    ]  # fmt: skip
