"""Steps that show what pen tells: its servers, its page, its log, its files."""

import html
import re
import signal
from pathlib import Path

from tests.real.peers import wait_for
from tests.real.sidebyside.steps import Step


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


def _whole(file):
    text = file.read_text()
    return text if "</html>" in text.lower() else ""


def _lines(scene, name, count):
    file = scene.folder / name
    read = lambda: file.read_text().splitlines() if file.exists() else []  # noqa: E731
    wait_for(lambda: len(read()) >= count, lambda: f"{count} lines in {name}; it has {read()}")
    return read()
