"""The command line of penlogd: options in, a running collector out."""

import gc
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import click

from penlog.tlsfiles import TlsFiles
from penlogd.acceptor import Acceptor
from penlogd.accesslog import LineFormat, Order
from penlogd.attribution import Attribution
from penlogd.collector import Collector, signal_socket
from penlogd.connections import Connections
from penlogd.consolidator import Consolidator, canonical
from penlogd.daemon import (
    DaemonError,
    Messages,
    PidFile,
    SyslogMessages,
    TerminalMessages,
    become_daemon,
    drop_privileges,
    enter_chroot,
    find_user,
)
from penlogd.intake import Intake
from penlogd.journal import Journal, JournalInUseError
from penlogd.options import chosen_format, format_option, server_format_option
from penlogd.ordering import ReorderBuffer
from penlogd.receiver import Receiver
from penlogd.senders import Senders
from penlogd.sink import Sink

if TYPE_CHECKING:
    import ssl

SPARED = 10.0
"""Seconds, beyond the hold, for which records stay in the cache whatever -n says."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    host: str
    port: str
    foreground: bool
    debug: bool
    chroot: str | None
    logfile: str | None
    cache: int
    pidfile: str | None
    user: str | None
    hold: float
    order: Order
    line_format: LineFormat
    servers: dict[bytes, bytes]
    journal: str | None
    sync: bool
    allow: tuple[str, ...]
    tls: TlsFiles


def _listening_address(_: click.Context, __: click.Parameter, text: str) -> tuple[str, str]:
    """Split ``port``, ``host:port`` or ``[v6 address]:port``."""
    host, _colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not port:
        raise click.BadParameter(f"{text}: no port after the colon")
    if port.isascii() and port.isdigit() and not 0 < int(port) < 65536:
        raise click.BadParameter(f"{port}: a port is a number from 1 to 65535")
    return host, port


def _named_servers(
    _: click.Context, __: click.Parameter, words: tuple[str, ...]
) -> dict[bytes, bytes]:
    """Read ``name=address`` pairs."""
    servers: dict[bytes, bytes] = {}
    for word in words:
        name, equals, address = word.partition("=")
        if not (name and equals and address):
            raise click.BadParameter(f"{word}: expected name=address")
        servers[name.encode()] = canonical(address)
    return servers


@click.command(
    context_settings={"help_option_names": ["--help"]},
    epilog="Example: penlogd -l /var/log/access_log -p /run/penlogd.pid 10000",
)
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground.")
@click.option("-d", "--debug", is_flag=True, help="Say more: on stderr with -f, else to syslog.")
@click.option("-j", "--chroot", metavar="DIR", help="Make DIR the root; FILEs are found inside it.")
@click.option("-l", "--logfile", metavar="FILE", help="Append to FILE instead of stdout.")
@click.option(
    "-n", "--cache", metavar="N", type=click.IntRange(1, 500_000), default=1000, show_default=True,
    help="Records of pen's to keep, beyond those of the last seconds.",
)  # fmt: skip
@click.option("-p", "--pidfile", metavar="FILE", help="Write the process id to FILE.")
@click.option("-u", "--user", metavar="USER", help="Run as USER, with USER's groups.")
@click.option("-b", "--unbuffered", is_flag=True, help="Write each line at once: --hold 0.")
@click.option(
    "--hold", metavar="SECONDS", type=click.FloatRange(0, 3600), default=2.0, show_default=True,
    help="Hold lines back this long to put them in time order; 0 writes each as it comes.",
)  # fmt: skip
@click.option(
    "--order", type=click.Choice([order.value for order in Order]), default="stamp",
    show_default=True, help="Put lines in the order of their stamps, or of requests' start or end.",
)  # fmt: skip
@format_option
@server_format_option
@click.option(
    "--server-field", metavar="FIELD",
    help="The directive or variable that tells which server a line is from.",
)  # fmt: skip
@click.option(
    "--server", "servers", metavar="NAME=ADDRESS", multiple=True, callback=_named_servers,
    help="The address of the server that syslog or --server-field calls NAME.",
)  # fmt: skip
@click.option(
    "--journal", metavar="PATH",
    help="Keep what is not written yet in PATH.0 and .1; none: nowhere.  [default: FILE.journal]",
)  # fmt: skip
@click.option("--sync", is_flag=True, help="Acknowledge only what the disk has, not the kernel.")
@click.option(
    "--allow", metavar="NETWORK", multiple=True,
    help="Take lines and records only from there, as 192.0.2.0/24; may be repeated.",
)  # fmt: skip
@click.option(
    "--tls-cert", metavar="FILE", help="Speak TLS on connections, with this certificate and key.",
)  # fmt: skip
@click.option("--tls-key", metavar="FILE", help="The certificate's key.")
@click.option(
    "--tls-ca", metavar="FILE",
    help="Senders must show a certificate that FILE's authorities vouch for.",
)  # fmt: skip
@click.version_option(version("pen-suite"), prog_name="penlogd")
@click.argument("address", metavar="[HOST:]PORT", callback=_listening_address)
def main(
    foreground: bool,
    debug: bool,
    chroot: str | None,
    logfile: str | None,
    cache: int,
    pidfile: str | None,
    user: str | None,
    unbuffered: bool,
    hold: float,
    order: str,
    formats: tuple[str, ...],
    own: tuple[tuple[str, str], ...],
    server_field: str | None,
    servers: dict[bytes, bytes],
    journal: str | None,
    sync: bool,
    allow: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    tls_ca: str | None,
    address: tuple[str, str],
) -> None:
    """Make one log of the logs of all web servers behind pen.

    Receives on the UDP and the TCP port what pen (pen -l thishost:port) and penlog send. In each
    web server's line it puts the real client in place of pen, and writes the lines in time order.

    Signal HUP reopens the log file, USR1 tells statistics, TERM writes all that is held and ends.
    """
    options = Options(
        *address, foreground, debug, chroot, logfile, cache, pidfile, user,
        0.0 if unbuffered else hold, Order(order),
        chosen_format(formats, [(canonical(server), text) for server, text in own], server_field),
        servers, journal, sync, allow, TlsFiles(tls_ca, tls_cert, tls_key),
    )  # fmt: skip
    if (tls_key or tls_ca) and not tls_cert:
        raise click.UsageError("--tls-key and --tls-ca need --tls-cert")
    try:
        _run(options)
    except DaemonError as error:
        print(f"penlogd: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        print("penlogd: standard output was closed by its reader", file=sys.stderr)
        sys.exit(1)


def _run(options: Options) -> None:
    """Try all that can fail, go into the background, collect.

    Raises:
        DaemonError: Something that was asked for cannot be had.
    """
    messages = _messages(options)
    terminal = TerminalMessages("penlogd", debugging=options.debug)
    user = find_user(options.user) if options.user else None
    senders = _senders(options)
    context = _tls_context(options.tls)
    signals = signal_socket()  # before anybody can send lines, which TERM must not lose
    receiver = _receiver(options)
    acceptor = _acceptor(options, receiver, senders, context, terminal)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    if options.chroot:
        enter_chroot(options.chroot)
    pidfile = PidFile(options.pidfile) if options.pidfile else None
    sink = _sink(options, messages)
    journal = _journal(options, sink, terminal)
    consolidator = _consolidator(options)
    intake = Intake(consolidator, journal, sync=options.sync)
    _recover(intake, sink, terminal)
    if user is not None:
        if options.logfile:
            os.fchown(sink.fd, user.pw_uid, -1)  # so that it can be opened again on HUP
        if journal is not None:
            journal.chown(user.pw_uid)
        drop_privileges(user)
    terminal.debug(f"receive buffer of {receiver.buffer_size()} bytes")
    if not options.foreground:
        become_daemon(null)
    if pidfile is not None:
        pidfile.write()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)  # lines and records are many and make no cycles
    try:
        Collector(signals, receiver, acceptor, senders, consolidator, intake, sink, messages).run()
    finally:
        if pidfile is not None:
            pidfile.remove()


def _messages(options: Options) -> Messages:
    kind = TerminalMessages if options.foreground else SyslogMessages
    return kind("penlogd", debugging=options.debug)


def _receiver(options: Options) -> Receiver:
    try:
        return Receiver(options.host, options.port)
    except OSError as error:
        place = f"{options.host}:{options.port}" if options.host else f"port {options.port}"
        raise DaemonError(f"cannot listen on {place}: {error.strerror}") from error


def _sink(options: Options, messages: Messages) -> Sink:
    try:
        return Sink(options.logfile, messages.say)
    except OSError as error:
        raise DaemonError(f"log file {options.logfile}: {error.strerror}") from error


def _senders(options: Options) -> Senders:
    try:
        return Senders(list(options.allow))
    except ValueError as error:
        raise DaemonError(f"--allow: {error}") from error


def _tls_context(files: TlsFiles) -> "ssl.SSLContext | None":
    if not files.certificate:
        return None
    from penlog.tls import receiver_context  # only where TLS is asked for: it takes a while

    try:
        return receiver_context(files)
    except OSError as error:
        named = ", ".join(filter(None, (files.certificate, files.key, files.authority)))
        raise DaemonError(f"TLS with {named}: {error.strerror or error}") from error


def _acceptor(
    options: Options,
    receiver: Receiver,
    senders: Senders,
    context: "ssl.SSLContext | None",
    messages: Messages,
) -> Acceptor:
    """Listen for connections; do without if others have the port, which C's penlogd left free."""
    try:
        return Acceptor(receiver.addresses(), context, senders.welcome)
    except OSError as error:
        trouble = f"cannot listen on TCP port {options.port}: {error.strerror}"
        if context is not None:
            raise DaemonError(trouble) from error
        messages.say(f"{trouble}; taking datagrams only")
        return Acceptor([], None, senders.welcome)


