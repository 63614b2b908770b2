"""What clients do to a balancer. Only the balancer's CPU is measured, so plain Python will do.

Every load checks its answers: work that a balancer did not do must not make it look cheap.
"""

import functools
import itertools
import os
import re
import select
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from bench.origin import PAGE_BYTES, QUESTION

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h; leaves the port to connect, so ports do not run out
ANSWER_DEADLINE = 30.0  # seconds without any answer at all
BUFFER = 1 << 18
CLOSE_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
KEEPALIVE_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


class LoadError(Exception):
    """A balancer did not do the work; the message says how it failed."""


def wrk(url: str, connections: int, seconds: float, *, close: bool) -> int:
    """Run a closed loop of requests, one thread; returns the number of answers.

    Raises:
        LoadError: wrk failed, or counted errors in more than 1 of 1,000 requests.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s"]
    if close:
        command += ["-H", "Connection: close"]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    answers, errors = parse_wrk(done.stdout)
    if done.returncode or not answers:
        raise LoadError(f"wrk got no answers: {(done.stdout + done.stderr).strip()}")
    if errors * 1000 > answers:
        raise LoadError(f"wrk counted {errors} errors beside {answers} answers")
    return answers


@dataclass(frozen=True, slots=True)
class Load:
    """What several clients did, and what it cost them."""

    answers: int
    seconds: float
    cpu: float
    """Seconds, of all of them."""


def ab(port: int, sources: Sequence[str], seconds: int, each: int) -> Load:
    """Make short HTTP connections from each of some addresses, `each` at once, with ab.

    wrk cannot be told which address to come from. An ab is one thread, as a wrk with one is.

    Raises:
        LoadError: an ab failed, or had more than 1 of 1,000 requests that did.
    """
    began = time.monotonic()
    command = ["ab", "-q", "-r", "-s", "10", "-t", str(seconds), "-n", "100000000", "-c", str(each)]
    running = [
        subprocess.Popen(
            [*command, "-B", source, f"http://127.0.0.1:{port}/"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for source in sources
    ]  # fmt: skip
    cpu, answers = 0.0, 0
    for process in running:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu += usage.ru_utime + usage.ru_stime
        answers += _ab_answers(said, process.returncode)
    return Load(answers, time.monotonic() - began, cpu)


def _ab_answers(said: str, status: int) -> int:
    answers, errors = parse_ab(said)
    if status or not answers or errors * 1000 > answers:
        raise LoadError(f"ab had {answers} answers, {errors} errors: {said.strip()[-200:]}")
    return answers


def parse_ab(output: str) -> tuple[int, int]:
    """Read answers and errors (of connections, lengths, and statuses not 2xx) from ab's output."""
    done = re.search(r"^Complete requests:\s+(\d+)", output, re.MULTILINE)
    bad = re.findall(r"^(?:Failed requests|Non-2xx responses):\s+(\d+)", output, re.MULTILINE)
    errors = sum(map(int, bad))
    return (int(done[1]) - errors if done else 0), errors


def parse_wrk(output: str) -> tuple[int, int]:
    """Read answers and errors (of sockets, and statuses not 2xx or 3xx) from wrk's output."""
    answers = re.search(r"^\s*(\d+) requests in ", output, re.MULTILINE)
    errors = re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", output)
    return int(answers[1]) if answers else 0, sum(map(int, errors))


def address(number: int) -> str:
    """Name client `number`: a loopback address from 127.16.0.0 up, distinct for 15 million."""
    number += 16 << 16
    return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"


Judge = Callable[[str, bytes], None]
"""Looks at a client and the answer it got; raises LoadError if it is not right."""


def visit(
    port: int,
    sources: Iterable[str],
    concurrency: int = 50,
    request: bytes = CLOSE_REQUEST,
    judge: Judge = lambda _, answer: _check(answer),
) -> int:
    """One short HTTP connection from each source address, `concurrency` at once.

    Returns:
        The number of visits.

    Raises:
        LoadError: an answer was not whole.
    """
    waiting = iter(sources)
    visits: dict[int, tuple[str, socket.socket, list[bytes]]] = {}
    done = 0
    with select.epoll() as poller:

        def begin(count: int) -> None:
            for source in itertools.islice(waiting, count):
                client = _connect(port, source)
                client.sendall(request)
                visits[client.fileno()] = source, client, []
                poller.register(client, select.EPOLLIN)

        begin(concurrency)
        while visits:
            for fd, _ in _poll(poller):
                source, client, answer = visits[fd]
                piece = client.recv(BUFFER)
                if piece:
                    answer.append(piece)
                    continue
                del visits[fd]
                client.close()
                judge(source, b"".join(answer))
                done += 1
                begin(1)
    return done


