"""The suite's main job on one machine: `python etc/demo`, or `make run`.

The order to read in: `story` (what is shown), `farm` (how the programs are wired together, which is
what you would do on real machines), `webserver` and `statuspage` (the web servers' side and the
CGI's), then `processes` and `ports`.
"""

import socket
import sys
from pathlib import Path

import click
from farm import LOOPBACK, Farm, Suite
from ports import free_port
from processes import ProcessError, Processes
from story import StoryError, introduce_own, stay, tell


def checked_listen(_context: click.Context, _option: click.Parameter, text: str | None) -> str:
    """Check --listen and bring it to a form with a port number; the default is a free port."""
    if text is None:
        return f"{LOOPBACK}:{free_port(LOOPBACK)}"
    host, colon, port = text.rpartition(":")
    try:
        number = int(port) if port.isascii() and port.isdigit() else socket.getservbyname(port)
    except OSError:
        number = 0
    if not 0 < number < 65536:
        raise click.BadParameter(f"{text!r} does not end with a port (1 to 65535, or a name)")
    return f"{host}{colon}{number}"


@click.command()
@click.option(
    "--listen",
    metavar="ADDRESS",
    callback=checked_listen,
    help="Where pen listens: port or host:port.  [default: a free port of 127.0.0.1]",
)
@click.option(
    "--bin",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(sys.executable).parent,
    help="Where pen, penctl, penlog, penlogd and penstats are.  [default: beside this Python]",
)
@click.argument("servers", nargs=-1, metavar="[SERVER]...")
def main(listen: str, folder: Path, servers: tuple[str, ...]) -> None:
    """Show the pen suite at work, with all it needs on this machine's loopback addresses.

    Two web servers stand behind pen, each with a log pipe to penlog; penlogd makes one log of
    theirs, with the clients' addresses; penstats shows the status page. On a terminal all stays up
    until Ctrl-C.

    With SERVERs (host:port) pen balances those instead, until Ctrl-C.
    """
    try:
        with Processes() as processes:
            farm = Farm(Suite(folder), processes, listen)
            if servers:
                balance(farm, list(servers))
            else:
                demonstrate(farm)
    except KeyboardInterrupt:
        click.echo("\nmake run: interrupted", err=True)
        sys.exit(130)
    except (ProcessError, StoryError) as error:
        click.echo(f"\nmake run: {error}", err=True)
        sys.exit(1)
    click.echo("\nAll that was started has ended.")


def demonstrate(farm: Farm) -> None:
    """Show the main job; on a terminal, keep it up."""
    farm.start_penlogd()
    farm.start_web_server("www1", "127.0.1.1")
    farm.start_web_server("www2", "127.0.1.2")
    farm.start_pen([f"{server.host}:{server.port}" for server in farm.web_servers])
    with farm.status_page() as page:
        tell(farm, page.url)
        if sys.stdin.isatty():
            stay(farm)


def balance(farm: Farm, servers: list[str]) -> None:
    """Run pen in front of the user's own servers."""
    farm.start_pen(servers)
    with farm.status_page() as page:
        introduce_own(farm, page.url)
        stay(farm)


if __name__ == "__main__":
    main(prog_name="python etc/demo")
