"""TLS contexts, made from the settings and the files they name.

A handshake begins in the *front* context and gets its certificate from another, chosen by
the name the client asks for. The front has what must outlive a change of certificates:
OpenSSL seals session tickets with keys of the context a handshake began in, so a new front
would make every client that comes back pay for a full handshake. It is kept, over HUP too,
until a setting that it depends on changes.

Where clients must show certificates, coming back with a ticket must not be a way around: an
authority that is gone after HUP vouches for nobody, so the front is not kept then; and with an
authority for each name a ticket of one must not open another, so there are none.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from OpenSSL import SSL

from pen.core.errors import PenError
from pen.core.settings import Protocol, Settings, SslOption
from pen.net.tls_files import Identity, read_certificates, read_identity
from pen.net.tls_staple import Clock, Staple

VERSIONS: Final = {
    Protocol.BEST: (SSL.TLS1_2_VERSION, 0),
    Protocol.TLS12: (SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION),
    Protocol.TLS13: (SSL.TLS1_3_VERSION, SSL.TLS1_3_VERSION),
}
"""Lowest and highest; 0: the highest there is."""
OPTIONS: Final = {
    SslOption.NO_SSLV2: SSL.OP_NO_SSLv2,
    SslOption.NO_SSLV3: SSL.OP_NO_SSLv3,
    SslOption.NO_TLSV1: SSL.OP_NO_TLSv1,
    SslOption.NO_TLSV1_1: SSL.OP_NO_TLSv1_1,
    SslOption.NO_TLSV1_2: SSL.OP_NO_TLSv1_2,
    SslOption.NO_TLSV1_3: SSL.OP_NO_TLSv1_3,
    SslOption.NO_TICKET: SSL.OP_NO_TICKET,
    SslOption.CIPHER_SERVER_PREFERENCE: SSL.OP_CIPHER_SERVER_PREFERENCE,
}
ENABLE_PARTIAL_WRITE: Final = 1
"""openssl/ssl.h. Off: a write of several records is one call, and is taken whole or not at all."""
SESSIONS_OF: Final = b"pen"
"""Resumption of sessions with client certificates needs a name for whose they are."""


class Front:
    """The context handshakes begin in, and the certificates they go on with."""

    def __init__(self, settings: Settings) -> None:
        _check(settings)
        self.made_for = _front_settings(settings)
        self.certificates: Certificates
        self.context = _make_context(settings)
        if settings.ssl_require_certificate:
            self.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        self.context.set_tlsext_servername_callback(self._choose)

    def serves(self, settings: Settings) -> bool:
        """Whether it may go on under these settings."""
        kept = not settings.ssl_require_certificate
        return kept and self.made_for == _front_settings(settings)

    def _choose(self, connection: SSL.Connection) -> None:
        """OpenSSL calls this in every handshake, with a name or without."""
        connection.set_context(self.certificates.named(connection.get_servername()))


class Certificates:
    """The default certificate's context, and those for names.

    Raises:
        PenError: a file cannot be used; which one, and why.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or partial(datetime.now, UTC)
        assert settings.ssl_certificate is not None
        self._default = self._load(
            settings.ssl_certificate,
            settings.ssl_key or settings.ssl_certificate,
            settings.ssl_ca_file,
            settings.ssl_ocsp_response,
        )
        self._by_name = self._load_names(settings.ssl_sni_path) if settings.ssl_sni_path else {}

    def named(self, name: bytes | None) -> SSL.Context:
        """The context for a name that a client asks for; None: it asks for none."""
        if name is None or not self._by_name:
            return self._default
        name = name.lower()
        found = self._by_name.get(name) or self._by_name.get(b"*." + name.partition(b".")[2])
        return found or self._default

    def _load_names(self, folder: str) -> dict[bytes, SSL.Context]:
        try:
            files = sorted(Path(folder).iterdir())
        except OSError as error:
            raise PenError(f"ssl_sni_path {folder}: {error.strerror}") from None
        return {
            file.stem.lower().encode("utf-8", "surrogateescape"): self._load_name(file)
            for file in files
            if file.suffix == ".crt"
        }

    def _load_name(self, certificate: Path) -> SSL.Context:
        ca, ocsp = (certificate.with_suffix(suffix) for suffix in (".ca", ".ocsp"))
        return self._load(
            str(certificate),
            str(certificate.with_suffix(".key")),
            str(ca) if ca.exists() else self._settings.ssl_ca_file,
            str(ocsp) if ocsp.exists() else None,
        )

    def _load(self, certificate: str, key: str, ca: str | None, ocsp: str | None) -> SSL.Context:
        identity = read_identity(certificate, key, self._clock())
        context = _make_context(self._settings)
        try:
            _use_identity(context, identity)
        except SSL.Error as error:
            raise PenError(f"certificate {certificate}: {reason(error)}") from None
        self._trust(context, ca)
        if ocsp is not None:
            staple = Staple(ocsp, identity.certificate, self._clock)
            context.set_ocsp_server_callback(lambda _connection, _data: staple.response())
        return context

    def _trust(self, context: SSL.Context, ca_file: str | None) -> None:
        """Let authorities vouch for clients, and complete our own chain."""
        ca_dir = self._settings.ssl_ca_dir
        if ca_file is not None:
            for authority in read_certificates(ca_file):
                context.add_client_ca(authority)  # named to clients, so that they choose well
        if ca_dir is not None and not Path(ca_dir).is_dir():
            raise PenError(f"CA directory {ca_dir}: there is no such directory")
        if ca_file is None and ca_dir is None:
            return
        try:
            context.load_verify_locations(ca_file, ca_dir)
        except SSL.Error as error:
            raise PenError(f"CA certificates {ca_file or ca_dir}: {reason(error)}") from None


