"""Who sees the bytes that pass the relays: the request log, `http` and communication dumps.

A relay has taps while one of these wants any. Its `ClientTap` is on the way up. On the way
down there is one only for dumps, and while a client that asked to leave HTTP waits for the
answer.

`log` and `debug` take effect on open connections. `http` holds for connections that begin
from then on: in the middle of one nobody knows where a request begins.
"""

import logging
from collections.abc import Callable
from typing import Final

from pen.core.acl import AccessLists
from pen.core.applying import Prepared
from pen.core.forwarding import Forwarding
from pen.core.http import HEAD, UNKNOWN, Part, RequestStream
from pen.core.settings import Settings
from pen.net.dumps import DOWN, UP, dump
from pen.net.relay import Relay
from pen.net.relays import Relays

logger = logging.getLogger("pen")

DUMP_LEVEL: Final = 3
"""The `debug` level from which on all bytes are shown."""

Observe = Callable[[Relay, bytes], object]
"""Is shown what a client sent: from the beginning of a request, or a piece that is no HTTP."""


class Taps:
    """Fits relays with taps for those who want to see bytes."""

    def __init__(self, relays: Relays, acls: AccessLists) -> None:
        self._relays = relays
        self._acls = acls
        self.settings = relays.settings
        self.log: Observe | None = None
        self.dumps = False

    def set_log(self, observe: Observe | None) -> None:
        """Let the request log see what clients send."""
        self.log = observe
        self._refit()

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        if wanted.http == applied.http and dumps(wanted) == dumps(applied):
            return None
        return Prepared(self._refit)

    def _refit(self) -> None:
        """Something else is wanted than before."""
        settings, relays = self.settings, self._relays
        self.dumps = dumps(settings)
        watched = self.log is not None or self.dumps
        relays.fit_taps = self._fit if watched or settings.http else None
        for relay in relays.relays():
            self._fit_open(relay, watched=watched)

    def _fit(self, relay: Relay) -> None:
        """A relay begins."""
        relay.up.tap = ClientTap(self, self._forwarding(relay) if self.settings.http else None)
        if self.dumps:
            relay.down.tap = self.see_down

    def _forwarding(self, relay: Relay) -> Forwarding:
        acl, address = self.settings.http_trust, relay.address
        trusted = acl is None or self._acls.permits(acl, address)
        return Forwarding(address, "https" if relay.secure else "http", trusted)

    def _fit_open(self, relay: Relay, *, watched: bool) -> None:
        up, down, tap = relay.up, relay.down, relay.up.tap
        rewrites = isinstance(tap, ClientTap) and tap.forwarding is not None
        if not rewrites and not watched:
            up.tap = down.tap = None
            return
        if tap is None or (not rewrites and self.log is None):
            up.tap = ClientTap(self, None)
            down.tap = None
        if down.tap is None or down.tap == self.see_down:
            down.tap = self.see_down if self.dumps else None

    def see_down(self, relay: Relay, piece: bytes) -> bytes:
        """The tap for what servers send, with dumps."""
        if piece:
            dump(relay.number, DOWN, piece, ascii=self.settings.ascii)
        return piece


class ClientTap:
    """The tap for what one client sends."""

    __slots__ = ("_logged", "_requests", "_taps", "forwarding")

    def __init__(self, taps: Taps, forwarding: Forwarding | None) -> None:
        self._taps = taps
        self._requests = RequestStream()
        self.forwarding = forwarding
        """The headers that are added, if that is wanted."""
        self._logged = False
        """The request that comes next is in the log already."""

    def __call__(self, relay: Relay, piece: bytes) -> bytes:
        """See `relays.Tap`."""
        taps, requests = self._taps, self._requests
        if self.forwarding is not None or taps.log is not None:
            parts = requests.feed(piece) if piece else requests.end()
            sent = b"".join([self._pass(relay, part) for part in parts])
            if self.forwarding is not None:
                piece = sent
            elif not self._logged and requests.request_line:
                self._log_early(relay, requests.request_line)
            if requests.awaits_answer:
                relay.down.tap = self._hear
        if taps.dumps and piece:
            dump(relay.number, UP, piece, ascii=taps.settings.ascii)
        return piece

    def _pass(self, relay: Relay, part: Part) -> bytes:
        """Log a part that is to be logged; what is sent for it."""
        kind, data = part
        forwarding, log = self.forwarding, self._taps.log
        if kind is UNKNOWN and forwarding is not None and not forwarding.trusted:
            self._refuse(relay)
            return b""
        if kind is HEAD or kind is UNKNOWN:
            if log is not None and not self._logged:
                log(relay, data)
            self._logged = False
        return forwarding.add(data) if kind is HEAD and forwarding is not None else data

    def _log_early(self, relay: Relay, line: bytes) -> None:
        """The server has the request line, whether or not the rest of the head ever comes."""
        if self._taps.log is not None:
            self._taps.log(relay, line)
            self._logged = True

    def _refuse(self, relay: Relay) -> None:
        """Who is not trusted might speak for somebody else in what only the server understands."""
        relay.up.ended = True
        if self._taps.settings.debug:
            logger.debug(
                "connection %d: client %s, outside http_trust, sent what is no plain HTTP request;"
                " nothing more of it is sent on",
                relay.number, relay.address,
            )  # fmt: skip

    def _hear(self, relay: Relay, piece: bytes) -> bytes:
        """The tap for the answer to a request to leave HTTP."""
        self._requests.hear(piece)
        if not self._requests.awaits_answer:
            relay.down.tap = self._taps.see_down if self._taps.dumps else None
        return self._taps.see_down(relay, piece) if self._taps.dumps else piece


def dumps(settings: Settings) -> bool:
    """Whether all that passes is shown."""
    return settings.debug >= DUMP_LEVEL
