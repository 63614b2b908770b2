"""Connecting to servers from the client's own address (`transparent`, ip(7) IP_TRANSPARENT).

The system lets a socket use an address that is not this machine's; that the servers'
answers come back to this machine is up to its routes (pen(1), TRANSPARENT PROXYING).
"""

import _socket
import errno
import socket
from typing import Final

from pen.core.applying import Prepared
from pen.core.errors import PenError
from pen.core.settings import Settings

AF_INET6: Final = int(socket.AF_INET6)
IPV6_TRANSPARENT: Final = 75
"""Of linux/in6.h, like the next; Python 3.11 has no names for them."""
IP_BIND_ADDRESS_NO_PORT: Final = 24
"""Choose the port at connect(), where one that is in use towards another server will do."""


def follow(wanted: Settings, applied: Settings) -> Prepared | None:
    """Make sure that the system permits it; see `core.applying.Part`."""
    if wanted.transparent and not applied.transparent:
        _try_it()
    return None


def _try_it() -> None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
    except PermissionError:
        raise PenError(
            "'transparent' needs the capability CAP_NET_RAW: start pen as root with"
            " '-o transparent' or the command in its config file, and it is kept with -u"
        ) from None
    except OSError as error:
        raise PenError(f"'transparent' cannot be had here: {error.strerror}") from None


def borrow_address(upstream: _socket.socket, family: int, address: str) -> None:
    """Let a socket that is not yet bound come from the client's address, any port.

    Where that makes no sense it stays as it is and uses an address of this machine: the
    client is on a Unix socket or has a link-local address, or the server is of the other
    family.

    Args:
        upstream: the socket that will connect to a server.
        family: the server's.
        address: the client's, numeric; "" for one on a Unix socket.

    Raises:
        OSError: EADDRNOTAVAIL, for none of the reasons is the server's fault.
    """
    if not address or "%" in address or (family == AF_INET6) != (":" in address):
        return
    try:
        if family == AF_INET6:
            upstream.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        else:
            upstream.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
        upstream.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        upstream.bind((address, 0))
    except OSError as error:
        reason = f"cannot use the client's address {address}: {error.strerror}"
        raise OSError(errno.EADDRNOTAVAIL, reason) from None
