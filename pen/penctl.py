"""penctl: send one command to a running pen and print the reply."""

import socket
import sys

import click

from pen import __version__
from pen.control.commands import make_registry
from pen.core.address import parse_listen
from pen.core.errors import PenError

TIMEOUT = 30.0
"""Seconds to wait for pen to connect, and for each part of its reply."""
PIECE = 65536

HELP = """Send a command to the pen that listens for control at ADDR, print the reply.

ADDR is what pen's -C option says: a port, host:port, [v6]:port or a socket path. The
exit status is 0, or 1 if pen refused the command or could not be reached.
"""


def ask(address: str, line: str) -> str:
    """Send a line and return the whole reply.

    Raises:
        PenError: the address is no address.
        OSError: pen cannot be reached or does not answer.
    """
    endpoint = parse_listen(address, default_host="127.0.0.1")
    with socket.socket(endpoint.family, socket.SOCK_STREAM) as stream:
        stream.settimeout(TIMEOUT)
        stream.connect(endpoint.sockaddr)
        stream.sendall(line.encode(errors="surrogateescape") + b"\n")
        pieces = []
        while piece := stream.recv(PIECE):
            pieces.append(piece)
    return b"".join(pieces).decode(errors="replace")


def _commands_help() -> str:
    """Every command with its one line of help."""
    shown = [command for command in make_registry() if not command.obsolete]
    lines = [f"  {_shortened(command.usage)}\n      {command.help}" for command in shown]
    return "\b\nCommands:\n" + "\n".join(lines)


def _shortened(usage: str) -> str:
    return usage if len(usage) <= 90 else usage.replace("|", " | ")


def _complete(
    context: click.Context,
    parameter: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[str]:
    """The words that may come next, for the shell's completion."""
    typed = list(context.params.get("words") or ())
    ways = [command.words.split() for command in make_registry() if not command.obsolete]
    following = {way[len(typed)] for way in ways if way[: len(typed)] == typed < way}
    return sorted(word for word in following if word.startswith(incomplete))


@click.command(
    "penctl",
    help=HELP,
    epilog=_commands_help(),
    context_settings={
        "help_option_names": ["--help"],
        "allow_interspersed_args": False,
        "max_content_width": 120,
    },
)
@click.version_option(__version__, message="penctl %(version)s")
@click.argument("address", metavar="ADDR")
@click.argument("words", nargs=-1, required=True, metavar="COMMAND...", shell_complete=_complete)
def command(address: str, words: tuple[str, ...]) -> None:
    """Replaced by HELP."""
    try:
        reply = ask(address, " ".join(words))
    except OSError as error:
        raise PenError(f"no answer from pen at {address}: {error.strerror or error}") from None
    try:
        click.echo(reply, nl=False)
    except BrokenPipeError:
        raise  # click ends quietly
    except OSError as error:
        raise PenError(f"cannot write the reply: {error.strerror}") from None
    if reply.startswith("error:"):
        sys.exit(1)


def main() -> None:
    """Run penctl."""
    try:
        command.main(prog_name="penctl", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"penctl: {error.format_message()} (see penctl --help)", err=True)
        sys.exit(2)
    except PenError as error:
        click.echo(f"penctl: {error}", err=True)
        sys.exit(1)
    except click.Abort:
        sys.exit(130)
