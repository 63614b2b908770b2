"""The commands, by subject; `make_registry` gathers them."""

from pen.control.commands import (
    access,
    connections,
    dsr,
    http,
    logging,
    modes,
    running,
    servers,
    special,
    tables,
    tls,
    udp,
    upstream,
)
from pen.control.registry import Registry


def make_registry() -> Registry:
    """Every command there is."""
    registry = Registry()
    for subject in (
        access,
        connections,
        dsr,
        http,
        logging,
        modes,
        running,
        servers,
        special,
        tables,
        tls,
        udp,
        upstream,
    ):
        subject.declare(registry)
    return registry
