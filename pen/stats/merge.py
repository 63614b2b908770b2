"""One pen's facts from those of its workers.

Parts go by the number of the worker; one that has just died is missing.

Numbers of connections and slots of clients are each worker's own; in public they are
local number x workers + worker, so that none is given twice. Servers are the same to all:
their connections and bytes add up.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from pen.stats.snapshot import ClientFacts, ConnectionFacts, ServerFacts, Snapshot


def public(local: int, worker: int, workers: int) -> int:
    """The number by which people know what worker number `worker` calls `local`."""
    return local * workers + worker if local >= 0 else local


def local(public: int, workers: int) -> tuple[int, int]:
    """The worker's own number, and the worker's."""
    return divmod(public, workers)


def merge_servers(parts: Sequence[Iterable[ServerFacts]]) -> list[ServerFacts]:
    """The servers by slot; a worker that knows fewer slots has had nothing to do with them."""
    rows = zip_longest(*parts)
    return [_merge_server([facts for facts in row if facts is not None]) for row in rows]


def _merge_server(same: Sequence[ServerFacts]) -> ServerFacts:
    return replace(
        same[0],
        status=max(facts.status for facts in same),
        ban=max(facts.ban for facts in same),
        connections=sum(facts.connections for facts in same),
        sx=sum(facts.sx for facts in same),
        rx=sum(facts.rx for facts in same),
    )


def merge_clients(parts: Mapping[int, Iterable[ClientFacts]], workers: int) -> list[ClientFacts]:
    """The clients by slot; no two workers know the same one."""
    numbered = (
        replace(facts, slot=public(facts.slot, worker, workers))
        for worker, part in parts.items()
        for facts in part
    )
    return sorted(numbered, key=lambda facts: facts.slot)


def public_connection(facts: ConnectionFacts, worker: int, workers: int) -> ConnectionFacts:
    """A worker's connection under its public number."""
    return replace(
        facts,
        number=public(facts.number, worker, workers),
        client=public(facts.client, worker, workers),
    )


def merge_connections(
    parts: Mapping[int, Iterable[ConnectionFacts]], workers: int
) -> list[ConnectionFacts]:
    """The connections by number."""
    numbered = (
        public_connection(facts, worker, workers)
        for worker, part in parts.items()
        for facts in part
    )
    return sorted(numbered, key=lambda facts: facts.number)


def merge_snapshots(parts: Mapping[int, Snapshot], workers: int) -> Snapshot:
    """All of it; at least one part."""
    lasts = (public(part.last, worker, workers) for worker, part in parts.items())
    return replace(
        next(iter(parts.values())),
        servers=merge_servers([part.servers for part in parts.values()]),
        clients=merge_clients({n: part.clients for n, part in parts.items()}, workers),
        connections=merge_connections({n: part.connections for n, part in parts.items()}, workers),
        clients_max=sum(part.clients_max for part in parts.values()),
        last=max(lasts),
    )
