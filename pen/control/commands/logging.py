"""What pen tells: the request log, the status page, debugging."""

from collections.abc import Iterable

from pen.control.arguments import number, optional, word
from pen.control.commands.settings import declare_flag, declare_number
from pen.control.context import Pen
from pen.control.registry import Asks, Command, Registry
from pen.control.words import quote


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    _declare_target(registry, "log", "log requests to a file, or to penlogd at host:port", "do not")
    _declare_target(
        registry, "web_stats", "the file that USR1 writes the status page to", "write no page"
    )
    declare_flag(registry, "ascii", "communication dumps as text", "communication dumps in hex")
    declare_number(registry, "debug", "N", number(0, 9), "how much is told on stderr or syslog")


def _declare_target(registry: Registry, name: str, on: str, off: str) -> None:
    def run(pen: Pen, target: str | None = None) -> str:
        if target is not None:
            with pen.changing():
                setattr(pen.state.settings, name, target)
        return getattr(pen.state.settings, name) or "\n"

    def none(pen: Pen) -> None:
        with pen.changing():
            setattr(pen.state.settings, name, None)

    def save(pen: Pen) -> Iterable[str]:
        target = getattr(pen.state.settings, name)
        yield f"{name} {quote(target)}" if target else f"no {name}"

    target = (optional("TARGET", word),)
    registry.add(Command(name, on, run, target, save, asks=Asks.BARE))
    registry.add(Command(f"no {name}", off, none))
