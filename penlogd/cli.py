"""The command line of penlogd: words in, options out."""

import sys
from importlib.metadata import version
from typing import Any

import click

from penlog.tlsfiles import TlsFiles
from penlogd.accesslog import Order
from penlogd.consolidator import canonical
from penlogd.daemon import DaemonError
from penlogd.helppage import HeadedCommand, under
from penlogd.options import chosen_format, format_option, server_format_option
from penlogd.starting import Options, run


def _listening_address(_: click.Context, __: click.Parameter, text: str) -> tuple[str, str]:
    """Split ``port``, ``host:port`` or ``[v6 address]:port``."""
    host, _colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not port:
        raise click.BadParameter(f"{text}: no port after the colon")
    if port.isascii() and port.isdigit() and not 0 < int(port) < 65536:
        raise click.BadParameter(f"{port}: a port is a number from 1 to 65535")
    return host, port


def _metrics_address(
    ctx: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[str, str] | None:
    return None if text is None else _listening_address(ctx, parameter, text)


def _named_servers(
    _: click.Context, __: click.Parameter, words: tuple[str, ...]
) -> dict[bytes, bytes]:
    """Read ``name=address`` pairs."""
    servers: dict[bytes, bytes] = {}
    for word in words:
        name, equals, address = word.partition("=")
        if not (name and equals and address):
            raise click.BadParameter(f"{word}: expected name=address")
        servers[name.encode()] = canonical(address)
    return servers


daemon = under("The daemon")
incoming = under("What comes in")
reading = under("How lines are read")
writing = under("How lines are written")
telling = under("What is told of it")


@click.command(
    cls=HeadedCommand,
    context_settings={"help_option_names": ["--help"]},
    epilog="Example: penlogd -l /var/log/access_log -p /run/penlogd.pid 10000",
)
@daemon("-f", "--foreground", is_flag=True, help="Stay in the foreground.")
@daemon("-d", "--debug", is_flag=True, help="Say more: on stderr with -f, else to syslog.")
@daemon("-j", "--chroot", metavar="DIR", help="Make DIR the root; FILEs are found inside it.")
@daemon("-p", "--pidfile", metavar="FILE", help="Write the process id to FILE.")
@daemon("-u", "--user", metavar="USER", help="Run as USER, with USER's groups.")
@incoming(
    "-n", "--cache", metavar="N", type=click.IntRange(1, 500_000), default=1000, show_default=True,
    help="Records of pen's to keep, beyond those of the last seconds.",
)  # fmt: skip
@incoming(
    "--allow", metavar="NETWORK", multiple=True,
    help="Take lines and records only from there, as 192.0.2.0/24; may be repeated.",
)  # fmt: skip
@incoming("--no-datagrams", is_flag=True, help="Take nothing but what comes over connections.")
@incoming(
    "--tls-cert", metavar="FILE", help="Speak TLS on connections, with this certificate and key.",
)  # fmt: skip
@incoming("--tls-key", metavar="FILE", help="The certificate's key.")
@incoming(
    "--tls-ca", metavar="FILE",
    help="Senders must show a certificate that FILE's authorities vouch for.",
)  # fmt: skip
@incoming(
    "--journal", metavar="PATH",
    help="Keep what is not written yet in PATH.0 and .1; none: nowhere.  [default: FILE.journal]",
)  # fmt: skip
@incoming("--sync", is_flag=True, help="Acknowledge only what the disk has, not the kernel.")
@format_option(reading)
@server_format_option(reading)
@reading(
    "--server-field", metavar="FIELD",
    help="The directive or variable that tells which server a line is from.",
)  # fmt: skip
@reading(
    "--server", "servers", metavar="NAME=ADDRESS", multiple=True, callback=_named_servers,
    help="The address of the server that syslog or --server-field calls NAME.",
)  # fmt: skip
@writing("-l", "--logfile", metavar="FILE", help="Append to FILE instead of stdout.")
@writing("-b", "--unbuffered", is_flag=True, help="Write each line at once: --hold 0.")
@writing(
    "--hold", metavar="SECONDS", type=click.FloatRange(0, 3600), default=2.0, show_default=True,
    help="Hold lines back this long to put them in time order; 0 writes each as it comes.",
)  # fmt: skip
@writing(
    "--order", type=click.Choice([order.value for order in Order]), default="stamp",
    show_default=True, help="Put lines in the order of their stamps, or of requests' start or end.",
)  # fmt: skip
@telling("--status", metavar="FILE", help="Keep what is counted in FILE, each second anew.")
@telling(
    "--metrics", metavar="[HOST:]PORT", callback=_metrics_address,
    help="Tell Prometheus there what is counted; without HOST, on 127.0.0.1 only.",
)  # fmt: skip
@click.version_option(version("pen-suite"), prog_name="penlogd")
@click.argument("address", metavar="[HOST:]PORT", callback=_listening_address)
def main(
    address: tuple[str, str],
    unbuffered: bool,
    hold: float,
    order: str,
    formats: tuple[str, ...],
    own: tuple[tuple[str, str], ...],
    server_field: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    tls_ca: str | None,
    **as_given: Any,
) -> None:
    """Make one log of the logs of all web servers behind pen.

    Receives on the UDP and the TCP port what pen (pen -l thishost:port) and penlog send. In each
    web server's line it puts the real client in place of pen, and writes the lines in time order.

    Signal HUP reopens the log file, USR1 tells statistics, TERM writes all that is held and ends.
    """
    if (tls_key or tls_ca) and not tls_cert:
        raise click.UsageError("--tls-key and --tls-ca need --tls-cert")
    by_server = [(canonical(server), text) for server, text in own]
    options = Options(
        *address,
        hold=0.0 if unbuffered else hold,
        order=Order(order),
        line_format=chosen_format(formats, by_server, server_field),
        tls=TlsFiles(tls_ca, tls_cert, tls_key),
        **as_given,
    )
    try:
        run(options)
    except DaemonError as error:
        print(f"penlogd: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        print("penlogd: standard output was closed by its reader", file=sys.stderr)
        sys.exit(1)
