"""LogFormat strings of Apache 2.4 (mod_log_config, mod_logio, mod_ssl) and of lighttpd.

Which directive means what, and how its value looks, says the library apache-log-parser; what it
lacks of the tables in Apache's manual stands here. What neither knows is an error, for a directive
taken for a literal makes a format that no line has.

https://httpd.apache.org/docs/2.4/mod/mod_log_config.html#formats
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from penlogd.fields import CLF_TIME, NUMBER, PORT, Field, FormatError, Part, Role, Stamp
from penlogd.stampformat import stamp_field

# Modifiers and an argument come in any order between % and the letter.
_DIRECTIVE = re.compile(r"%((?:[<>!,]|\d{3}|\{[^}]*\})*)(\^[A-Za-z]{2}|[A-Za-z%])?")
_ESCAPES = {r"\"": '"', r"\\": "\\", r"\n": "\n", r"\t": "\t"}
_STATUSES = re.compile(r"!?\d{3}(?:,\d{3})*")

_ARGUMENTS = {"p": ("canonical", "local", "remote"), "P": ("pid", "tid", "hextid")}

# By the name that apache-log-parser gives a directive.
_ROLES = {
    "remote_host": Role.CLIENT,
    "remote_ip": Role.CLIENT,
    "server_port_remote": Role.PORT,
    "server_port_local": Role.SERVER_PORT,
    "request_first_line": Role.REQUEST,
    "time_us": Role.DURATION,
    "time_s": Role.DURATION,
}
_PATTERNS = {"server_port_remote": PORT, "server_port_local": PORT, "time_s": NUMBER}
_UNITS = {"time_us": 1e-6}
_WITH_BLANKS = re.compile(
    r"remote_user|filename|url_path|handler|request_first_line|"
    r"(?:cookie|env|note|extension|request_header|response_header)_.*"
)

# What apache-log-parser lacks. An argument that may be anything is {}.
_LACKING = {
    "{c}a": Field("", role=Role.PEER),
    "{c}h": Field("", role=Role.PEER),
    "{ms}T": Field("", NUMBER, role=Role.DURATION, unit=1e-3),
    "{us}T": Field("", NUMBER, role=Role.DURATION, unit=1e-6),
    "{s}T": Field("", NUMBER, role=Role.DURATION),
    "L": Field(""),
    "{c}L": Field(""),
    "S": Field("", NUMBER),
    "^FB": Field("", NUMBER),
    "{}c": Field("", blanks=True),
    "{}^ti": Field("", blanks=True),
    "{}^to": Field("", blanks=True),
}


def apache_parts(text: str, *, at_end: bool = False) -> Iterator[Part]:
    """Take a LogFormat string apart.

    Args:
        text: The format, with or without the backslashes that it has in a configuration.
        at_end: Whether the server stamps the end of requests (lighttpd).

    Raises:
        FormatError: It holds a directive that is not known, which is named.
    """
    place = 0
    for match in _DIRECTIVE.finditer(text):
        yield _unescaped(text[place : match.start()])
        place = match.end()
        yield from _directive(match[0], match[1], match[2], at_end)
    yield _unescaped(text[place:])


def _unescaped(literal: str) -> str:
    return re.sub(r"\\.", lambda match: _ESCAPES.get(match[0], match[0]), literal)


def _directive(name: str, between: str, letter: str | None, at_end: bool) -> Iterator[Part]:
    if letter is None:
        raise FormatError(f"'{name or '%'}' is no directive: a letter must follow")
    if letter == "%":
        yield "%"
        return
    arguments = re.findall(r"\{([^}]*)\}", between)
    argument = arguments[-1] if arguments else None
    if letter == "t" and argument is None:
        yield "["
        stamp = Stamp("", at_end=at_end)
        yield Field(name, CLF_TIME, role=Role.STAMP, stamp=stamp)
        yield "]"
        return
    if letter == "t" and argument:
        yield stamp_field(name, argument, at_end=at_end)
        return
    field = _field(name, letter, argument)
    if field is None:
        raise FormatError(f"'{name}' is no directive that Apache 2.4 or penlogd knows")
    if _STATUSES.search(re.sub(r"\{[^}]*\}", "", between)) and field.pattern is not None:
        field = replace(field, pattern=f"-|{field.pattern}")  # with another status it is -
    yield replace(field, name=name)


def _field(name: str, letter: str, argument: str | None) -> Field | None:
    """Return the field of a directive without its modifiers; None if it is not known."""
    exact = letter if argument is None else f"{{{argument}}}{letter}"
    lacking = _LACKING.get(exact) or (_LACKING.get(f"{{}}{letter}") if argument else None)
    if lacking is not None:
        return lacking
    if argument is not None and letter in _ARGUMENTS and argument not in _ARGUMENTS[letter]:
        allowed = ", ".join(_ARGUMENTS[letter])
        raise FormatError(f"'{name}': '{argument}' is none of {allowed}")
    return _library_field(letter, argument if letter in _ARGUMENTS else argument and "x")


def _library_field(letter: str, argument: str | None) -> Field | None:
    from apache_log_parser import Parser  # takes 0.3 s to import

    parser = Parser(f"%{letter}" if argument is None else f"%{{{argument}}}{letter}")
    if len(parser.names) != 1 or not parser.log_line_regex.pattern.startswith("(?P<"):
        return None
    (known,) = parser.names
    own = parser.log_line_regex.pattern.removeprefix(f"(?P<{known}>").removesuffix(")")
    pattern = _PATTERNS.get(known)
    if pattern is None and r"\d" in own and "_ip" not in known:
        pattern = NUMBER  # its own patterns for numbers lack what Apache also writes, such as -
    blanks = _WITH_BLANKS.fullmatch(known) is not None
    return Field("", pattern, blanks, _ROLES.get(known), _UNITS.get(known, 1.0))
