"""What pen tells: the request log, the status page, debugging."""

from pen.control.arguments import number
from pen.control.commands.settings import declare_flag, declare_name, declare_number
from pen.control.registry import Registry


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    declare_name(
        registry, "log", "TARGET", "log requests to a file, or to penlogd at host:port", "do not"
    )
    declare_name(
        registry, "web_stats", "TARGET", "the file that USR1 writes the status page to",
        "write no page",
    )  # fmt: skip
    declare_flag(registry, "ascii", "communication dumps as text", "communication dumps in hex")
    declare_number(registry, "debug", "N", number(0, 9), "how much is told on stderr or syslog")
