"""Stamps in forms of one's own: ``%{...}t`` of Apache, in one piece or several.

Apache's manual shows how to get fractions of a second: ``%{%d/%b/%Y %T}t.%{msec_frac}t %{%z}t``.
These pieces, and the literals between them, are one stamp.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from penlogd.fields import Field, FormatError, Part, Role, Stamp

# What strftime(3) and strptime understand alike, and what it looks like.
_LOOKS = {
    **dict.fromkeys("dHIMSjmyuw", r"\d+"),
    **dict.fromkeys("aAbB", r"[^\s\d,;:/\[\]]+"),
    "Y": r"\d{4}",
    "p": r"\w+",
    "z": r"[-+]\d{4}",
    "s": r"\d+",
    "%": "%",
}

# What stands for something else; %e has a blank where %d has a zero, and strptime takes both.
_STANDS_FOR = {
    "D": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M", "T": "%H:%M:%S", "X": "%H:%M:%S",
    "c": "%a %b %d %H:%M:%S %Y", "e": "%d", "h": "%b", "n": "\n", "r": "%I:%M:%S %p",
    "t": "\t", "x": "%m/%d/%y",
}  # fmt: skip

# Apache's own: seconds since 1970 in units, and fractions of a second. (unit, precision, digits)
_NUMBERS = {"sec": (1.0, 1.0), "msec": (1e-3, 1e-3), "usec": (1e-6, 1e-6)}
_FRACTIONS = {"msec_frac": 3, "usec_frac": 6}


def stamp_field(name: str, argument: str, *, at_end: bool) -> Field:
    """Return the field for ``%{argument}t``.

    Args:
        name: The directive, for messages.
        argument: What stands in its braces.
        at_end: Whether it is of the end of the request unless it says ``begin:``.

    Raises:
        FormatError: It holds a conversion that cannot be read back.
    """
    if argument.startswith(("begin:", "end:")):
        which, _, argument = argument.partition(":")
        at_end = which == "end"
    if argument in _NUMBERS:
        unit, precision = _NUMBERS[argument]
        stamp = Stamp("%s", precision, at_end, unit)
        return Field(name, r"\d+", role=Role.STAMP, stamp=stamp)
    if argument in _FRACTIONS:
        digits = _FRACTIONS[argument]
        stamp = Stamp("", 10.0**-digits, at_end, is_fraction=True)
        return Field(name, rf"(?P<fraction>\d{{{digits}}})", role=Role.STAMP, stamp=stamp)
    form = re.sub("%(.)", lambda match: _STANDS_FOR.get(match[1], match[0]), argument)
    return Field(name, _look(name, form), role=Role.STAMP, stamp=Stamp(form, 1.0, at_end))


def _look(name: str, form: str) -> str:
    """Return the regular expression for what a strftime format prints."""
    pattern = ""
    for conversion, literal in re.findall(r"%(.?)|([^%]+)", form, re.DOTALL):
        if literal:
            pattern += re.escape(literal)
        elif conversion in _LOOKS:
            blank = " ?" if conversion == "d" else ""
            pattern += blank + _LOOKS[conversion]
        else:
            raise FormatError(f"{name}: '%{conversion}' cannot be read back as a time")
    return pattern


def merge_stamps(parts: Sequence[Part]) -> list[Part]:
    """Make one field of the pieces of a stamp and the literals between them."""
    merged: list[Part] = []
    run: list[Part] = []
    for part in parts:
        if isinstance(part, Field):
            if not (run and _continues(run, part)):
                merged += _close(run)
                run = []
            (run if _is_piece(part) else merged).append(part)
        else:
            (run if run else merged).append(part)
    return merged + _close(run)


def is_whole(stamp: Stamp) -> bool:
    """Whether the stamp tells a date and a time, so that it can be read."""
    form = stamp.format
    if stamp.is_fraction or form == "":
        return not stamp.is_fraction
    has_day = "%j" in form or ("%d" in form and any(m in form for m in ("%m", "%b", "%B")))
    has_time = "%H" in form or ("%I" in form and "%p" in form)
    return form.startswith("%s") or (has_day and has_time and ("%Y" in form or "%y" in form))


def _is_piece(field: Field) -> bool:
    stamp = field.stamp
    return stamp is not None and (stamp.is_fraction or stamp.format != "")


def _continues(run: list[Part], field: Field) -> bool:
    """Whether the field is a further piece of the stamp; a number takes a fraction at most."""
    if not _is_piece(field) or field.stamp is None:
        return False
    numbers = "%s" in (field.stamp.format, *(p.stamp.format for p in _pieces(run) if p.stamp))
    return field.stamp.is_fraction or not numbers


def _pieces(run: Sequence[Part]) -> list[Field]:
    return [part for part in run if isinstance(part, Field)]


def _close(run: list[Part]) -> list[Part]:
    """Return the run with its pieces made one; literals after the last piece stay literals."""
    pieces = _pieces(run)
    if len(pieces) < 2:
        return run
    end = max(place for place, part in enumerate(run) if isinstance(part, Field)) + 1
    name = form = pattern = ""
    for part in run[:end]:
        if isinstance(part, str):
            name, form, pattern = name + part, form + part, pattern + re.escape(part)
        elif part.stamp is not None:
            name, form = name + part.name, form + part.stamp.format
            pattern += part.pattern or ""
    stamps = [piece.stamp for piece in pieces if piece.stamp is not None]
    fraction = min(stamp.precision for stamp in stamps)
    stamp = replace(stamps[0], format=form, precision=fraction, is_fraction=False)
    return [Field(name, pattern, role=Role.STAMP, stamp=stamp), *run[end:]]
