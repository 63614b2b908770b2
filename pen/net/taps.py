"""Who sees the bytes that pass the relays."""

from collections.abc import Callable

from pen.net.relay import Relay
from pen.net.relays import Relays

Observe = Callable[[Relay, bytes], object]
"""Is shown what a client sent."""


class Taps:
    """Fits relays with taps for those who want to see bytes."""

    def __init__(self, relays: Relays) -> None:
        self._relays = relays
        self._log: Observe | None = None

    def set_log(self, observe: Observe | None) -> None:
        """Let the request log see what clients send, on open connections too."""
        self._log = observe
        self._relays.set_taps(None if observe is None else self._fit)

    def _fit(self, relay: Relay) -> None:
        relay.up.tap = self._see

    def _see(self, relay: Relay, piece: bytes) -> bytes:
        if piece and self._log is not None:
            self._log(relay, piece)
        return piece