def _use_identity(context: SSL.Context, identity: Identity) -> None:
    context.use_certificate(identity.certificate)
    for certificate in identity.chain:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(identity.key)  # type: ignore[arg-type]  # says itself what it cannot use


def _check(settings: Settings) -> None:
    if {SslOption.NO_TLSV1_2, SslOption.NO_TLSV1_3} <= settings.ssl_options:
        raise PenError("ssl_option: no version of TLS is left to speak")
    vouching = settings.ssl_ca_file or settings.ssl_ca_dir
    if settings.ssl_require_certificate and not vouching:
        raise PenError(
            "asking clients for certificates (-R) needs somebody to vouch for them: give"
            " certificates in a file (-G) or a directory (-A)"
        )


def _front_settings(settings: Settings) -> tuple[object, ...]:
    """What a front depends on."""
    return (
        settings.ssl_protocol,
        settings.ssl_options,
        settings.ssl_compatibility,
        settings.ssl_ciphers,
        settings.ssl_require_certificate,
    )


def _make_context(settings: Settings) -> SSL.Context:
    """A context with all that is not about certificates."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    lowest, highest = VERSIONS[settings.ssl_protocol]
    context.set_min_proto_version(lowest)
    context.set_max_proto_version(highest)
    # A client that ends without saying so in TLS ends as it would without TLS.
    options = SSL.OP_IGNORE_UNEXPECTED_EOF | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
    if settings.ssl_compatibility:
        options |= SSL.OP_ALL
    if settings.ssl_require_certificate and settings.ssl_sni_path:
        options |= SSL.OP_NO_TICKET
    for option in settings.ssl_options:
        options |= OPTIONS[option]
    context.set_options(options)
    context.clear_mode(ENABLE_PARTIAL_WRITE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Clients keep their sessions themselves, in tickets.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(SESSIONS_OF)
    if settings.ssl_ciphers is not None:
        _set_ciphers(context, settings.ssl_ciphers)
    return context


def _set_ciphers(context: SSL.Context, names: str) -> None:
    """OpenSSL keeps the suites of TLS 1.3 in a list of their own."""
    suites = [name for name in names.split(":") if name.startswith("TLS_")]
    older = [name for name in names.split(":") if not name.startswith("TLS_")]
    try:
        if older:
            context.set_cipher_list(":".join(older).encode())
        if suites:
            context.set_tls13_ciphersuites(":".join(suites).encode())
    except SSL.Error:
        raise PenError(f"ssl_ciphers {names}: OpenSSL knows none of these") from None


def reason(error: SSL.Error) -> str:
    """What OpenSSL says is wrong."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list) and queue:
        return str(queue[-1][-1])
    return "OpenSSL does not say why"
