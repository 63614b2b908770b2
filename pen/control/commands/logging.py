"""What pen tells: the log, the status page, debugging."""

from collections.abc import Iterable

from pen.control.arguments import choice, named_hosts, number, optional
from pen.control.commands.settings import declare_flag, declare_name, declare_number
from pen.control.context import Pen
from pen.control.registry import Asks, Command, Registry
from pen.core.settings import LogFormat


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    declare_name(
        registry, "log", "TARGET", "log requests to a file, or to penlogd at host:port", "do not",
        hosts=named_hosts,
    )  # fmt: skip
    kinds = [each.value for each in LogFormat]
    kind = (optional("|".join(kinds), choice(*kinds)),)
    tells = "what the log tells"
    registry.add(Command("log_format", tells, _log_format, kind, _save_log_format, asks=Asks.BARE))
    declare_name(
        registry, "web_stats", "TARGET", "the file that USR1 writes the status page to",
        "write no page",
    )  # fmt: skip
    declare_flag(registry, "ascii", "communication dumps as text", "communication dumps in hex")
    declare_number(registry, "debug", "N", number(0, 9), "how much is told on stderr or syslog")


def _log_format(pen: Pen, kind: str | None = None) -> str:
    if kind is not None:
        with pen.changing():
            pen.state.settings.log_format = LogFormat(kind)
    return pen.state.settings.log_format.value


def _save_log_format(pen: Pen) -> Iterable[str]:
    yield f"log_format {pen.state.settings.log_format.value}"
