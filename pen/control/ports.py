"""The two control ports: one takes any command, one only answers questions."""

import grp
from typing import Final

from pen.control.channel import ControlPort
from pen.control.context import Pen
from pen.control.registry import Registry, Reply
from pen.control.words import printable
from pen.core.address import Endpoint, Resolve, parse_listen, resolve
from pen.core.applying import Prepared
from pen.core.errors import AddressError, CommandError
from pen.core.settings import ControlAddress, Settings
from pen.net.listener import Access
from pen.net.reactor import Reactor

PRIVATE: Final = 0o600
"""Mode of a socket file unless told: for its owner only."""


def control_address(
    address: str, mode: int | None, group: str | None, find: Resolve = resolve
) -> ControlAddress:
    """A control address; mode and group are for socket paths.

    Raises:
        AddressError: it is no address.
        CommandError: there is no such group, or there can be none.
    """
    if "/" not in address and (mode is not None or group is not None):
        raise CommandError(f"'{printable(address)}' is no socket path, so has no mode and no group")
    where = ControlAddress(address, PRIVATE if mode is None else mode, group)
    check(where, find)
    return where


def check(where: ControlAddress, find: Resolve) -> tuple[Endpoint, Access]:
    """What a control address means.

    Raises:
        AddressError: it is no address.
        CommandError: there is no such group.
    """
    return parse_listen(where.address, find=find), Access(where.mode, _group_id(where.group))


def _group_id(name: str | None) -> int:
    if name is None:
        return -1
    if name.isascii() and name.isdigit() and len(name) <= 9:
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        raise CommandError(f"group '{printable(name)}' does not exist") from None


class ControlPorts:
    """Opens control ports for a pen, and is the part that follows `control_readonly`."""

    def __init__(self, registry: Registry, pen: Pen, reactor: Reactor) -> None:
        self._registry = registry
        self._pen = pen
        self._reactor = reactor
        self._main: ControlPort | None = None
        self._readonly: ControlPort | None = None

    @property
    def endpoint(self) -> Endpoint | None:
        """Where any command is taken."""
        return self._main.endpoint if self._main is not None else None

    def open(self, where: ControlAddress) -> None:
        """Open the port for all commands.

        Raises:
            PenError: it cannot be had.
        """
        self._main = self._listen(where, questions_only=False)

    def _listen(self, where: ControlAddress, *, questions_only: bool) -> ControlPort:
        def answer(line: str, caller: str, reply: Reply) -> None:
            self._registry.answer_to(reply, self._pen, line, caller, questions_only=questions_only)

        endpoint, access = check(where, self._pen.resolve)
        return ControlPort(self._reactor, endpoint, access, self._permits, answer)

    def _permits(self, address: str) -> bool:
        state = self._pen.state
        return state.acls.permits(state.settings.control_acl, address)

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        where, before = wanted.control_readonly, applied.control_readonly
        if where == before:
            return None
        if where and before and where.address == before.address:
            return _regrant(where, before, self._pen.resolve)
        new = self._listen(where, questions_only=True) if where else None

        def commit() -> None:
            if self._readonly is not None:
                self._readonly.close()
            self._readonly = new
            if new is not None:
                new.start()

        return Prepared(commit, new.close) if new is not None else Prepared(commit)

    def start(self) -> None:
        """Begin to accept commands."""
        if self._main is not None:
            self._main.start()

    def close(self) -> None:
        """Close both."""
        for port in (self._main, self._readonly):
            if port is not None:
                port.close()


def _regrant(where: ControlAddress, before: ControlAddress, find: Resolve) -> Prepared | None:
    """Give the same socket file another mode or group."""
    endpoint, access = check(where, find)
    if not isinstance(endpoint.sockaddr, str):
        return None
    path, former = endpoint.sockaddr, check(before, find)[1]

    def grant(access: Access) -> None:
        try:
            access.grant(path)
        except OSError as error:
            raise AddressError(f"cannot give away {path}: {error.strerror}") from None

    grant(access)
    return Prepared(lambda: None, lambda: grant(former))
