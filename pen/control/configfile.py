"""Config files: control commands, one a line, run all or none."""

import os
import stat
import time
from dataclasses import dataclass

from pen.control.context import Pen
from pen.control.registry import LINE_MAX, Invocation, Registry
from pen.control.words import printable
from pen.core.errors import CommandError, PenError

SIZE_MAX = 64 << 20
"""Bytes; a larger config file is some other file."""
DEPTH_MAX = 16
"""Files that include files; deeper is a circle."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command in a file."""

    number: int
    call: Invocation
    included: "ConfigFile | None"
    """What an `include` names."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file whose lines were understood, and those of the files that it includes."""

    path: str
    lines: list[Line]

    @property
    def hosts(self) -> list[str]:
        """The host names whose addresses it needs."""
        found: list[str] = []
        for line in self.lines:
            found += line.call.hosts if line.included is None else line.included.hosts
        return found

    def run(self, pen: Pen) -> str:
        """Run the commands and return their replies; see `read_config`.

        Raises:
            CommandError: names file and line of a mistake; all is as it was.
        """
        with pen.changing(tables=True):
            return self._run(pen, set())

    def _run(self, pen: Pen, emptied: set[int]) -> str:
        """`emptied`: the access lists that this reading has emptied already."""
        calls = [line.call for line in self.lines]
        named = {call.values[0] for call in calls if call.command.words == "acl"}
        for number in named - emptied:
            pen.state.acls.clear(number)
        emptied |= named
        replies = []
        for line in self.lines:
            try:
                if line.included is not None:
                    replies.append(line.included._run(pen, emptied))
                else:
                    replies.append(line.call.run(pen))
            except PenError as error:
                raise CommandError(f"{self.path}:{line.number}: {error}") from None
        return "".join(replies)


def read_config(registry: Registry, pen: Pen, path: str) -> str:
    """Run a file's commands and return their replies.

    Access lists that the file names are emptied first, so that reading it again does
    not append its entries twice; files that it includes count as parts of it. A mistake
    in any line leaves everything as it was.

    Raises:
        CommandError: the file cannot be read, or names file and line of a mistake.
    """
    return load_config(registry, path, wait=not pen.running).run(pen)


def load_config(registry: Registry, path: str, *, wait: bool = False, depth: int = 0) -> ConfigFile:
    """Understand a file's commands, and those of the files that it includes; run none.

    `wait`: it may be a pipe that has to be waited for; only at start there is time for that.

    Raises:
        CommandError: it cannot be read, or names file and line of a mistake.
    """
    if depth >= DEPTH_MAX:
        raise CommandError(f"'{path}': files include each other more than {DEPTH_MAX} deep")
    lines = []
    for number, text in enumerate(_lines(path, wait), 1):
        try:
            call = registry.understand(text)
            if call is not None:
                included = (
                    load_config(registry, call.values[0], wait=wait, depth=depth + 1)
                    if call.command.words == "include"
                    else None
                )
                lines.append(Line(number, call, included))
        except PenError as error:
            raise CommandError(f"{path}:{number}: {error}") from None
    return ConfigFile(path, lines)


def _lines(path: str, wait: bool) -> list[str]:
    """The lines of a file. Only at start may it be a pipe that has to be waited for."""

    def open_it(path: str, flags: int) -> int:
        return os.open(path, flags if wait else flags | os.O_NONBLOCK)

    try:
        with open(path, "rb", opener=open_it) as file:
            data = file.read(SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"cannot read config file '{printable(path)}': {reason}") from None
    if data is None:
        raise CommandError(f"config file '{printable(path)}' is a pipe with nothing in it yet")
    if len(data) > SIZE_MAX:
        raise CommandError(f"config file '{path}' is larger than {SIZE_MAX >> 20} MiB")
    lines = data.decode(errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            raise CommandError(f"{path}:{number}: the line is longer than {LINE_MAX} bytes")
    return lines


def write_config(registry: Registry, pen: Pen, path: str | None) -> None:
    """Save every setting as a config file, by a new file and a rename.

    Raises:
        CommandError: no name is known, or the file cannot be written.
    """
    target = path or pen.state.settings.config_file
    if target is None:
        raise CommandError("'write' needs a file name, for pen was started without -F")
    written = time.strftime("%Y-%m-%d %H:%M:%S")
    lines = [f"# Generated by pen {written}", f"# {pen.command_line}", *registry.saved(pen)]
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        _refuse_special(target)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        os.replace(temporary, target)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"cannot write '{printable(target)}': {reason}") from None


def _refuse_special(path: str) -> None:
    """A device or a pipe must not be replaced by a file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise CommandError(f"'{printable(path)}' exists and is not a regular file")
