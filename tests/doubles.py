"""Stand-ins for what the tested part talks to."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pen.control.registry import Registry
from pen.core.address import Endpoint, resolve
from pen.core.state import State
from pen.stats.facts import LocalFacts


class FakePen:
    """A pen without sockets: everything that decides is real, and time is what the test says."""

    def __init__(self) -> None:
        self.state = State()
        self.facts = LocalFacts(self.state, lambda: self.now)
        self.command_line = "pen 80 server"
        self.running = False
        self.now = 1000.0
        self.stopped = False
        self.closed: list[int] = []

    @contextmanager
    def changing(self, *, tables: bool = False) -> Iterator[None]:
        with self.state.attempt(tables=tables):
            yield
        self.state.clients.capacity = self.state.settings.clients_max

    def when_known(self, hosts: Iterable[str], then: Callable[[], object]) -> None:
        then()

    def resolve(self, host: str, port: int) -> Endpoint:
        return resolve(host, port)

    def listening_on(self) -> str:
        return self.state.settings.listen

    def controlled_on(self) -> str:
        return "/run/pen.control"

    def save_statistics(self) -> None:
        """Nowhere to."""

    def status_page(self) -> str:
        return "<!DOCTYPE html>"

    def close_connection(self, number: int) -> None:
        self.closed.append(number)

    def stop(self) -> None:
        self.stopped = True


def memory(pen: FakePen, registry: Registry) -> tuple[Any, ...]:
    """All that a configuration decides about; equal for pens that will behave alike."""
    settings = dataclasses.asdict(pen.state.settings)
    settings.pop("config_file")
    servers = [
        {each.name: getattr(s, each.name) for each in dataclasses.fields(s)}
        for s in pen.state.servers.all()
    ]
    acls = [[str(entry) for entry in each.entries] for each in pen.state.acls.lists]
    return settings, servers, acls, list(registry.saved(pen))
