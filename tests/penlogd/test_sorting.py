"""What goes into a sorter comes out in order, by way of the disk or not."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penlogd.sorting import Sorter

ITEMS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(), st.binary(), st.tuples(st.none(), st.binary()))
)


@given(ITEMS, st.integers(1, 7))
def test_all_comes_back_in_order(items, run):
    items = [(key, turn, *more) for turn, (key, _, *more) in enumerate(items)]
    sorter = Sorter(run)
    for item in items:
        sorter.add(item)
    assert list(sorter.sorted()) == sorted(items)
    sorter.close()


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    sorter = Sorter(run=1)
    sorter.add((2, b"two"))
    sorter.add((1, b"one"))
    assert list(tmp_path.iterdir()) == []
    assert list(sorter.sorted()) == [(1, b"one"), (2, b"two")]
    sorter.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_folder_is_named(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    sorter = Sorter(run=1)
    with pytest.raises(OSError, match="No space left on device: '/tmp'"):
        sorter.add((1, b"one"))
    sorter.close()
