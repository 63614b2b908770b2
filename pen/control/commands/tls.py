"""TLS: certificates, who may come in, and what is spoken.

C has options but no commands for some of these; they are commands here so that a config
file can say all, and `write` save all.
"""

from collections.abc import Iterable

from pen.control.arguments import choice, number, optional
from pen.control.commands.settings import declare_flag, declare_name, declare_number
from pen.control.context import Pen
from pen.control.registry import Argument, Asks, Command, Registry
from pen.core.errors import CommandError
from pen.core.settings import Protocol, SslOption

NAMES = (
    ("ssl_certificate", "FILE", "serve TLS with this certificate (-E)", "serve without TLS"),
    ("ssl_key", "FILE", "the certificate's key (-K)", "the key is in the certificate's file"),
    ("ssl_ca_file", "FILE", "certificates that vouch for clients and for our own (-G)", "none"),
    ("ssl_ca_dir", "DIR", "directory of such certificates under their hashes (-A)", "none"),
    ("ssl_ciphers", "LIST", "the ciphers to choose from, see ciphers(1)", "OpenSSL's choice"),
    ("ssl_ocsp_response", "FILE", "staple this to the default certificate", "staple nothing"),
    ("ssl_sni_path", "DIR", "certificates by name: NAME.crt .key .ca .ocsp", "one for all"),
)
OBSOLETE_PROTOCOLS = ("ssl2", "ssl3", "tls1", "tls1.0", "tls1.1")


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    for name, metavar, on, off in NAMES:
        declare_name(registry, name, metavar, on, off, silent=True)
    declare_flag(
        registry, "ssl_require_certificate", "turn clients without one away (-R)", "do not ask"
    )
    declare_flag(registry, "ssl_compatibility", "work around faults of old clients (-Z)", "do not")
    declare_number(
        registry, "ssl_handshake_timeout", "SEC", number(1, 86400), "how long a handshake may take"
    )
    declare_number(
        registry, "ssl_client_renegotiation_interval", "SEC", number(0, 10_000_000),
        "accepted without effect: clients may never renegotiate", reply="",
    )  # fmt: skip
    _declare_protocol(registry)
    _declare_option(registry)


def _declare_protocol(registry: Registry) -> None:
    def run(pen: Pen, protocol: Protocol | None = None) -> str | None:
        if protocol is None:
            return pen.state.settings.ssl_protocol.value
        with pen.changing():
            pen.state.settings.ssl_protocol = protocol
        return None

    def save(pen: Pen) -> Iterable[str]:
        yield f"ssl_protocol {pen.state.settings.ssl_protocol.value}"

    words = "|".join(protocol.value for protocol in Protocol)
    help = "versions of TLS to speak (-L); ssl23: 1.2 and up, the best both sides can"
    arguments = (optional(words, _protocol),)
    registry.add(Command("ssl_protocol", help, run, arguments, save, asks=Asks.BARE))


def _protocol(word: str) -> Protocol:
    if word in OBSOLETE_PROTOCOLS:
        raise CommandError(
            f"'{word}' is not safe and no longer spoken (RFC 8996); leave it out, or use ssl23,"
            " which is TLS 1.2 and up, whatever both sides can"
        )
    return Protocol(choice(*(protocol.value for protocol in Protocol))(word))


def _declare_option(registry: Registry) -> None:
    known = choice(*(option.value for option in SslOption))

    def add(pen: Pen, option: SslOption) -> None:
        with pen.changing():
            pen.state.settings.ssl_options |= {option}

    def clear(pen: Pen) -> None:
        with pen.changing():
            pen.state.settings.ssl_options = frozenset()

    def save(pen: Pen) -> Iterable[str]:
        yield "no ssl_option"
        for name in sorted(option.value for option in pen.state.settings.ssl_options):
            yield f"ssl_option {name}"

    words = "|".join(option.value for option in SslOption)
    argument = Argument(words, lambda word: SslOption(known(word)))
    help = "switch on one more of OpenSSL's options"
    registry.add(Command("ssl_option", help, add, (argument,), save))
    registry.add(Command("no ssl_option", "all such options off", clear))
