"""The command line of penlog: standard input to penlogd, until end of file and not before."""

import os
import select
import signal
import socket
import sys
import time

import click

from penlog.lines import LineSplitter
from penlog.sender import LARGEST, Sender, connect

PIECE = 256 << 10
"""Bytes read at once."""

PATIENCE = 5.0
"""Seconds to wait at end of file for a network that takes nothing."""


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
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show the version and exit.",
)  # fmt: skip
@click.argument("server_ip")
@click.argument("server_port", callback=_port)
@click.argument("my_ip", required=False)
def main(max_datagram: int, server_ip: str, server_port: str, my_ip: str | None) -> None:
    """Send a web server's log, read from stdin, to penlogd at SERVER_IP, UDP port SERVER_PORT.

    MY_IP is the address to send from: penlogd knows a web server by it, so it must be the one that
    pen was given. Reads on until end of file, whatever signals come, and never makes the web server
    wait. Lines that had to be cut or got lost are told on stderr at the end.
    """
    try:
        sock = connect(server_ip, server_port, my_ip)
    except OSError as error:
        place = f"{server_ip} port {server_port}" + (f" from {my_ip}" if my_ip else "")
        sys.exit(f"penlog: cannot send to {place}: {error.strerror or error}")
    _ignore_signals()
    sender = Sender(sock, largest=max_datagram)
    splitter = LineSplitter()
    _copy(splitter, sender, sock)
    _report(splitter, sender)


def _ignore_signals() -> None:
    """Outlive all that ends a web server but its closing of the pipe.

    Apache sends TERM to the loggers of the old generation at a graceful restart, while its workers
    still write to them.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not os.isatty(0):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _copy(splitter: LineSplitter, sender: Sender, sock: socket.socket) -> None:
    """Send all lines of standard input."""
    try:
        while piece := _next_piece(sender, sock):
            sender.send(splitter.feed(piece))
    except KeyboardInterrupt:
        pass
    except OSError as error:
        print(f"penlog: standard input: {error.strerror}", file=sys.stderr)
    sender.send(splitter.end())
    deadline = time.monotonic() + PATIENCE
    while sender.waiting and (left := deadline - time.monotonic()) > 0:
        select.select([], [sock], [], left)
        sender.flush()
    sender.give_up()


def _next_piece(sender: Sender, sock: socket.socket) -> bytes:
    """Read on; while datagrams wait, send them as the network takes them."""
    while sender.waiting:
        readable, writable, _ = select.select([0], [sock], [])
        if writable:
            sender.flush()
        if readable:
            break
    return os.read(0, PIECE)


def _report(splitter: LineSplitter, sender: Sender) -> None:
    told = []
    if sender.cut or splitter.shortened:
        told.append(f"{sender.cut} lines were too long and were cut")
    if sender.lost:
        told.append(f"at least {sender.lost} lines were lost: penlogd or the network was away")
    if told:
        print(f"penlog: {'; '.join(told)}", file=sys.stderr)
