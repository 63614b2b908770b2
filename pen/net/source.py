"""Connecting to servers from a chosen address of this machine (`source IP`)."""

import _socket
import errno
import socket
from typing import Final

from pen.core.applying import Prepared
from pen.core.errors import PenError
from pen.core.settings import Settings
from pen.net.transparent import IP_BIND_ADDRESS_NO_PORT

AF_INET6: Final = int(socket.AF_INET6)


def follow(wanted: Settings, applied: Settings) -> Prepared | None:
    """Make sure that the machine has the address; see `core.applying.Part`."""
    if wanted.source is not None and wanted.source != applied.source:
        family = socket.AF_INET6 if ":" in wanted.source else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((wanted.source, 0))
        except OSError as error:
            raise PenError(
                f"cannot connect from '{wanted.source}': {error.strerror};"
                " it must be an address of this machine"
            ) from None
    return None


def use_address(upstream: _socket.socket, family: int, source: str) -> None:
    """Bind a socket to an address, any port; a server of the other family needs no such.

    Raises:
        OSError: EADDRNOTAVAIL, for none of the reasons is the server's fault.
    """
    if (family == AF_INET6) != (":" in source):
        return
    try:
        upstream.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        upstream.bind((source, 0))
    except OSError as error:
        reason = f"cannot connect from {source}: {error.strerror}"
        raise OSError(errno.EADDRNOTAVAIL, reason) from None
