"""The command line of pen: the only file that knows option letters.

Options that are settings become control commands where there is one, so that a value
is checked in one place; they run in the order in which they were given.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from pen import __version__, daemon
from pen.balancer import Balancer
from pen.control.arguments import mode as parse_mode
from pen.control.ports import control_address
from pen.control.words import quote
from pen.core.errors import PenError, ResolveError, UsageError
from pen.core.settings import ControlAddress
from pen.options import Options, Step

USAGE_ERROR = 2
FAILURE = 1


@dataclass(frozen=True, slots=True)
class SettingOption:
    """An option that is a setting."""

    letter: str | None
    long: str
    help: str
    metavar: str | None = None
    """What it takes; None: nothing."""
    command: str | None = None
    """The control command it stands for, ``{}`` being its value; or"""
    setting: str | None = None
    """the setting it gives its value, where there is no command."""

    def step(self, value: Any) -> Step:
        """What the option asks for, given this value."""
        name = f"-{self.letter}" if self.letter else f"--{self.long}"
        if self.command is not None:
            word = quote(value) if isinstance(value, str) and self.command != "{}" else value
            return Step(name, command=self.command.format(word))
        return Step(name, setting=self.setting, value=value)

    def declare(self) -> click.Option:
        """The option, for click."""
        names = [f"--{self.long}", self.long.replace("-", "_")]
        if self.letter:
            names.insert(0, f"-{self.letter}")
        if self.metavar is None:
            return click.Option(names, is_flag=True, help=self.help)
        return click.Option(names, metavar=self.metavar, multiple=True, help=self.help)


SETTING_OPTIONS = (
    SettingOption("a", "ascii", "Communication dumps as text, not hex.", command="ascii"),
    SettingOption(
        "b", "blacklist", "Leave a failed server alone for SEC seconds [30].",
        "SEC", command="blacklist {}",
    ),
    SettingOption(
        "c", "clients-max", "Remember up to N clients [2048].",
        "N", command="clients_max {}",
    ),
    SettingOption(
        "A", "ssl-ca-dir", "Like -G, a directory of certificates under their hashes.",
        "DIR", command="ssl_ca_dir {}",
    ),
    SettingOption(
        "E", "ssl-certificate", "Serve TLS with the certificate (and chain) in FILE.",
        "FILE", command="ssl_certificate {}",
    ),
    SettingOption(
        "G", "ssl-ca-file", "Certificates that vouch for clients (-R) and for our own.",
        "FILE", command="ssl_ca_file {}",
    ),
    SettingOption(
        "K", "ssl-key", "The certificate's key, if it is not in the same file.",
        "FILE", command="ssl_key {}",
    ),
    SettingOption(
        "L", "ssl-protocol", "Speak ssl23 (TLS 1.2 and up), tls1.2 or tls1.3 [ssl23].",
        "PROTOCOL", command="ssl_protocol {}",
    ),
    SettingOption(
        "R", "ssl-require-certificate", "Take only clients with a certificate of -G or -A.",
        command="ssl_require_certificate",
    ),
    SettingOption(
        "Z", "ssl-compatibility", "Work around faults of old TLS clients.",
        command="ssl_compatibility",
    ),
    SettingOption("h", "hash", "Let the client's address choose its server.", command="hash"),
    SettingOption(
        "H", "http", "Add X-Forwarded-For and X-Forwarded-Proto to HTTP requests.", command="http"
    ),
    SettingOption(
        "l", "log", "Log requests to a file, or to a penlogd at HOST:PORT.",
        "FILE", command="log {}",
    ),
    SettingOption(
        None, "log-format", "Log requests, connections or both [requests].",
        "WHAT", command="log_format {}",
    ),
    SettingOption(
        "m", "multi-accept", "Accept up to N connections per wake-up [100].",
        "N", command="multi_accept {}",
    ),
    SettingOption(
        "N", "hash-unsaved", "Let the address choose each time; remember no server.",
        command="hash unsaved",
    ),
    SettingOption(
        "o", "option", "Run a control command at start; see penctl(1).", "CMD", command="{}"
    ),
    SettingOption("O", "command", "The same as -o.", "CMD", command="{}"),
    SettingOption("P", "poll", "Wait for events with poll(2).", command="poll"),
    SettingOption(
        "q", "backlog", "Let the system hold up to N connections for us [500].",
        "N", command="backlog {}",
    ),
    SettingOption(
        "r", "round-robin", "Take servers in turn; do not track clients.", command="roundrobin"
    ),
    SettingOption("s", "stubborn", "Close a client rather than fail over.", command="stubborn"),
    SettingOption(
        "t", "timeout", "Give a server SEC seconds to accept [3].", "SEC", command="timeout {}"
    ),
    SettingOption(
        "T", "tracking", "Remember a client for SEC seconds; 0: for ever [0].",
        "SEC", command="tracking {}",
    ),
    SettingOption("U", "udp", "Serve UDP rather than TCP.", command="udp"),
    SettingOption(
        "w", "web-stats", "Write the status page to FILE on signal USR1.",
        "FILE", command="web_stats {}",
    ),
    SettingOption(
        None, "workers", "Serve with N processes; auto: one a processor [1].",
        "N", command="workers {}",
    ),
    SettingOption("W", "by-weight", "Choose by connections / weight.", command="weight"),
    SettingOption(
        "x", "conn-max", "Allow N connections at once [500].",
        "N", command="conn_max {}",
    ),
    SettingOption(
        "X", "enable-exit", "Let the control command 'exit' work.", setting="exit_enabled"
    ),
)  # fmt: skip

OBSOLETE = (
    ("S", "N", "servers need no maximum"),
    ("D", None, "forwarding is never delayed"),
    ("n", None, "sockets never block"),
    ("Q", None, "kqueue is for BSD systems"),
)

HELP = """Balance TCP or UDP clients over servers.

