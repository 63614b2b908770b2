"""The balancers that are compared, and how each is started for a work."""

import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.certificates import Key, make_certificate
from bench.processes import Running, StartError, free_port, running

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
DEBIAN_PYTHON = "/usr/bin/python3"
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a work asks of a balancer."""

    tracking: bool = False
    """Remember which client went to which server; otherwise round robin."""
    clients: int = 2048
    """Size of the client table, where the balancer has one."""
    connections: int = 500
    """Connections it must carry at once."""
    headers: bool = False
    """Tell servers the client in each request's head (pens only)."""
    log: bool = False
    """Log requests to a file (pens only)."""
    tls: Key | None = None
    """Clients come by TLS, and its certificate has such a key."""
    udp: bool = False
    """Balance UDP (haproxy cannot)."""
    options: tuple[str, ...] = ()
    """Further options (pens only)."""
    workers: int = 1
    """Processes, or threads, that serve (C pen has one)."""


@dataclass(frozen=True, slots=True)
class Order:
    """Everything a balancer needs to start."""

    setup: Setup
    port: int
    servers: Sequence[str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Peer:
    """One of the compared balancers."""

    name: str
    label: str
    """How tables name it."""
    version: Callable[[], str]
    command: Callable[[Order], list[str]]
    env: dict[str, str] = field(default_factory=dict)
    is_pen: bool = True
    does_udp: bool = True


@dataclass(frozen=True, slots=True)
class Balancer:
    """A peer that runs and listens at HOST:port."""

    peer: Peer
    port: int
    process: Running

    @property
    def pid(self) -> int:
        """The process at the top of its tree."""
        return self.process.pid


@contextmanager
def balancing(peer: Peer, setup: Setup, servers: Sequence[str], folder: Path) -> Iterator[Balancer]:
    """Start `peer` in front of `servers` (`host:port` each); it is gone when the block ends.

    Raises:
        StartError: it did not come up; the message names it.
    """
    port = free_port(HOST)
    home = folder / peer.name
    home.mkdir(exist_ok=True)
    try:
        command = peer.command(Order(setup, port, servers, home))
        with running(command, home / "log", peer.env) as process:
            process.wait_until_listening(HOST, port, udp=setup.udp)
            yield Balancer(peer, port, process)
    except StartError as error:
        raise StartError(f"{peer.label}: {error}") from error


def pen_arguments(order: Order) -> list[str]:
    """Make the command line of a pen, C's or ours, without its name."""
    setup = order.setup
    arguments = ["-f", "-c", str(setup.clients), "-x", str(setup.connections)]
    if not setup.tracking:
        arguments.append("-r")
    if setup.udp:
        arguments.append("-U")
    if setup.headers:
        arguments.append("-H")
    if setup.log:
        arguments += ["-l", str(order.folder / "requests")]
    if setup.tls is not None:
        certificate, key = make_certificate(setup.tls, order.folder)
        arguments += ["-E", str(certificate), "-K", str(key)]
    return [*arguments, *setup.options, f"{HOST}:{order.port}", *order.servers]


def _debian_pen(order: Order) -> list[str]:
    return ["/usr/bin/pen", *pen_arguments(order)]


def _our_pen(order: Order) -> list[str]:
    workers = ["--workers", str(order.setup.workers)] if order.setup.workers > 1 else []
    return [str(Path(sys.executable).with_name("pen")), *workers, *pen_arguments(order)]


START = "import sys; from pen.cli import main; sys.exit(main())"


def _our_pen_on_debian_python(order: Order) -> list[str]:
    return [DEBIAN_PYTHON, "-P", "-c", START, *pen_arguments(order)]


def our_pen_of(checkout: Path, label: str) -> Peer:
    """Ours as another checkout of the repository has it, under the same interpreter."""
    return Peer(
        label,
        label,
        lambda: f"commit {label}",
        lambda order: [sys.executable, "-P", "-c", START, *pen_arguments(order)],
        {"PYTHONPATH": str(checkout)},
    )


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Have the files of a commit in a folder that is gone when the block ends.

    Raises:
        StartError: there is no such commit here.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        archive = ["git", "-C", str(ROOT), "archive", commit]
        done = subprocess.run(archive, capture_output=True, check=False)
        if done.returncode:
            raise StartError(done.stderr.decode().strip())
        subprocess.run(["tar", "-x", "-C", folder], input=done.stdout, check=True)
        yield Path(folder)


def this_commit() -> str:
    """Name the commit that is checked out here; `dirty` when files differ from it."""
    return _first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty")


HAPROXY = """\
global
    maxconn {maxconn}
    nbthread {workers}
defaults
    mode tcp
    timeout connect 3s
    timeout client 1h
    timeout server 1h
listen bench
    bind {host}:{port} backlog 500 {tls}
    balance roundrobin
    {tracking}
    {servers}
"""


def _haproxy_tls(order: Order) -> str:
    if order.setup.tls is None:
        return ""
    both = order.folder / "both.pem"
    files = make_certificate(order.setup.tls, order.folder)
    both.write_bytes(b"".join(file.read_bytes() for file in files))
    return f"ssl crt {both}"


def _haproxy(order: Order) -> list[str]:
    tracking = f"stick-table type ip size {order.setup.clients}\n    stick on src"
    servers = (f"server s{slot} {server}" for slot, server in enumerate(order.servers))
    config = order.folder / "haproxy.cfg"
    config.write_text(
        HAPROXY.format(
            workers=order.setup.workers,
            maxconn=order.setup.connections,
            host=HOST,
            port=order.port,
            tls=_haproxy_tls(order),
            tracking=tracking if order.setup.tracking else "",
            servers="\n    ".join(servers),
        )
    )
    return ["haproxy", "-db", "-q", "-f", str(config)]


NGINX_STREAM = """\
load_module {module};
worker_processes {workers};
worker_rlimit_nofile 20000;
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
stream {{
    upstream servers {{
        {tracking}
        {servers}
    }}
    server {{
        listen {host}:{port} {kind} {tls};
        proxy_pass servers;
        proxy_connect_timeout 3s;
        proxy_timeout 1h;
    }}
}}
"""


def _nginx_tls(order: Order) -> str:
    if order.setup.tls is None:
        return ""
    certificate, key = make_certificate(order.setup.tls, order.folder)
    files = f"ssl_certificate {certificate}; ssl_certificate_key {key}"
    return f"ssl; ssl_protocols TLSv1.2 TLSv1.3; {files}"


def _nginx(order: Order) -> list[str]:
    config = order.folder / "nginx.conf"
    config.write_text(
        NGINX_STREAM.format(
            workers=order.setup.workers,
            module=STREAM_MODULE,
            folder=order.folder,
            connections=2 * order.setup.connections + 16,  # it counts both sides
            tracking="hash $remote_addr;" if order.setup.tracking else "",
            servers=" ".join(f"server {server};" for server in order.servers),
            host=HOST,
            port=order.port,
            tls=_nginx_tls(order),
            kind="udp" if order.setup.udp else "backlog=500",
        )
    )
    return ["nginx", "-c", str(config), "-e", str(order.folder / "error.log")]


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"not installed ({error.strerror})"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown version"


def debian_pen_version() -> str:
    """Ask the package: the program has no option that prints its version alone."""
    return "pen " + _first_line("dpkg-query", "-W", "-f", "${Version}", "pen")


DESCRIBE_PYTHON = """\
import platform, sys, sysconfig
made = (sysconfig.get_config_var("CONFIG_ARGS") or "").replace("'", "").split()
tuned = [word for word in made if word.startswith(("--enable-optim", "--with-lto"))]
print(platform.python_implementation(), platform.python_version(), platform.python_compiler(),
      "configured with", " ".join(tuned) or "no optimization options")
"""


def python_version(python: str) -> str:
    """Ask an interpreter what it is."""
    return _first_line(python, "-c", DESCRIBE_PYTHON)


def _site_packages() -> str:
    return sysconfig.get_path("purelib")


BASELINE = "pen-c"

PEERS = {
    peer.name: peer
    for peer in (
        Peer(BASELINE, "C pen", debian_pen_version, _debian_pen),
        Peer(
            "ours",
            f"ours, Python {platform.python_version()} (.venv)",
            lambda: python_version(sys.executable),
            _our_pen,
        ),
        Peer(
            "ours-debian",
            f"ours, {DEBIAN_PYTHON}",
            lambda: python_version(DEBIAN_PYTHON),
            _our_pen_on_debian_python,
            {"PYTHONPATH": f"{ROOT}:{_site_packages()}"},
        ),
        Peer(
            "haproxy",
            "haproxy",
            lambda: _first_line("haproxy", "-v"),
            _haproxy,
            is_pen=False,
            does_udp=False,
        ),
        Peer("nginx", "nginx stream", lambda: _first_line("nginx", "-v"), _nginx, is_pen=False),
    )
}
