"""How servers are chosen and how sockets behave: mostly flags."""

from collections.abc import Iterable

from pen.control.arguments import choice
from pen.control.commands.settings import declare_flag
from pen.control.context import Pen
from pen.control.registry import Argument, Asks, Command, Registry
from pen.core.settings import FastClose

FLAGS = (
    ("abort_on_error", "dump core after an internal error", "go on after an internal error"),
    ("dummy", "answer clients with a page of our own, for tests of speed", "pass clients on"),
    ("keepalive", "probe silent connections (SO_KEEPALIVE)", "do not probe"),
    ("peek", "choose a server once the client has sent something", "choose it at once"),
    ("prio", "take the available server with the lowest prio", "ignore prio"),
    ("roundrobin", "servers in turn; do not look up where a client was", "track clients"),
    ("stubborn", "close the client rather than fail over", "fail over"),
    ("tcp_nodelay", "send small segments at once (TCP_NODELAY)", "let the system gather them"),
    ("transparent", "connect to servers from the client's address", "from pen's own address"),
    ("weight", "take the server with the lowest connections / weight", "ignore weight"),
)


def declare(registry: Registry) -> None:
    """Declare the commands of this subject."""
    for name, on, off in FLAGS:
        declare_flag(registry, name, on, off)
    _declare_hash(registry)
    for name in ("block", "delayed_forward"):
        for words in (name, f"no {name}"):
            registry.add(Command(words, "obsolete; does nothing", _nothing, obsolete=True))
    registry.add(Command("mode", "print how servers are chosen", _mode, asks=Asks.ALWAYS))
    registry.add(
        Command(
            "tcp_fastclose",
            "close both sides when that side closes",
            _fastclose,
            (Argument("up|down|both|off", choice(*(mode.value for mode in FastClose))),),
            _save_fastclose,
        )
    )
    for name in ("epoll", "kqueue", "poll", "select"):
        _declare_poller(registry, name)


def _declare_hash(registry: Registry) -> None:
    kind = Argument(
        "consistent|unsaved", choice("consistent", "unsaved"), optional=True, repeats=True
    )
    help = "let the client's address choose; evenly; each time"
    registry.add(Command("hash", help, _hash, (kind,), _save_hash))
    registry.add(Command("no hash", "do not hash", _no_hash))


def _hash(pen: Pen, *kinds: str) -> None:
    with pen.changing():
        settings = pen.state.settings
        settings.hash = True
        settings.hash_consistent = "consistent" in kinds
        settings.hash_unsaved = "unsaved" in kinds


def _no_hash(pen: Pen) -> None:
    with pen.changing():
        settings = pen.state.settings
        settings.hash = settings.hash_consistent = settings.hash_unsaved = False


def _save_hash(pen: Pen) -> Iterable[str]:
    settings = pen.state.settings
    kinds = (" consistent" if settings.hash_consistent else "") + (
        " unsaved" if settings.hash_unsaved else ""
    )
    yield f"hash{kinds}" if settings.hash else "no hash"


def _nothing(pen: Pen) -> None:
    """Accepted for old config files."""


def _mode(pen: Pen) -> str:
    settings = pen.state.settings
    names = ("hash", "roundrobin", "stubborn", "weight", "prio")
    return " ".join(name if getattr(settings, name) else f"no {name}" for name in names)


def _fastclose(pen: Pen, mode: str) -> None:
    with pen.changing():
        pen.state.settings.tcp_fastclose = FastClose(mode)


def _save_fastclose(pen: Pen) -> Iterable[str]:
    yield f"tcp_fastclose {pen.state.settings.tcp_fastclose.value}"


def _declare_poller(registry: Registry, name: str) -> None:
    def run(pen: Pen) -> None:
        with pen.changing():
            pen.state.settings.poller = name

    def save(pen: Pen) -> Iterable[str]:
        if pen.state.settings.poller == name:
            yield name

    help = f"wait for events with {name}; only before pen has started"
    registry.add(Command(name, help, run, save=save))
