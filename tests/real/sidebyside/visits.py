"""Steps of clients: they come, get a server, stay, leave or are closed."""

import contextlib

from tests.real.peers import wait_for
from tests.real.sidebyside.scene import DEADLINE
from tests.real.sidebyside.steps import Step


def clients(addresses, request="GET / HTTP/1.0\r\n\r\n"):
    """One connection after the other from these addresses (n is 127.0.0.n), and who answered.

    An address ``n#p`` binds port p, too.
    """

    def play(scene):
        for address in addresses.split():
            with scene.connect(_full(address)) as stream:
                yield f"{address} gets {_answer(stream, request)}"
            scene.settled()

    return Step(f"clients {addresses}", play)


def align(last="C"):
    """Bring round robin to where this server was the last, for C begins with slot 1."""

    def play(scene):
        for number in range(250, 254):
            with scene.connect(f"127.0.0.{number}") as stream:
                answered = _answer(stream, "hello")
            scene.settled()
            if answered == last:
                return []
        raise AssertionError(f"round robin never came to {last}")

    return Step("align", play)


def come(names, request="hello"):
    """Clients come and stay: ``1a`` is connection a of 127.0.0.1."""

    def play(scene):
        for name in names.split():
            stream = scene.connect(_full(name.rstrip("abcdefgh")))
            answer = _answer(stream, request)
            yield f"{name} gets {answer}"
            if answer == "closed":
                stream.close()
            else:
                scene.held[name] = stream
            scene.settled()

    return Step(f"come {names}", play)


def waits(name, until):
    """A client comes for whom there is no room, and has its answer when `until` leaves."""

    def play(scene):
        with scene.connect(_full(name)) as stream:
            stream.sendall(b"hello")
            for _ in range(3):
                scene.ctl("mode")  # pen has had its turns
            stream.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                yield f"{name} hears {stream.recv(100).decode()} at once"
            stream.settimeout(DEADLINE)
            scene.held.pop(until).close()
            yield f"{name} gets {_answer(stream, '')}"
        scene.settled()

    return Step(f"{name} waits", play)


def comes_back(client, server):
    """Wait until this client gets this server; what it got until then may be anything else."""

    def play(scene):
        def gets():
            with scene.connect(_full(client)) as stream:
                return _answer(stream, "hello") == server

        wait_for(gets, lambda: f"{client} gets {server}")
        yield f"{client} gets {server}"

    return Step(f"{client} comes back", play)


def leave(names):
    """Clients that came leave."""

    def play(scene):
        for name in names.split():
            scene.held.pop(name).close()
        scene.settled()
        return []

    return Step(f"leave {names}", play)


def greeted(client, text):
    """A client that is greeted before it says anything."""

    def play(scene):
        with scene.connect(_full(client)) as stream:
            yield f"{client} is greeted: {_read(stream)}"
            yield f"and hears {_answer(stream, text)}"
        scene.settled()

    return Step(f"greeted {client}", play)


def sees_the_end(*names):
    """Wait until these clients are closed by pen."""

    def play(scene):
        for name in names:
            with scene.held.pop(name) as stream:
                yield f"{name} {_read(stream) or 'closed'}"
        scene.settled()

    return Step(f"{names} see the end", play)


def _full(address):
    return address if ":" in address or "." in address else f"127.0.0.{address}"


def _answer(stream, request):
    try:
        stream.sendall(request.encode())
        return stream.recv(65536).decode() or "closed"
    except OSError:
        return "closed"


def _read(stream):
    try:
        return stream.recv(65536).decode()
    except OSError:
        return ""
