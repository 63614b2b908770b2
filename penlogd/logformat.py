"""The reader of a log format, made once of the format's parts.

Each field matches in one way only, so that a line costs time in proportion to its length whatever
it holds: numbers and stamps by their own form, fields in quotes up to the next quote that is not
escaped, words up to a blank, and text that may hold blanks up to what follows it.
"""

import re
from collections.abc import Iterable, Sequence

from penlogd.accesslog import AccessLine, Shape, unescape
from penlogd.fields import CLF_TIME, Field, FormatError, Part, Role
from penlogd.stampformat import is_whole, merge_stamps
from penlogd.stamps import Stamps, parse_by

# %u of an empty name is "" in Apache's log, quotes and all, between quotes too.
_QUOTED = r'(?:""(?="))?+[^"\\]*+(?:\\.[^"\\]*+)*+'

# Where the line has no backslash, which is the bulk of lines: a third of the time.
_PLAIN_QUOTED = r'[^"]*+'

_READ = [role.value for role in Role if role is not Role.CLIENT]


def compile_format(text: str, parts: Iterable[Part]) -> "CompiledFormat":
    """Make the reader of a format from its parts; the text is for messages.

    Raises:
        FormatError: There is no client in it, or fields that nothing keeps apart.
    """
    merged = _merge(merge_stamps(list(parts)))
    chosen = _choose(merged)
    if Role.CLIENT not in chosen:
        raise FormatError(f"log format '{text}' shows no client: add %h, %a or $remote_addr")
    return CompiledFormat(_whole(merged, chosen, True), _whole(merged, chosen, False), chosen)


def _whole(parts: Sequence[Part], chosen: dict[Role, Field], plain: bool) -> str:
    """Return the regular expression for a line, with a group for each role."""
    pattern = ""
    for place, part in enumerate(parts):
        if isinstance(part, str):
            pattern += re.escape(part)
        elif part.role is not None and chosen.get(part.role) is part:
            pattern += f"(?P<{part.role.value}>{_pattern(parts, place, plain)})"
        else:
            unnamed = _pattern(parts, place, plain).replace("(?P<fraction>", "(?:")
            pattern += f"(?:{unnamed})"
    return pattern


