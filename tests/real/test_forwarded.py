"""`-H` in front of real web servers: what they log as X-Forwarded-For and X-Forwarded-Proto."""

import os
import re
import socket
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.real.apache import Apache
from tests.real.farm import HOSTS
from tests.real.peers import SUITE, accepts, wait_for

CLIENT = "127.0.0.21"
DEBIAN_PEN = Path("/usr/bin/pen")

_NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error;
events {{}}
http {{
    log_format who '$http_x_forwarded_for $http_x_forwarded_proto "$request" $status';
    access_log {folder}/who.log who;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        location / {{ return 200 "fine"; }}
    }}
}}
"""


@pytest.fixture
def apache(peers):
    """An Apache; its port, and the log of what it was told."""
    made = Apache(peers, "www1", HOSTS[0])
    log = made.folder / "who.log"
    (made.folder / "conf-enabled" / "who.conf").write_text(
        'LogFormat "%{X-Forwarded-For}i %{X-Forwarded-Proto}i \\"%r\\" %>s" who\n'
        f"CustomLog {log} who\n"
    )
    made.start()
    return HOSTS[0], made.port, log


@pytest.fixture
def nginx(peers):
    """An nginx; its port, and the log of what it was told."""
    host = HOSTS[1]
    port = free_port(host)
    configuration = peers.folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=peers.folder, host=host, port=port))
    peers.folder.chmod(0o777)
    peers.start("nginx", ["/usr/sbin/nginx", "-c", configuration], lambda: accepts(host, port))
    return host, port, peers.folder / "who.log"


@pytest.fixture(params=["apache", "nginx"])
def server(request):
    return request.getfixturevalue(request.param)


def start_pen(peers, server, *options, program=SUITE / "pen"):
    """A pen with -H in front of the server; returns its port."""
    port = free_port()
    host, server_port, _ = server
    root = ["-u", "root"] if os.geteuid() == 0 else []
    command = [program, "-f", "-H", *root, *options, f"127.0.0.1:{port}", f"{host}:{server_port}"]
    peers.start(f"pen{port}", command, lambda: accepts("127.0.0.1", port))
    return port


def send(port, *requests):
    """Send requests on one connection, each in pieces of so many bytes, and read to the end."""
    with socket.create_connection(("127.0.0.1", port), 20, (CLIENT, 0)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            stream.sendall(request)
        answer = b""
        while piece := stream.recv(65536):
            answer += piece
    return answer


def told(server, count):
    """The lines of the server's log that are about requests of ours."""

    def lines():
        return [line for line in server[2].read_text().splitlines() if "/p.html" in line]

    return wait_for(lambda: len(lines()) >= count and lines(), f"{count} lines in {server[2]}")


def request(method, number, *fields, close=False, body=b""):
    lines = [b"%b /p.html?%d HTTP/1.1" % (method, number), b"Host: x", *fields]
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", body])


BODY = b"X-Forwarded-For: 192.0.2.66\r\n\r\nGET /p.html?9 HTTP/1.1\r\n\r\n"


def test_every_request_on_a_connection_tells_the_client(peers, server):
    port = start_pen(peers, server)
    stream = b"".join([
        request(b"GET", 1),
        request(b"POST", 2, b"Content-Length: %d" % len(BODY), body=BODY + b"\r\n"),
        request(b"POST", 3, b"Transfer-Encoding: chunked",
                body=b"%x;a=b\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(BODY), BODY)),
        request(b"HEAD", 4),
        request(b"OPTIONS", 5, b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Proto: https"),
        request(b"GET", 6, close=True),
    ])  # fmt: skip
    for size in (len(stream), 100, 7):
        send(port, *(stream[at : at + size] for at in range(0, len(stream), size)))
    lines = told(server, 18)
    assert len(lines) == 18
    for line in lines:
        who, scheme, number = re.match(r'(\S+) (\S+) "\w+ /p.html\?(\d) ', line).groups()
        assert (who, scheme) == (("192.0.2.7", "https") if number == "5" else (CLIENT, "http"))


def test_who_is_not_trusted_is_told_of_as_we_see_it(peers, server):
    port = start_pen(peers, server, "-o", "acl 5 deny 127.0.0.0/8", "-o", "http_trust 5")
    claims = [b"X-Forwarded-For: 192.0.2.1", b"x-forwarded-for: 192.0.2.2",
              b"X-Forwarded-Proto: https"]  # fmt: skip
    send(port, request(b"GET", 1, *claims), request(b"GET", 2, *claims, close=True))
    assert {line.split(' "')[0] for line in told(server, 2)} == {f"{CLIENT} http"}
    smuggled = request(b"GET", 7, *claims, close=True)
    split = request(b"POST", 3, b"Content-Length: 0", b"Transfer-Encoding: chunked", body=smuggled)
    send(port, request(b"GET", 4), split)
    send(port, request(b"GET", 5, close=True))
    assert [line.split("?")[1][0] for line in told(server, 4)] == ["1", "2", "4", "5"]


def test_first_requests_look_as_from_the_pen_of_debian(peers, server):
    """C knows three methods, and requests that come whole; those are the same to a server."""
    for method in (b"GET", b"POST", b"HEAD"):
        for fields in ([], [b"X-Forwarded-For: 192.0.2.7"], [b"X-Forwarded-Proto: https"]):
            for program in (SUITE / "pen", DEBIAN_PEN):
                port = start_pen(peers, server, program=program)
                send(port, request(method, 1, b"Content-Length: 0", *fields, close=True))
    lines = told(server, 18)
    assert lines[::2] == lines[1::2]
