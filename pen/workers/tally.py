"""How many connections each worker has to each server, in memory that all processes see.

A row a worker, which only that worker writes; whoever wants a total adds up a column. No
lock is needed: a cell is one aligned machine word. Between looking and writing another
worker may let in one client too, so a limit can be passed by one connection for each other
worker, and no more.
"""

import mmap
from typing import Final

from pen.core.servers import ABUSE_SLOT, SLOTS_MAX

ALL: Final = ABUSE_SLOT - 1
"""The column of all of a worker's connections, as if it were a slot."""
WAITING: Final = ALL - 1
"""The column that says whether a worker's clients wait until others make room."""
CELLS: Final = SLOTS_MAX - WAITING
"""In a row; memory that nobody writes to costs nothing."""


class Tally:
    """The table; made before the workers are, so that they share it."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._memory = mmap.mmap(-1, workers * CELLS * 8)
        self._cells = memoryview(self._memory).cast("q")

    def put(self, worker: int, column: int, count: int) -> None:
        """A worker has so many connections to a server (its slot), or altogether (`ALL`)."""
        self._cells[worker * CELLS + column - WAITING] = count

    def elsewhere(self, worker: int, column: int) -> int:
        """How many the other workers have."""
        cells, column = self._cells, column - WAITING
        mine = cells[worker * CELLS + column]
        return sum([cells[row * CELLS + column] for row in range(self.workers)]) - mine

    def clear(self, worker: int) -> None:
        """A worker has ended, and its connections with it."""
        start = worker * CELLS
        row = self._cells[start : start + CELLS]
        for cell, connections in enumerate(row.tolist()):
            if connections:
                row[cell] = 0