\b
Listen on a port, an address ([v6]:port for IPv6) or a socket path, and
pass each client to one of the SERVERs, the one it had before if it is up:
\b
  pen 80 www1:8000:10 www2:80:10 www3
\b
is a farm of three web servers, of which www1 and www2 get at most 10
connections at a time. The fields of a SERVER are
host[:port[:max[:hard[:weight[:prio]]]]].

pen goes into the background unless told otherwise (-f). Signals: HUP reopens
the log and reads the config file again, USR1 saves statistics, TERM ends.
"""


class _PenCommand(click.Command):
    """Notes the order in which options were given, as getopt programs honour it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta["order"] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


def make_command() -> click.Command:
    """The command, with all its options."""
    options = [
        click.Option(["-B", "--abuse"], metavar="HOST:PORT",
                     help="Where clients go that client_acl denies."),
        click.Option(["-C", "--control"], metavar="ADDR",
                     help="Listen for control commands on a port, host:port or socket path."),
        click.Option(["--control-mode"], metavar="MODE",
                     help="Permissions of the socket of -C, in octal [600]."),
        click.Option(["--control-group"], metavar="GROUP", help="Group of the socket of -C."),
        click.Option(["-d", "--debug"], count=True,
                     help="Tell what goes on; repeat for more. On stderr with -f, else syslog."),
        click.Option(["-e", "--emergency"], metavar="HOST:PORT",
                     help="The server to use when all others are unavailable."),
        click.Option(["-f", "--foreground"], is_flag=True, help="Stay in the foreground."),
        click.Option(["-F", "--config"], metavar="FILE",
                     help="Run the control commands in FILE, now and on signal HUP."),
        click.Option(["-j", "--chroot"], metavar="DIR", help="Run with DIR as the root."),
        click.Option(["-p", "--pid-file"], metavar="FILE", help="Write the process id to FILE."),
        click.Option(["-u", "--user"], metavar="USER",
                     help="Become USER, its group and its groups, once everything is open."),
        *(option.declare() for option in SETTING_OPTIONS),
        *(_obsolete(letter, metavar) for letter, metavar, _ in OBSOLETE),
        click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False,
                     callback=_version, help="Print the version."),
    ]  # fmt: skip
    return _PenCommand(
        "pen",
        params=[
            *sorted(options, key=lambda option: option.opts[0].lower()),
            click.Argument(["addresses"], nargs=-1, metavar="[LISTEN [SERVER]...]"),
        ],
        callback=_serve,
        help=HELP,
        context_settings={"help_option_names": ["--help"], "max_content_width": 100},
    )


def _obsolete(letter: str, metavar: str | None) -> click.Option:
    names = [f"-{letter}", f"obsolete_{letter}"]
    if metavar is None:
        return click.Option(names, hidden=True, is_flag=True)
    return click.Option(names, hidden=True, metavar=metavar)


def _version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        click.echo(f"pen {__version__}")
        context.exit()


def _steps(given: dict[str, Any], order: Sequence[str | None]) -> list[Step]:
    """The options that are settings, in the order given."""
    by_name = {option.long.replace("-", "_"): option for option in SETTING_OPTIONS}
    values = {
        name: iter(given[name] if option.metavar else [True] * len(order))
        for name, option in by_name.items()
    }
    return [by_name[name].step(next(values[name])) for name in order if name in by_name]


def _control(address: str | None, mode: str | None, group: str | None) -> ControlAddress | None:
    """The control port that -C and the options beside it ask for."""
    if address is None:
        if mode is not None or group is not None:
            raise UsageError("--control-mode and --control-group need a socket path for -C")
        return None
    try:
        return control_address(address, None if mode is None else parse_mode(mode), group)
    except ResolveError:
        raise
    except PenError as error:
        raise UsageError(f"option -C: {error}") from None


def _serve(addresses: tuple[str, ...], **given: Any) -> None:
    context = click.get_current_context()
    for letter, metavar, reason in OBSOLETE:
        if given[f"obsolete_{letter}"]:
            shown = f"-{letter} {metavar}" if metavar else f"-{letter}"
            click.echo(f"pen: {shown} is obsolete and does nothing: {reason}", err=True)
    steps = _steps(given, context.meta["order"])
    if given["debug"]:
        steps.insert(0, Step("-d", setting="debug", value=given["debug"]))
    options = Options(
        listen=addresses[0] if addresses else None,
        servers=list(addresses[1:]),
        emergency=given["emergency"],
        abuse=given["abuse"],
        steps=steps,
        config_file=given["config"],
        control=_control(given["control"], given["control_mode"], given["control_group"]),
        foreground=given["foreground"],
        chroot=given["chroot"],
        user=given["user"],
        pid_file=given["pid_file"],
        command_line=shlex.join(["pen", *sys.argv[1:]]),
    )
    daemon.log_to_stderr()
    balancer = Balancer(options)
    balancer.start()
    balancer.run()


def main() -> None:
    """Run pen; exit status 0 after a clean end, 1 for what failed, 2 for wrong usage."""
    try:
        make_command().main(prog_name="pen", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"pen: {error.format_message()} (see pen --help)", err=True)
        sys.exit(USAGE_ERROR)
    except UsageError as error:
        click.echo(f"pen: {error} (see pen --help)", err=True)
        sys.exit(USAGE_ERROR)
    except PenError as error:
        click.echo(f"pen: {error}", err=True)
        sys.exit(FAILURE)
    except click.Abort:
        sys.exit(130)
