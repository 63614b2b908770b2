"""Ports for programs that must be told which one to take.

They are below those that Linux gives to connections, which would take one before its program
does. Each run of the tests has a block of them to itself, by holding a socket that has the block's
name; the kernel forgets it with the run. Such names belong to a network namespace, as ports do.
"""

import contextlib
import functools
import itertools
import random
import socket
from collections.abc import Iterator

_FIRST, _SIZE, _BLOCKS = 10_000, 700, 32


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this address that nobody has, be it for TCP or UDP."""
    _, ports = _block()
    return next(port for port in itertools.islice(ports, _SIZE) if _is_free(host, port))


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind((host, port))
            udp.bind((host, port))
        except OSError:
            return False
    return True


@functools.cache
def _block() -> tuple[socket.socket, Iterator[int]]:
    """The socket that holds this run's block, and its ports, round and round."""
    for number in random.sample(range(_BLOCKS), _BLOCKS):
        holder = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            holder.bind(f"\0ports {number} of a test of the pen suite")
            first = _FIRST + number * _SIZE
            return holder, itertools.cycle(range(first, first + _SIZE))
        holder.close()
    raise RuntimeError(f"{_BLOCKS} runs of the tests go on already")
