"""The facts of all workers as those of one pen."""

from collections.abc import Callable
from typing import Any

from pen.stats import merge
from pen.stats.snapshot import ClientFacts, ConnectionFacts, ServerFacts, Snapshot

Ask = Callable[..., dict[int, Any]]
"""Puts a question of `Facts` to all workers; answers by number of worker, of those who live."""


class MergedFacts:
    """Asks the workers, and answers as `stats.facts.Facts` does."""

    def __init__(self, ask: Ask, workers: int) -> None:
        self._ask = ask
        self._workers = workers

    def servers(self) -> list[ServerFacts]:
        """See `Facts`."""
        return merge.merge_servers(list(self._ask("servers").values()))

    def clients(self, seconds: float) -> list[ClientFacts]:
        """See `Facts`."""
        return merge.merge_clients(self._ask("clients", seconds), self._workers)

    def connection(self, number: int) -> ConnectionFacts | None:
        """See `Facts`."""
        own, worker = merge.local(number, self._workers)
        facts = self._ask("connection", own).get(worker)
        return merge.public_connection(facts, worker, self._workers) if facts else None

    def connection_of(self, descriptor: int) -> int:
        """See `Facts`; each worker has descriptors of its own, and the first that fits counts."""
        for worker, number in self._ask("connection_of", descriptor).items():
            if number >= 0:
                return merge.public(number, worker, self._workers)
        return -1

    def snapshot(self, epoch: int) -> Snapshot:
        """See `Facts`."""
        return merge.merge_snapshots(self._ask("snapshot", epoch), self._workers)
