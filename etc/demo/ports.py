"""Local ports: a free one, and whether a program already serves there."""

import socket
from pathlib import Path

_UNCONNECTED = "07"  # the state of a waiting UDP socket in /proc/net/udp, proc(5)


def free_port(host: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of this address that nobody uses at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(host: str, port: int) -> bool:
    """Tell whether a TCP server is there, by connecting to it."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def receives(port: int) -> bool:
    """Tell whether a UDP server is there; one cannot connect to that, so the kernel is asked."""
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == _UNCONNECTED and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


def answers(path: str, command: bytes) -> bool:
    """Tell whether a program answers a command on its Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(path)
            connection.sendall(command + b"\n")
            return bool(connection.recv(100))
        except OSError:
            return False
