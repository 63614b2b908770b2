"""Where the request log goes: a file, a penlogd over UDP, or nowhere.

What is logged is each piece that a client sent; the formats are `penlog.records`.
"""

from pen.core.address import Resolve
from pen.logs.filelog import FileLog
from pen.logs.log import RequestLog, is_network
from pen.logs.udplog import UdpLog

__all__ = ["FileLog", "RequestLog", "UdpLog", "is_network", "open_log"]


def open_log(target: str, find: Resolve) -> RequestLog:
    """Open a log by its name: with a ``:`` and no leading ``/`` it is ``host:port``.

    Raises:
        PenError: the file cannot be written, or the host not be found.
    """
    return UdpLog(target, find) if is_network(target) else FileLog(target)
