"""Clients that speak TLS, for tests."""

import select
import ssl

REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def trusting(authority, **kind):
    """A client's context."""
    context = ssl.create_default_context(cafile=str(authority.file))
    for name, value in kind.items():
        setattr(context, name, value)
    return context


def connect(pen, context, name="www.example", **more):
    return context.wrap_socket(pen.connect(), server_hostname=name, **more)


def ask(pen, context, name="www.example", **more):
    """One request; the answer, when the server's end came with a close_notify."""
    with connect(pen, context, name, suppress_ragged_eofs=False, **more) as client:
        client.sendall(REQUEST)
        return b"".join(iter(lambda: client.recv(65536), b""))


def shown(pen, context, name):
    """The first name in the certificate that a client of this name is shown."""
    with connect(pen, context, name) as client:
        return client.getpeercert()["subjectAltName"][0][1]


def exchange(client, sent, deadline=60.0):
    """Send bytes and read as many back at the same time, in one thread: OpenSSL allows no more."""
    client.setblocking(False)
    rest, got = memoryview(sent), bytearray()
    while len(got) < len(sent):
        try:
            rest = rest[client.send(rest[:65536]) :] if rest else rest
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            piece = client.recv(65536)
            if not piece:
                break
            got += piece
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            poll = select.poll()
            poll.register(client, select.POLLIN | (select.POLLOUT if rest else 0))
            assert poll.poll(deadline * 1000), (
                f"nothing moves; {len(got)} of {len(sent)} bytes came"
            )
    client.setblocking(True)
    return bytes(got)
