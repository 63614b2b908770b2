"""Where the request log goes: a file, a penlogd, or nowhere.

What is logged is each piece that a client sent; the formats are `penlog.records`.
"""

from collections.abc import Callable

from pen.core.address import Resolve
from pen.logs.filelog import FileLog
from pen.logs.log import RequestLog, is_network
from pen.logs.penlogdlog import Loop, PenlogdLog

__all__ = ["FileLog", "PenlogdLog", "RequestLog", "is_network", "open_log"]


def open_log(
    target: str, find: Resolve, loop: Loop, on_new_receiver: Callable[[], object]
) -> RequestLog:
    """Open a log by its name: with a ``:`` and no leading ``/`` it is ``host:port``.

    Args:
        target: Its name.
        find: Gives the address of a host.
        loop: What drives it.
        on_new_receiver: Called when a penlogd answers that knows nothing yet.

    Raises:
        PenError: the file cannot be written, or the host not be found.
    """
    if is_network(target):
        return PenlogdLog(target, find, loop, on_new_receiver)
    return FileLog(target)
