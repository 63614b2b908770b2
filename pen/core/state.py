"""The whole of what a running pen knows, in one object, and how to take it back.

Everything that decides hangs on a `State`; nothing in it is a socket. A config file is
read inside `State.attempt`, so that a mistake in its last line leaves no trace of the
lines before.
"""

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from pen.core.acl import AccessLists, KeptLists
from pen.core.clients import ClientTable
from pen.core.selection import Selector
from pen.core.servers import Server, ServerTable
from pen.core.session import Session, Sessions
from pen.core.settings import Settings

_COUNTED = ("connections", "elsewhere", "sx", "rx", "failed_at", "changes")
"""What traffic changes in a server, which adopting a configuration must not."""
_CONFIGURED = [each.name for each in fields(Server) if each.name not in _COUNTED]
_configured = attrgetter(*_CONFIGURED)


@dataclass(slots=True)
class State:
    """Settings, lists, servers, clients and sessions."""

    settings: Settings = field(default_factory=Settings)
    acls: AccessLists = field(default_factory=AccessLists)
    servers: ServerTable = field(default_factory=ServerTable)
    clients: ClientTable = field(init=False)
    selector: Selector = field(init=False)
    sessions: Sessions[Session] = field(init=False)
    shares: int = 1
    """Workers among whom the clients are divided."""

    def __post_init__(self) -> None:
        self.clients = ClientTable(self.settings.clients_max)
        self.selector = Selector(self.settings, self.servers, self.acls)
        self.sessions = Sessions(
            self.settings, self.servers, self.clients, self.selector, self.acls
        )

    @contextmanager
    def attempt(self, *, tables: bool) -> Iterator[None]:
        """Undo what the block did to the settings if it raises.

        `tables`: to servers and access lists as well, which costs a copy of them.
        """
        before = self.configuration(tables=tables)
        try:
            yield
        except BaseException:
            self.adopt(before)
            raise

    def configuration(self, *, tables: bool) -> "Configuration":
        """A copy of what is configured now."""
        return Configuration(
            dataclasses.replace(self.settings),
            Tables.of(self.servers, self.acls) if tables else None,
        )

    def adopt(self, wanted: "Configuration") -> None:
        """Be configured like this; connections, counters and clients stay."""
        _copy_fields(wanted.settings, self.settings)
        if wanted.tables is not None:
            self._adopt_tables(wanted.tables)

    def _adopt_tables(self, wanted: "Tables") -> None:
        table = self.servers
        self.acls.restore(wanted.acls)
        table.changes.count += 1
        for dropped in table.slots[len(wanted.servers) :]:
            self.clients.forget_server(dropped.slot)
        del table.slots[len(wanted.servers) :]
        for slot, values in enumerate(wanted.servers):
            _configure(table.slot(slot), values)
        table.emergency = _adopt_special(table.emergency, wanted.emergency)
        table.abuse = _adopt_special(table.abuse, wanted.abuse)


@dataclass(frozen=True, slots=True)
class Tables:
    """Servers and access lists as they are configured."""

    servers: list[tuple[Any, ...]]
    """By slot, what `_CONFIGURED` names: of ten thousand servers it must be had quickly."""
    emergency: Server | None
    abuse: Server | None
    acls: KeptLists

    @classmethod
    def of(cls, servers: ServerTable, acls: AccessLists) -> "Tables":
        """A copy."""
        return cls(
            [_configured(server) for server in servers],
            copy.copy(servers.emergency),
            copy.copy(servers.abuse),
            acls.keep(),
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """What commands and options have set."""

    settings: Settings
    tables: Tables | None
    """None: they are as they were."""


def _adopt_special(server: Server | None, wanted: Server | None) -> Server | None:
    if server is None or wanted is None:
        return copy.copy(wanted)
    _configure(server, _configured(wanted))
    return server


def _copy_fields(source: Settings, target: Settings) -> None:
    for each in dataclasses.fields(source):
        setattr(target, each.name, getattr(source, each.name))


def _configure(server: Server, values: tuple[Any, ...]) -> None:
    for name, value in zip(_CONFIGURED, values, strict=True):
        setattr(server, name, value)
