"""Sort more than memory holds: sorted runs in a temporary file, merged as they are read back.

Memory holds one run while items are added, and a batch of each run while they are read. What fits
into one run never touches the disk.
"""

import marshal
import os
import tempfile
from collections.abc import Iterator
from heapq import merge
from typing import Any

RUN = 100_000
"""Items sorted at a time."""

BATCH = 100
"""Items of each run in memory while runs are merged."""

Item = tuple[Any, ...]


class Sorter:
    """Takes tuples in any order and gives them back in ascending order.

    Their members are numbers, bytes, None, and tuples of these. Tuples that compare equal need not
    keep their order, so let something in each be unique.

    Args:
        run: Items sorted at a time.
    """

    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._items: list[Item] = []
        self._runs: list[list[tuple[int, int]]] = []  # each run's batches: offset, size
        self._fd = -1
        self._end = 0

    def add(self, item: Item) -> None:
        """Take an item.

        Raises:
            OSError: The folder for temporary files is full.
        """
        self._items.append(item)
        if len(self._items) >= self._run:
            self._put_away()

    def sorted(self) -> Iterator[Item]:
        """Give all items back; to be called once.

        Raises:
            OSError: The temporary file cannot be read.
        """
        items, self._items = self._items, []
        items.sort()
        if self._runs:
            return merge(iter(items), *map(self._read, self._runs))
        return iter(items)

    def close(self) -> None:
        """Give the temporary file back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put_away(self) -> None:
        """Write the items at hand to the temporary file as a run."""
        if self._fd < 0:
            self._fd = _nameless_file()
        self._items.sort()
        batches: list[tuple[int, int]] = []
        for start in range(0, len(self._items), BATCH):
            data = marshal.dumps(self._items[start : start + BATCH])
            batches.append((self._end, len(data)))
            self._write(data)
        self._runs.append(batches)
        self._items.clear()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(self._fd, rest)
            except OSError as error:
                raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error
            rest = rest[written:]
            self._end += written

    def _read(self, batches: list[tuple[int, int]]) -> Iterator[Item]:
        for offset, size in batches:
            yield from marshal.loads(os.pread(self._fd, size, offset))


def _nameless_file() -> int:
    """Return the descriptor of a new file that goes when it is closed."""
    fd, path = tempfile.mkstemp(prefix="mergelogs-")
    os.unlink(path)
    return fd
