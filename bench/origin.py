"""The servers behind the balancers: one nginx, a sink for uploads, and two name servers."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.processes import free_port, running

ORIGIN_HOSTS = ("127.0.1.1", "127.0.1.2")  # two addresses of the one nginx: two slots
WEB, SINK, DNS = "web", "sink", "dns"
QUESTION = "www.bench.test A"
PAGE_BYTES = 1024
BULK_BYTES = 1 << 30
SINK_BUFFER = 1 << 18

NGINX = """\
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 19000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    sendfile on;
    tcp_nopush on;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        {listen}
        location / {{ return 200 "{page}"; }}
        location = /bulk {{ root {folder}; }}
        location = /who {{ return 200 "$server_addr"; }}
    }}
}}
"""


@contextmanager
def web_server(
    folder: Path, bulk_bytes: int = BULK_BYTES, hosts: Sequence[str] = ORIGIN_HOSTS
) -> Iterator[list[str]]:
    """Run nginx with one worker; yields its addresses, `host:port` each.

    `/` answers PAGE_BYTES, `/bulk` a sparse file of `bulk_bytes` through sendfile, `/who` the
    address that was asked. The id of its process is in `folder`/nginx.pid.
    """
    port = free_port(hosts[0])
    listen = " ".join(f"listen {host}:{port} backlog=4096;" for host in hosts)
    config = folder / "origin.conf"
    config.write_text(NGINX.format(folder=folder, listen=listen, page="x" * PAGE_BYTES))
    _make_bulk(folder / "bulk", bulk_bytes)
    command = ["nginx", "-c", str(config), "-e", str(folder / "error.log")]
    with running(command, folder / "origin.log") as nginx:
        nginx.wait_until_listening(hosts[0], port)
        yield [f"{host}:{port}" for host in hosts]


def _make_bulk(path: Path, size: int) -> None:
    """Make the sparse file and read it once, so that the first round finds it in the page cache."""
    with path.open("wb") as bulk:
        bulk.truncate(size)
    with path.open("rb", buffering=0) as bulk:
        buffer = bytearray(SINK_BUFFER)
        while bulk.readinto(buffer):
            pass


NAMED = """\
options {{
    directory "{folder}";
    pid-file "{folder}/pid";
    session-keyfile "{folder}/key";
    listen-on port {port} {{ {host}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
}};
controls {{ }};
zone "bench.test" {{ type primary; file "zone"; }};
"""
ZONE = """\
$TTL 60
@   SOA ns hostmaster 1 60 60 60 60
@   NS ns
ns  A 127.0.0.1
www A 192.0.2.1
"""


@contextmanager
def name_servers(folder: Path) -> Iterator[list[str]]:
    """Run two bind9 with one thread each; yields their `host:port`."""
    with ExitStack() as stack:
        yield [stack.enter_context(_name_server(folder / f"named{n}")) for n in (1, 2)]


@contextmanager
def _name_server(folder: Path) -> Iterator[str]:
    folder.mkdir()
    host = "127.0.0.1"  # bind9 listens on addresses of interfaces only
    port = free_port(host)
    config = folder / "named.conf"
    config.write_text(NAMED.format(folder=folder, host=host, port=port))
    (folder / "zone").write_text(ZONE)
    with running(["named", "-g", "-n", "1", "-c", str(config)], folder / "log") as named:
        named.wait_until_listening(host, port)
        yield f"{host}:{port}"


@contextmanager
def upload_sink() -> Iterator[str]:
    """Run a server that reads uploads in a thread of this process; yields its `host:port`.

    An upload is its length in 8 bytes, big-endian, then so many bytes; the answer is `done`.
    """
    with socket.create_server((ORIGIN_HOSTS[0], 0)) as listener:
        threading.Thread(target=_serve_uploads, args=(listener,), daemon=True).start()
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread out of accept


def _serve_uploads(listener: socket.socket) -> None:
    buffer = bytearray(SINK_BUFFER)
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            _read_upload(connection, buffer)


def _read_upload(connection: socket.socket, buffer: bytearray) -> None:
    head = connection.recv(8, socket.MSG_WAITALL)
    if len(head) < 8:
        return  # a probe: connected and left
    left = int.from_bytes(head, "big")
    while left > 0:
        count = connection.recv_into(buffer)
        if not count:
            return
        left -= count
    connection.sendall(b"done")