def _merge(parts: Sequence[Part]) -> list[Part]:
    """Make one of neighbouring literals, and of neighbouring fields that nobody needs."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else ""
        if part == "":
            continue
        if isinstance(part, str) and isinstance(last, str):
            merged[-1:] = [last + part]
        elif isinstance(part, Field) and isinstance(last, Field):
            if part.role is not None or last.role is not None:
                raise FormatError(f"nothing keeps {last.name} and {part.name} apart")
            merged[-1] = Field(last.name + part.name, blanks=True)
        else:
            merged.append(part)
    return merged


def _choose(parts: Sequence[Part]) -> dict[Role, Field]:
    """Return the field for each role: the most precise, else the first."""
    chosen: dict[Role, Field] = {}
    for part in parts:
        if isinstance(part, str) or part.role is None:
            continue
        if part.stamp is not None and not is_whole(part.stamp):
            continue
        have = chosen.get(part.role)
        if have is None or _coarseness(part) < _coarseness(have):
            chosen[part.role] = part
    return chosen


def _coarseness(field: Field) -> float:
    return field.unit if field.stamp is None else field.stamp.precision


def _pattern(parts: Sequence[Part], place: int, plain: bool) -> str:
    """Return the regular expression for the field at this place, by what stands around it.

    A plain one, for lines without backslashes, has no blanks where text is not quoted.
    """
    field, before, after = parts[place], _literal(parts, place - 1), _literal(parts, place + 1)
    assert isinstance(field, Field)
    if plain and field.pattern == CLF_TIME and after.startswith("]"):
        return r"[^\]]++"
    if field.pattern is not None:
        return field.pattern
    if before.endswith('"') and after.startswith('"'):
        return _PLAIN_QUOTED if plain else _QUOTED
    if field.blanks and not plain:
        return f"(?>.*?(?={re.escape(after)}{_look_ahead(parts, place + 2)}))" if after else ".*"
    if after.startswith(":"):  # which an IPv6 address holds too
        return r"\S{0,255}?"
    if after.startswith(" "):
        return "[^ ]*+"  # quicker than \S
    stop = re.escape(after[0]) if after.strip()[:1] == after[:1] and after else ""
    return rf"[^\s{stop}]*+"


def _literal(parts: Sequence[Part], place: int) -> str:
    part = parts[place] if 0 <= place < len(parts) else ""
    return part if isinstance(part, str) else ""


def _look_ahead(parts: Sequence[Part], place: int) -> str:
    """Return the form of the field there if it has one, which tells where text before it ends."""
    part = parts[place] if place < len(parts) else ""
    if isinstance(part, str) or part.pattern is None:
        return ""
    return "(?:{})".format(part.pattern.replace("(?P<fraction>", "(?:"))


class CompiledFormat:
    """Reads lines of one format.

    Args:
        plain: Regular expression for a whole line that has no backslash and nothing unusual.
        full: Regular expression for any whole line; both have a group for each role.
        fields: What the roles' groups hold.
    """

    def __init__(self, plain: str, full: str, fields: dict[Role, Field]) -> None:
        regex = _compiled(full)
        self._match_plain, self._match = _compiled(plain).fullmatch, regex.fullmatch
        groups = regex.groupindex
        # Roles that the format lacks are read from a group that never matches, and so are None.
        self._groups = tuple(groups.get(name, groups["none"]) for name in _READ)
        self._client, self._stamp = groups["client"], groups.get("stamp", groups["none"])
        self._fraction = groups.get("fraction", 0)
        stamped, lasting = fields.get(Role.STAMP), fields.get(Role.DURATION)
        stamp = None if stamped is None else stamped.stamp
        self._stamps = Stamps(parse_by(stamp.format, stamp.unit) if stamp else float)
        self._unit = 1.0 if lasting is None else lasting.unit
        self._shape = Shape(
            precision=1.0 if stamp is None else stamp.precision,
            at_end=stamp is not None and stamp.at_end,
            granularity=_granularity(lasting),
        )
        self.names_server = Role.SERVER in fields
        """Whether it has the field that was named to tell the server."""

    def read(self, text: bytes, sender: bytes) -> AccessLine | None:
        """Read a line; None if it does not have this format."""
        match = None if b"\\" in text else self._match_plain(text)
        if match is None:
            match = self._match(text)
            if match is None:
                return None
        peer, port, server, server_port, request, stamp, duration = match.group(*self._groups)
        if request is not None and b"\\" in request:
            request = unescape(request)
        when = None
        if stamp is not None:
            when = self._when(match, stamp) if self._fraction else self._stamps[stamp]
        start, end = match.span(self._client)
        return AccessLine(
            text, server or sender, start, end, request, when, self._shape,
            None if duration is None or duration == b"-" else float(duration) * self._unit,
            peer, None if port == b"-" else port, None if server_port == b"-" else server_port,
        )  # fmt: skip

    def _when(self, match: re.Match[bytes], stamp: bytes) -> float | None:
        """Return the time of a stamp with a fraction, which is kept out of what is remembered."""
        before, (start, end) = match.start(self._stamp), match.span(self._fraction)
        seconds = self._stamps[stamp[: start - before] + stamp[end - before :]]
        return None if seconds is None else seconds + float(b"0." + match[self._fraction])


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile((pattern + r"\r?(?P<none>(?!))?").encode(), re.DOTALL)


def _granularity(duration: Field | None) -> float:
    """Return how many seconds a duration may be longer than it says."""
    if duration is None:
        return 0.0
    return 1e-3 if duration.name.lstrip("${").startswith("request_time") else duration.unit
