"""The headers by which servers are told who the client is (`http`, ``-H``).

Both go to the end of a request head, X-Forwarded-Proto first, as C has them. A header that
is there already stays and is not added again: a proxy before us has told. A client that is
not to be trusted with that (`http_trust`) has all of its own removed, and ours added.
"""

import re
from typing import Final

_OURS: Final = rb"x[-_]forwarded[-_](?:for|proto):"
"""Servers that make variables of headers take ``X_Forwarded_For`` for the same."""
OUR_FIELD: Final = re.compile(_OURS, re.IGNORECASE)
_HAS_OURS: Final = re.compile(rb"\n" + _OURS, re.IGNORECASE)
"""Ten times as fast as looking for the next, which does not begin with a certain byte."""
_OUR_LINES: Final = re.compile(rb"(?<=\n)" + _OURS + rb"[^\n]*\n", re.IGNORECASE)


class Forwarding:
    """One client's headers.

    Args:
        client: its address; "" for a client on a Unix socket, which has none to tell.
        scheme: ``http`` or ``https``.
        trusted: whether the client may set these headers itself, as a proxy before us does.
    """

    __slots__ = ("_all", "_proto", "_trusted", "_who")

    def __init__(self, client: str, scheme: str, trusted: bool) -> None:
        self._trusted = trusted
        self._proto = f"X-Forwarded-Proto: {scheme}\r\n".encode()
        self._who = f"X-Forwarded-For: {client}\r\n".encode() if client else b""
        self._all = self._proto + self._who + b"\r\n"

    @property
    def trusted(self) -> bool:
        """Whether what is no certain HTTP may go on as it is."""
        return self._trusted

    def add(self, head: bytes) -> bytes:
        """A request head with our headers, at its end as C has them."""
        if _HAS_OURS.search(head) is None:
            return head[:-2] + self._all
        if not self._trusted:
            return _OUR_LINES.sub(b"", head)[:-2] + self._all
        lowered = head.lower()
        proto = b"" if b"\nx-forwarded-proto:" in lowered else self._proto
        who = b"" if b"\nx-forwarded-for:" in lowered else self._who
        return head[:-2] + proto + who + b"\r\n"
