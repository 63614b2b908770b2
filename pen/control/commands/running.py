"""The running pen: its addresses, its config, its end."""

import os
from collections.abc import Iterable, Iterator

from pen.control.arguments import named_hosts, optional, word
from pen.control.configfile import ConfigFile, load_config, write_config
from pen.control.context import Pen
from pen.control.registry import Argument, Asks, Command, Registry
from pen.control.words import quote
from pen.core.errors import CommandError


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    registry.add(Command("control", "print the control port's address", _control, asks=Asks.ALWAYS))
    registry.add(Command("exit", "end pen; needs the -X option", _exit))
    registry.add(
        Command(
            "include",
            "run the commands in a file",
            _include,
            (Argument("FILE", word),),
            hosts=lambda config: config.hosts,
            load=lambda pen, path: load_config(registry, path, wait=not pen.running),
        )
    )
    registry.add(
        Command(
            "listen",
            "listen for clients there instead; print where",
            _listen,
            (optional("ADDR", word),),
            _save_listen,
            asks=Asks.BARE,
            hosts=named_hosts,
        )
    )
    registry.add(Command("pid", "print the process id", _pid, asks=Asks.ALWAYS))
    registry.add(Command("status", "print the status page (HTML)", _status, asks=Asks.ALWAYS))

    def write(pen: Pen, path: str | None = None) -> None:
        write_config(registry, pen, path)

    help = "save all settings as a config file (default: the one of -F)"
    registry.add(Command("write", help, write, (optional("FILE", word),)))


def _control(pen: Pen) -> str:
    return pen.controlled_on()


def _exit(pen: Pen) -> str | None:
    if not pen.running:
        raise CommandError("there is nothing to end before pen has started")
    if not pen.state.settings.exit_enabled:
        return "Exit is not enabled; restart with -X flag"
    pen.stop()
    return None


def _include(pen: Pen, config: ConfigFile) -> None:
    config.run(pen)


def _listen(pen: Pen, address: str | None = None) -> str:
    if address is not None:
        with pen.changing():
            pen.state.settings.listen = address
    return pen.listening_on()


def _save_listen(pen: Pen) -> Iterable[str]:
    if pen.state.settings.listen:
        yield f"listen {quote(pen.state.settings.listen)}"


def _pid(pen: Pen) -> str:  # noqa: ARG001
    return str(os.getpid())


def _status(pen: Pen) -> Iterator[str]:
    if not pen.running:
        raise CommandError("there is no status before pen has started")
    return pen.status_page()
