"""Options that penlogd and mergelogs share: which formats the servers' lines have."""

from collections.abc import Sequence

import click

from penlogd.accesslog import LineFormat
from penlogd.fields import FormatError
from penlogd.formats import make_format
from penlogd.helppage import Declare, Decorate


def format_option(declare: Declare) -> Decorate:
    """Declare --format."""
    return declare(
        "--format", "formats", metavar="FORMAT", multiple=True,
        help="LogFormat of Apache, log_format of nginx, or a nickname (combined_ports, "
        "nginx_ports, lighttpd_ports, caddy, ...); may be repeated.",
    )  # fmt: skip


def server_format_option(declare: Declare) -> Decorate:
    """Declare --server-format."""
    return declare(
        "--server-format", "own", metavar="SERVER FORMAT", nargs=2, multiple=True,
        help="A format of one server's lines only.",
    )  # fmt: skip


def chosen_format(
    formats: Sequence[str],
    by_server: Sequence[tuple[bytes, str]] = (),
    server_field: str | None = None,
) -> LineFormat:
    """Return the reader of the formats asked for, as `penlogd.formats.make_format`.

    Raises:
        click.UsageError: One of them cannot be used.
    """
    try:
        return make_format(formats, by_server, server_field)
    except FormatError as error:
        raise click.UsageError(str(error)) from error