def _journal(options: Options, sink: Sink, messages: Messages) -> Journal | None:
    """Return the journal that was asked for, or the usual one if it can be had."""
    path = options.journal
    if path == "none":
        return None
    if path is None:
        if options.logfile is None or not sink.is_file:
            return None
        path = f"{options.logfile}.journal"
    try:
        return Journal(path)
    except JournalInUseError as error:
        raise DaemonError(f"journal {path}: {error.strerror}; see --journal") from error
    except OSError as error:
        if options.journal is not None:
            raise DaemonError(f"journal {path}: {error.strerror}") from error
        messages.say(f"journal {path}: {error.strerror}; a crash will lose what is held")
        return None


def _recover(intake: Intake, sink: Sink, messages: Messages) -> None:
    """Go on where a penlogd that was killed stopped."""
    try:
        recovered = intake.recover()
    except OSError as error:
        raise DaemonError(f"journal: {error.strerror}") from error
    undone = sink.cut_back(recovered.mark) if recovered.mark else 0
    if recovered.waiting or undone:
        messages.say(
            f"the last run ended early: {recovered.waiting} lines taken up from the journal, "
            f"{undone} bytes of log undone, to be written again"
        )


def _consolidator(options: Options) -> Consolidator:
    hold = options.hold
    return Consolidator(
        options.line_format,
        Attribution(options.cache, spared=hold + SPARED if hold else 0.0),
        Connections(hold + SPARED),
        ReorderBuffer(hold) if hold else None,
        order=options.order,
        servers=options.servers,
    )
