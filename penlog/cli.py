"""The command line of penlog: standard input to penlogd, until end of file and not before."""

import os
import signal
import socket
import sys

import click

from penlog.channel import Peer
from penlog.logger import Ending, Logger
from penlog.sender import LARGEST, connect
from penlog.spoolfolder import SpoolFolder, Stream
from penlog.tlsfiles import TlsFiles
from penlog.transport import Transport, Way

SPOOL = "/var/spool/penlog"
"""Where root's loggers spool if not told otherwise."""


def _port(_: click.Context, __: click.Parameter, text: str) -> str:
    if text.isascii() and text.isdigit() and not 0 < int(text) < 65536:
        raise click.BadParameter(f"{text}: a port is a number from 1 to 65535")
    return text


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # not needed, nor loaded, when Apache starts us

        click.echo(f"penlog, version {version('pen-suite')}")
        context.exit()


@click.command(
    context_settings={"help_option_names": ["--help"]},
    epilog='In httpd.conf: CustomLog "|/usr/local/bin/penlog loghost 10000" combined',
)
@click.option(
    "--max-datagram", metavar="BYTES", type=click.IntRange(512, LARGEST), default=LARGEST,
    show_default=True, help="Cut longer lines, for networks that lose fragments.",
)  # fmt: skip
@click.option(
    "--reliable", "wish", flag_value=Way.RELIABLE.value,
    help="Only deliver over TCP with acknowledgements; wait for a penlogd that can.",
)  # fmt: skip
@click.option(
    "--plain", "wish", flag_value=Way.PLAIN.value,
    help="Only send datagrams. By default penlog finds out what penlogd can.",
)  # fmt: skip
@click.option(
    "--spool", metavar="DIR", type=click.Path(file_okay=False),
    help=f"Keep lines there until penlogd has them.  [default: {SPOOL} if root, else memory]",
)  # fmt: skip
@click.option(
    "--spool-limit", metavar="MIB", type=click.IntRange(1, 1 << 20), default=1024,
    show_default=True, help="Keep no more than this; beyond it new lines are lost and counted.",
)  # fmt: skip
@click.option(
    "--tls", metavar="CAFILE", type=click.Path(dir_okay=False),
    help="Deliver reliably over TLS, to a penlogd that CAFILE's authorities vouch for.",
)  # fmt: skip
@click.option(
    "--tls-cert", metavar="FILE", type=click.Path(dir_okay=False),
    help="Show this certificate; its key is in the same file.",
)  # fmt: skip
@click.option(
    "--tls-name", metavar="NAME", help="The name in penlogd's certificate.  [default: SERVER_IP]"
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show the version and exit.",
)  # fmt: skip
@click.argument("server_ip")
@click.argument("server_port", callback=_port)
@click.argument("my_ip", required=False)
def main(
    max_datagram: int,
    wish: str | None,
    spool: str | None,
    spool_limit: int,
    tls: str | None,
    tls_cert: str | None,
    tls_name: str | None,
    server_ip: str,
    server_port: str,
    my_ip: str | None,
) -> None:
    """Send a web server's log, read from stdin, to penlogd at SERVER_IP, port SERVER_PORT.

    MY_IP is the address to send from: penlogd knows a web server by it, so it must be the one that
    pen was given. Reads on until end of file, whatever signals come, and never makes the web server
    wait.

    To a penlogd of this suite each line is delivered exactly once, over TCP: lines wait in the
    spool until penlogd has them. To any other, each line goes as one UDP datagram.
    """
    way = Way.RELIABLE if tls else Way(wish or Way.ASKING.value)
    try:
        if tls and wish == Way.PLAIN.value:
            raise click.UsageError("--tls and --plain: datagrams cannot be encrypted")
        udp = _connected(server_ip, server_port, my_ip)
        peer = _peer(udp, my_ip, tls, tls_cert, tls_name or server_ip)
        folder = _spool_folder(spool, [server_ip, server_port, my_ip or "any"], spool_limit << 20)

        def make(stream: Stream, way: Way) -> Transport:
            known = folder is not None and folder.known
            return Transport(stream, peer, udp, way, known=known, largest=max_datagram)

        logger = Logger(0, folder, make, way, _say, _heed_signals())
    except PenlogError as error:
        sys.exit(f"penlog: {error}")
    try:
        logger.run()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        _say(f"standard input: {error.strerror}")


class PenlogError(Exception):
    """What was asked for cannot be had; the message says why."""


def _connected(server_ip: str, server_port: str, my_ip: str | None) -> socket.socket:
    try:
        return connect(server_ip, server_port, my_ip)
    except OSError as error:
        place = f"{server_ip} port {server_port}" + (f" from {my_ip}" if my_ip else "")
        raise PenlogError(f"cannot send to {place}: {error.strerror or error}") from error


def _peer(
    udp: socket.socket, my_ip: str | None, authority: str | None, cert: str | None, name: str
) -> Peer:
    """Return where the datagrams go to, as a place for connections."""
    local = udp.getsockname()[0] if my_ip else None
    if authority is None:
        if cert:
            raise click.UsageError("--tls-cert needs --tls")
        return Peer(udp.family, udp.getpeername(), local)
    from penlog.tls import sender_context  # only where TLS is asked for: it takes a while

    try:
        context = sender_context(TlsFiles(authority, cert))
    except OSError as error:
        raise PenlogError(f"--tls {authority}: {error.strerror or error}") from error
    return Peer(udp.family, udp.getpeername(), local, context, name)


def _spool_folder(path: str | None, destination: list[str], limit: int) -> SpoolFolder | None:
    """Return the folder that was asked for, or the usual one if it can be had."""
    if path is None and os.geteuid() != 0:
        return None
    try:
        return SpoolFolder(path or SPOOL, destination, limit)
    except OSError as error:
        if path is None:
            return None
        raise PenlogError(f"--spool {path}: {error.strerror}") from error


def _heed_signals() -> Ending:
    """Outlive all that ends a web server but its closing of the pipe.

    Apache sends TERM to the loggers of the old generation at a graceful restart, while its workers
    still write to them. Once all is read, TERM ends the sending of what is left.
    """
    ending = Ending()

    def end(*_: object) -> None:
        ending.asked = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not os.isatty(0):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return ending


def _say(text: str) -> None:
    try:
        print(f"penlog: {text}", file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody listens
