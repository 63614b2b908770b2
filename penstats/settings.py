"""What penstats is told: variables of the environment, or the same names in a file."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from penstats.errors import NoPageError

DEFAULT_FILE = "/etc/pen/penstats.conf"
DEFAULT_TIMEOUT = 5.0
LONGEST_TIMEOUT = 60.0

VARIABLES = {
    "PENSTATS_CONTROL": "pen's control address: port, host:port, [v6]:port or /path/of/socket",
    "PENSTATS_PIDFILE": "pen's pid file (its -p); pen is sent USR1 and writes PENSTATS_WEBFILE",
    "PENSTATS_WEBFILE": "the page that pen writes on USR1 (its -w)",
    "PENSTATS_TIMEOUT": f"seconds to wait for pen, at most {LONGEST_TIMEOUT:g} "
    f"(default {DEFAULT_TIMEOUT:g})",
    "PENSTATS_CONF": f"a file with lines NAME=VALUE of the above (default {DEFAULT_FILE})",
}
_WAYS = ("PENSTATS_CONTROL", "PENSTATS_PIDFILE", "PENSTATS_WEBFILE")
_SET_ONE = (
    "Set PENSTATS_CONTROL, or PENSTATS_PIDFILE and PENSTATS_WEBFILE, with SetEnv in the web "
    f"server's configuration or in {DEFAULT_FILE}; see penstats(1)."
)


class Control(NamedTuple):
    """Where pen listens for commands: a Unix socket if there is a path, else host and port."""

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


class Files(NamedTuple):
    """The files of pen's options -p and -w."""

    pid_file: str
    web_file: str


class Settings(NamedTuple):
    """How to get the page, and how many seconds it may take."""

    way: Control | Files
    timeout: float


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings; the environment goes before the file.

    Where the environment says which way to ask pen, the file's way is not looked at.

    Raises:
        NoPageError: 500, naming the variable, or the file and line, that is wrong.
    """
    given = {name: environment[name] for name in VARIABLES if environment.get(name)}
    named = given.pop("PENSTATS_CONF", "")
    from_file = _read_file(named or DEFAULT_FILE, must_exist=bool(named))
    if any(name in given for name in _WAYS):
        from_file = {name: text for name, text in from_file.items() if name not in _WAYS}
    values = from_file | given
    return Settings(_way(values), _timeout(values.get("PENSTATS_TIMEOUT")))


def parse_control(text: str) -> Control:
    """Read `port`, `host:port`, `[v6]:port` or `/path`; as in pen, the last colon splits.

    Raises:
        NoPageError: 500, saying what is wrong with the address.
    """
    if text.startswith("/"):
        return Control(path=text)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    digits = re.fullmatch(r"[0-9]{1,5}", port)
    if not digits or not 0 < int(port) < 65536:
        raise _wrong("PENSTATS_CONTROL", text, "has no port from 1 to 65535 at its end")
    if colon and not host:
        raise _wrong("PENSTATS_CONTROL", text, "has no host before the colon")
    return Control(host or "127.0.0.1", int(port))


def _way(values: Mapping[str, str]) -> Control | Files:
    control, pid_file, web_file = (values.get(name, "") for name in _WAYS)
    if control and (pid_file or web_file):
        other = "PENSTATS_PIDFILE" if pid_file else "PENSTATS_WEBFILE"
        raise NoPageError(500, f"PENSTATS_CONTROL and {other} are both set", "Keep one of the two.")
    if control:
        return parse_control(control)
    if bool(pid_file) != bool(web_file):
        have, lack = _WAYS[1:] if pid_file else reversed(_WAYS[1:])
        raise NoPageError(500, f"{have} is set, but {lack} is not", "The two go together.")
    if not pid_file:
        raise NoPageError(500, "penstats is not told where pen is", _SET_ONE)
    for name, path in (("PENSTATS_PIDFILE", pid_file), ("PENSTATS_WEBFILE", web_file)):
        if not path.startswith("/"):
            raise _wrong(name, path, "is not an absolute path")
    return Files(pid_file, web_file)


def _timeout(text: str | None) -> float:
    if text is None:
        return DEFAULT_TIMEOUT
    number = re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text)
    if not number or not 0 < float(text) <= LONGEST_TIMEOUT:
        limits = f"is not a number of seconds above 0 and at most {LONGEST_TIMEOUT:g}"
        raise _wrong("PENSTATS_TIMEOUT", text, limits)
    return float(text)


def _read_file(path: str, must_exist: bool) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        if must_exist:
            raise NoPageError(500, f"{path}: no such file", "PENSTATS_CONF names it.") from None
        return {}
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise NoPageError(500, f"{path}: cannot be read: {why}") from None
    return _parse_lines(path, lines)


def _parse_lines(path: str, lines: list[str]) -> dict[str, str]:
    allowed = [name for name in VARIABLES if name != "PENSTATS_CONF"]
    values: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise NoPageError(500, f"{path}:{number}: a line is NAME=VALUE, this has no '='")
        if name not in allowed:
            known = "The names are " + ", ".join(allowed) + "."
            raise NoPageError(500, f"{path}:{number}: unknown name {_quote(name)}", known)
        if name in values:
            raise NoPageError(500, f"{path}:{number}: {name} is set a second time")
        if value:
            values[name] = value
    return values


def _wrong(name: str, value: str, why: str) -> NoPageError:
    return NoPageError(500, f"{name}: {_quote(value)} {why}")


def _quote(text: str) -> str:
    """Show a value in a message: on one line and not long."""
    return ascii(text if len(text) <= 100 else text[:100] + "...")
