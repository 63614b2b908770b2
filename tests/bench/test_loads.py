"""The loads against real servers, without a balancer between."""

import contextlib
import socket
import ssl
import threading

import pytest

from bench import loads
from bench.certificates import Key, make_certificate
from bench.origin import upload_sink, web_server

WRK = """\
Running 1s test @ http://127.0.0.1:1/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms  300.00us   9.00ms   88.00%
  7012 requests in 1.00s, 8.10MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:   7012.00
"""


DNSPERF = """\
  Queries sent:         5000
  Queries completed:    4999 (99.98%)
  Queries lost:         2 (0.04%)

  Response codes:       NOERROR 4998 (99.98%), SERVFAIL 1 (0.02%)
"""


@pytest.fixture
def web_port(tmp_path):
    """Port of nginx at 127.0.0.1, where the loads connect."""
    with web_server(tmp_path, bulk_bytes=4_000_000) as addresses, forward(addresses[0]) as port:
        yield port


@contextlib.contextmanager
def forward(address):
    """A thread per connection between 127.0.0.1 and `address`: the plainest balancer there is."""
    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        threading.Thread(target=accept_all, args=(listener, (host, int(port))), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def accept_all(listener, server_address):
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(server_address)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


def pump(source, sink):
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


def hang_up(listener):
    client, _ = listener.accept()
    with client:
        client.recv(len(loads.CLOSE_REQUEST), socket.MSG_WAITALL)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)


def test_wrk_output_gives_answers_and_errors():
    assert loads.parse_wrk(WRK) == (7012, 15)
    assert loads.parse_wrk("unable to connect") == (0, 0)


AB = """\
Concurrency Level:      12
Time taken for tests:   1.000 seconds
Complete requests:      1211
Failed requests:        3
   (Connect: 0, Receive: 1, Length: 2, Exceptions: 0)
Non-2xx responses:      2
Total transferred:      1500000 bytes
"""


def test_ab_output_gives_answers_and_errors():
    assert loads.parse_ab(AB) == (1206, 5)
    assert loads.parse_ab("ab: could not resolve") == (0, 0)


def test_several_addresses_make_one_load(web_port):
    load = loads.ab(web_port, ["127.16.0.1", "127.16.0.2"], seconds=1, each=2)
    assert load.answers > 0
    assert load.seconds >= 1.0
    assert 0 < load.cpu < 2 * load.seconds


def test_an_answer_that_is_not_right_is_an_error(web_port):
    def judge(client: str, answer: bytes) -> None:
        raise loads.LoadError(f"{client}: {len(answer)}")

    with pytest.raises(loads.LoadError, match=r"127\.16\.0\.0: "):
        loads.visit(web_port, [loads.address(0)], judge=judge)


def test_dnsperf_output_gives_answers_and_losses():
    assert loads.parse_dnsperf(DNSPERF) == (4998, 2)
    assert loads.parse_dnsperf("Queries sent: 5000") == (0, 0)


def test_addresses_are_distinct_and_loopback():
    addresses = {loads.address(number) for number in range(70_000)}
    assert len(addresses) == 70_000
    assert all(socket.inet_aton(each)[0] == 127 for each in addresses)


def test_every_source_visits_once(web_port):
    assert loads.visit(web_port, (loads.address(client) for client in range(120))) == 120


def test_a_server_without_an_answer_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, args=(server,), daemon=True).start()
        with pytest.raises(loads.LoadError, match="an answer of 0 bytes"):
            loads.visit(server.getsockname()[1], [loads.address(0)])


def test_idle_connections_are_served_while_all_are_open(web_port):
    with loads.IdleConnections() as idle:
        idle.open(web_port, 20)
        assert idle.ask_all() == 20


def test_transfers_count_every_byte(web_port):
    size = 3_000_001
    assert loads.download(web_port, size) > size  # the head of the answer too
    with upload_sink() as sink, forward(sink) as port:
        assert loads.upload(port, size) == size


def test_handshakes_are_full_and_checked(tmp_path, web_port):
    certificate, key = make_certificate(Key.ECDSA, tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    reused = []

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                client = context.wrap_socket(listener.accept()[0], server_side=True)
                reused.append(client.session_reused)
                server = socket.create_connection(("127.0.0.1", web_port))
                server.sendall(client.recv(65536))
                while piece := server.recv(65536):
                    client.sendall(piece)
                server.close()
                client.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        assert loads.handshakes(listener.getsockname()[1], 3) == 3
        listener.shutdown(socket.SHUT_RDWR)
    assert reused == [False, False, False]
