"""TLS termination: the part that follows the ssl settings.

What it needs is imported where it is used: OpenSSL takes 0.2 s to load, which a pen
without TLS must not spend.
"""

from _socket import socket
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from pen.core.applying import Prepared
from pen.core.errors import PenError
from pen.core.settings import Settings
from pen.net.relays import Relays

if TYPE_CHECKING:
    from pen.net.tls_handshakes import Handshakes

FOLLOWED: Final = tuple(
    field.name
    for field in fields(Settings)
    if field.name.startswith("ssl_")
    and field.name not in ("ssl_handshake_timeout", "ssl_client_renegotiation_interval")
)


class Termination:
    """Decides whether clients come by TLS, and with which certificates."""

    def __init__(self, relays: Relays) -> None:
        self._relays = relays
        self._handshakes: Handshakes | None = None
        """None before TLS was on for the first time."""
        self._settings = Settings()
        self.way_in: Callable[[socket, int, str, int], object] | None = None
        """Takes clients that were accepted; None while they come without TLS."""

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        if all(getattr(wanted, name) == getattr(applied, name) for name in FOLLOWED):
            return None
        return self._prepare(replace(wanted))

    def reload(self) -> None:
        """Read the certificates again; connections go on with the old ones.

        Raises:
            PenError: one cannot be used; all stay as they were.
        """
        self._prepare(self._settings).commit()

    def _prepare(self, settings: Settings) -> Prepared:
        if settings.ssl_certificate is None:
            _check_off(settings)
            return Prepared(lambda: self._turn_off(settings))
        from pen.net.tls_contexts import Certificates, Front
        from pen.net.tls_handshakes import Handshakes

        certificates = Certificates(settings)
        handshakes = self._handshakes
        if handshakes is None:
            handshakes = Handshakes(self._relays, Front(settings))
            front = handshakes.front
        else:
            front = handshakes.front if handshakes.front.serves(settings) else Front(settings)

        def commit() -> None:
            front.certificates = certificates
            handshakes.front = front
            self._settings = settings
            self._handshakes = handshakes
            self.way_in = handshakes.begin

        return Prepared(commit)

    def _turn_off(self, settings: Settings) -> None:
        self._settings = settings
        self.way_in = None

    def close(self) -> None:
        """Give up the handshakes that go on."""
        if self._handshakes is not None:
            self._handshakes.close()


def _check_off(settings: Settings) -> None:
    """Whoever asks for these asks for TLS: going on without it would be a trap."""
    asking = (
        (settings.ssl_key, "a key (-K)"),
        (settings.ssl_sni_path, "ssl_sni_path"),
        (settings.ssl_require_certificate, "asking clients for certificates (-R)"),
    )
    for given, what in asking:
        if given:
            raise PenError(f"{what} needs a certificate of our own (-E, ssl_certificate)")
