"""The whole of what a running pen knows, in one object, and how to take it back.

Everything that decides hangs on a `State`; nothing in it is a socket. A config file is
read inside `State.attempt`, so that a mistake in its last line leaves no trace of the
lines before.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pen.core.acl import AccessLists
from pen.core.clients import ClientTable
from pen.core.selection import Selector
from pen.core.servers import Server, ServerTable
from pen.core.session import Session, Sessions
from pen.core.settings import Settings

_COUNTED = ("connections", "sx", "rx", "failed_at")
"""What traffic changes in a server, which taking back a configuration must not."""


@dataclass(slots=True)
class State:
    """Settings, lists, servers, clients and sessions."""

    settings: Settings = field(default_factory=Settings)
    acls: AccessLists = field(default_factory=AccessLists)
    servers: ServerTable = field(default_factory=ServerTable)
    clients: ClientTable = field(init=False)
    selector: Selector = field(init=False)
    sessions: Sessions[Session] = field(init=False)

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
        settings = dataclasses.replace(self.settings)
        undo_tables = self._remember_tables() if tables else None
        try:
            yield
        except BaseException:
            _copy_fields(settings, self.settings)
            if undo_tables is not None:
                undo_tables()
            raise

    def _remember_tables(self) -> Callable[[], None]:
        undo_acls = self.acls.remember()
        table = self.servers
        servers = [copy.copy(server) for server in table]
        special = (table.emergency, table.abuse)

        def undo() -> None:
            undo_acls()
            for added in table.slots[len(servers) :]:
                self.clients.forget_server(added.slot)
            del table.slots[len(servers) :]
            for old, server in zip(servers, table, strict=True):
                _restore(old, server)
            table.emergency, table.abuse = special

        return undo


def _copy_fields(source: Settings, target: Settings) -> None:
    for each in dataclasses.fields(source):
        setattr(target, each.name, getattr(source, each.name))


def _restore(old: Server, server: Server) -> None:
    for each in dataclasses.fields(old):
        if each.name not in _COUNTED:
            setattr(server, each.name, getattr(old, each.name))