def _connect(port: int, source: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((source, 0))
    client.settimeout(ANSWER_DEADLINE)
    client.connect(("127.0.0.1", port))
    return client


def _poll(poller: select.epoll) -> list[tuple[int, int]]:
    events = poller.poll(ANSWER_DEADLINE)
    if not events:
        raise LoadError(f"no answer for {ANSWER_DEADLINE:.0f} s")
    return events


def _check(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200") or len(body) != PAGE_BYTES:
        raise LoadError(f"an answer of {len(answer)} bytes that begins {answer[:40]!r}")


class IdleConnections:
    """Connections that are opened, served once, and held open."""

    def __init__(self) -> None:
        self._clients: list[socket.socket] = []

    def __enter__(self) -> "IdleConnections":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()

    def open(self, port: int, count: int) -> None:
        """Open `count` connections, each with one request answered, and keep them."""
        for number in range(count):
            client = _connect(port, address(number))
            self._clients.append(client)
            self._ask(client)

    def ask_all(self) -> int:
        """Send a request on every connection while all are open; returns how many were answered.

        Raises:
            LoadError: a connection was not served.
        """
        for client in self._clients:
            self._ask(client)
        return len(self._clients)

    def _ask(self, client: socket.socket) -> None:
        client.sendall(KEEPALIVE_REQUEST)
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < PAGE_BYTES:
            piece = client.recv(BUFFER)
            if not piece:
                raise LoadError(f"connection {client.getsockname()} was closed")
            answer += piece
        _check(answer)


def download(port: int, size: int, *, tls: bool = False) -> int:
    """Fetch the first `size` bytes of /bulk; returns the bytes of the answer.

    Raises:
        LoadError: fewer came.
    """
    request = f"GET /bulk HTTP/1.1\r\nHost: b\r\nRange: bytes=0-{size - 1}\r\nConnection: close\r\n"
    buffer = bytearray(BUFFER)
    with _open(port, tls=tls) as client:
        client.sendall(request.encode() + b"\r\n")
        received = sum(iter(lambda: client.recv_into(buffer), 0))
    if received < size:
        raise LoadError(f"{received} of {size} bytes came")
    return received


def upload(port: int, size: int, *, tls: bool = False) -> int:
    """Send `size` bytes to the upload sink; returns them when the sink has said `done`.

    Raises:
        LoadError: it did not.
    """
    with _open(port, tls=tls) as client:
        client.sendall(size.to_bytes(8, "big"))
        for piece in _pieces(size):
            client.sendall(piece)
        answer = client.recv(8)
    if answer != b"done":
        raise LoadError(f"the upload ended with {answer!r}")
    return size


def handshakes(port: int, count: int) -> int:
    """So many short HTTP connections by TLS, one after the other, each with a full handshake.

    Returns:
        Their number.

    Raises:
        LoadError: an answer was not whole.
    """
    for _ in range(count):
        with _open(port, tls=True) as client:
            client.sendall(CLOSE_REQUEST)
            _check(b"".join(iter(lambda: client.recv(BUFFER), b"")))
    return count


def _open(port: int, *, tls: bool) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), ANSWER_DEADLINE)
    return _tls_context().wrap_socket(client) if tls else client


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """TLS 1.3 with the one key exchange that all peers have, so that all do the same work."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve("prime256v1")
    return context


def _pieces(size: int) -> Iterator[memoryview]:
    zeros = memoryview(bytes(BUFFER))
    for start in range(0, size, BUFFER):
        yield zeros[: min(BUFFER, size - start)]


def dnsperf(port: int, clients: int, count: int, rate: int | None) -> int:
    """Ask `count` DNS questions from `clients` ports; returns the number of answers.

    `rate`: at most so many a second; None: up to 100 at once, as fast as answers come.

    Raises:
        LoadError: dnsperf failed, or more than 1 of 1,000 questions were lost.
    """
    with tempfile.NamedTemporaryFile("w", prefix="questions-") as questions:
        questions.write(f"{QUESTION}\n" * count)
        questions.flush()
        command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", questions.name]
        command += ["-n", "1", "-t", "2", "-c", str(clients)]
        if rate is not None:
            command += ["-Q", str(rate)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    answers, lost = parse_dnsperf(done.stdout)
    if done.returncode or answers + lost != count or lost * 1000 > count:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise LoadError(f"{answers} of {count} questions answered, {lost} lost; {said[-1:]}")
    return answers


def parse_dnsperf(output: str) -> tuple[int, int]:
    """Read answers without error and questions lost from dnsperf's output."""
    good = re.search(r"Response codes:.*?NOERROR (\d+)", output)
    lost = re.search(r"Queries lost:\s+(\d+)", output)
    return int(good[1]) if good else 0, int(lost[1]) if lost else 0
