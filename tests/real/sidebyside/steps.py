"""What can happen in a scenario; each step notes what was seen, as lines of text."""

import contextlib
import html
import os
import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.real.peers import wait_for
from tests.real.sidebyside.scene import DEADLINE, OURS, C, Scene

Notes = Iterable[str]


@dataclass(frozen=True)
class Step:
    """Something that happens, and what was seen of it."""

    what: str
    play: Callable[[Scene], Notes]


@dataclass(frozen=True)
class Differing:
    """A step of which the two programs show different things, on purpose.

    `why` is the first column of a row in docs/compatibility.md. `c` and `ours` are the notes of
    the two; a ``*`` stands for anything.
    """

    step: Step
    why: str
    c: str
    ours: str


def differs(why, step, *, c, ours):
    return Differing(step, why, c, ours)


def ctl(*commands):
    """Control commands, one after the other, and their replies."""

    def play(scene):
        for command in commands:
            yield f"{command}: {scene.ctl(command)}"

    return Step(f"ctl {commands}", play)


def penctl(*lines):
    """The same by the program penctl."""

    def play(scene):
        for words in lines:
            yield f"penctl {words}: {scene.penctl(words)}"

    return Step(f"penctl {lines}", play)


def of_other_penctl(*lines):
    """The same by the penctl of the other suite; their exit statuses are equal, too."""

    def play(scene):
        other = C if scene.program is OURS else OURS
        for words in lines:
            yield f"penctl {words}: {scene.penctl(words, other)}"

    return Step(f"other penctl {lines}", play)


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


def stop(names):
    """Servers refuse from now on."""

    def play(scene):
        for name in names.split():
            scene.servers[name].stop()
        return []

    return Step(f"stop {names}", play)


def start(names):
    """Servers that were stopped serve again."""

    def play(scene):
        for name in names.split():
            scene.servers[name].start()
        return []

    return Step(f"start {names}", play)


def servers(*columns):
    """These columns of the command `servers`, a line for each slot that is used."""

    def play(scene):
        scene.settled()
        for line in scene.ctl("servers").splitlines():
            if " port 0 " not in line:
                slot, *words = line.split()
                row = dict(zip(words[::2], words[1::2], strict=True))
                yield " ".join([slot, *(f"{each} {row[each]}" for each in columns)])

    return Step(f"servers {columns}", play)


def page(*headings):
    """Facts of the page that USR1 writes, those that begin with these words."""

    def play(scene):
        scene.settled()
        file = scene.folder / "page.html"
        file.unlink(missing_ok=True)
        scene.send(signal.SIGUSR1)
        text = wait_for(lambda: file.exists() and _whole(file), "the page")
        yield from (line for line in facts(text) if line.startswith(headings or ""))

    return Step(f"page {headings}", play)


_FACT = re.compile(r"<tr>.*?</tr>|Time [^<]*|Max number of clients: \d+|Number of conn[^<]*", re.S)
_BY_NATURE = ("downfd", "upfd", "age(secs)")


def facts(page):
    """A page as lines: its sentences, and the rows of each table after the table's name.

    Descriptors are the program's own business, and ages the clock's; they show as ``*``.
    """
    heads = []
    for part in _FACT.findall(page):
        if not part.startswith("<tr>"):
            yield re.sub(r"Time [^,]*", "Time <time>", part)
            continue
        cells = [
            html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
            for cell in re.split(r"<t[hd][^>]*>", part)[1:]
        ]
        if cells[0] in ("server", "client", "connection"):
            heads = cells
            yield f"{heads[0]}: {', '.join(heads)}"
        else:
            cells = [
                "*" if head in _BY_NATURE else cell for head, cell in zip(heads, cells, strict=True)
            ]
            yield f"{heads[0]} {', '.join(cells)}"


def log(count, name="log"):
    """The lines of a log, once there are so many."""

    def play(scene):
        return _lines(scene, name, count)

    return Step(f"log {count}", play)


def logged(count):
    """So many records that penlogd would get."""

    def play(scene):
        scene.logger.settimeout(10)
        for _ in range(count):
            yield scene.logger.recv(65536).decode()

    return Step(f"logged {count}", play)


def file(name, of=""):
    """The lines of a file, those that begin with `of`."""

    def play(scene):
        return [x for x in (scene.folder / name).read_text().splitlines() if x.startswith(of)]

    return Step(f"file {name}", play)


_SAVED_BY_C = (
    "ascii", "blacklist", "client_acl", "control_acl", "debug", "hash", "http", "log", "prio",
    "roundrobin", "stubborn", "tcp_fastclose", "tcp_nodelay", "timeout", "tracking", "web_stats",
    "weight",
)  # fmt: skip


def saved(name):
    """What C, too, writes into a config file: access lists as they come, then values by name."""

    def play(scene):
        lines = [line for line in file(name).play(scene) if not line.startswith("#")]
        lists = [line for line in lines if line.startswith(("acl", "no acl"))]
        flags = [line for line in lines if line.removeprefix("no ").split()[0] in _SAVED_BY_C]
        return lists + sorted(flags)

    return Step(f"saved {name}", play)


def write(name, text):
    """Write a file."""

    def play(scene):
        (scene.folder / name).write_text(scene.filled(text))
        return []

    return Step(f"write {name}", play)


def rename(old, new):
    def play(scene):
        os.rename(scene.folder / old, scene.folder / new)
        return []

    return Step(f"rename {old}", play)


def hup(until, shows):
    """HUP; then wait until a command's reply shows this."""

    def play(scene):
        scene.send(signal.SIGHUP)
        wait_for(
            lambda: shows in scene.normal(scene.ctl(until)),
            lambda: f"{until} shows {shows}; it shows {scene.ctl(until)}",
        )
        yield f"{until} shows {shows}"

    return Step("HUP", play)


def got(name):
    """All that a server got."""

    def play(scene):
        return scene.servers[name].got.decode().splitlines()

    return Step(f"{name} got", play)


def identity(*names):
    """As who pen runs: these lines of /proc/PID/status."""

    def play(scene):
        for line in Path(f"/proc/{scene.pen.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in names:
                yield f"{name}: {' '.join(value.split())}"

    return Step(f"identity {names}", play)


def ends(number=None):
    """Wait for pen's end, after this signal; how it ended and what is left of its files."""

    def play(scene):
        if number is not None:
            scene.send(number)
        wait_for(scene.ended, "the end of pen")
        scene.pen.kill()
        yield f"exit status {scene.pen.process.returncode}"
        yield f"left: {' '.join(sorted(each.name for each in scene.folder.iterdir()))}"

    return Step(f"ends {number}", play)


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


def _whole(file):
    text = file.read_text()
    return text if "</html>" in text.lower() else ""


def _lines(scene, name, count):
    file = scene.folder / name
    read = lambda: file.read_text().splitlines() if file.exists() else []  # noqa: E731
    wait_for(lambda: len(read()) >= count, lambda: f"{count} lines in {name}; it has {read()}")
    return read()
