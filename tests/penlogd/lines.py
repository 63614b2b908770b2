"""Lines for the tests of the join."""

from penlogd.accesslog import EXACT, AccessLine

SERVER = b"10.0.0.1"
GET = b"GET / HTTP/1.1"


def line(stamp=None, *, duration=None, shape=EXACT, server=SERVER, request=GET):
    """A line, of which only what the join needs is true."""
    return AccessLine(b"", server, 0, 0, request, stamp, shape, duration)


def client(when):
    return b"client-at-%d" % when
