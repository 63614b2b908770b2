"""Whatever servers and senders write, both log tools stay up and no good line suffers.

Each case goes through real processes, between good lines, which must come out with their clients.
"""

import itertools
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from penlog.records import datagram, file_line
from tests.penlogd.test_end_to_end import Farm, receive_queue, stop, wait_for
from tests.penlogd.test_mergelogs import mergelogs

SERVER = "127.0.0.5"
TIME = time.time()
NOW, ABROAD, MINUTE = (
    time.strftime(form, time.gmtime(TIME + ahead)).encode()
    for form, ahead in (
        ("%d/%b/%Y:%H:%M:%S +0000", 0), ("%d/%b/%Y:%H:%M:%S +0530", 19_800), ("%d/%b/%Y:%H:%M", 0)
    )
)  # fmt: skip
NEXT_YEAR = b"01/Jan/%d:00:00:00 +0000" % (time.gmtime().tm_year + 1)


def logged(request, *, user=b"-", when=NOW):
    return b"127.0.0.1 - " + user + b" [" + when + b'] "' + request + b'" 200 5'


LONG = b"GET /" + b"x" * 32_768 + b" HTTP/1.1"
RAW = b"GET /\xc3\xa9\0\xff HTTP/1.1"
TWO = b"GET /two HTTP/1.1"

# What clients had sent, and what a server logs of it. All of it is joined.
JOINED = [
    (b'GET /"x" HTTP/1.1', logged(rb"GET /\"x\" HTTP/1.1")),
    (b'GET /"y" HTTP/1.1', logged(rb"GET /\x22y\x22 HTTP/1.1")),
    (LONG, logged(LONG)),
    (b"GET /u HTTP/1.1", logged(b"GET /u HTTP/1.1", user=b'""')),
    (b"GET /v HTTP/1.1", logged(b"GET /v HTTP/1.1", user=rb"a \"b\" c")),
    (RAW, logged(RAW)),
    (RAW, logged(rb"GET /\xc3\xa9\x00\xff HTTP/1.1")),
    (TWO, logged(TWO) + b"\n" + logged(TWO) + b" in one datagram"),
    (TWO, logged(TWO)),
    (b"GET /s HTTP/1.1", logged(b"GET /s HTTP/1.1", when=MINUTE + b":60 +0000")),
    (b"GET /z HTTP/1.1", logged(b"GET /z HTTP/1.1", when=ABROAD)),
    (b"GET /n HTTP/1.1", b'127.0.0.1 - - "GET /n HTTP/1.1" 200 5'),
    (b"GET /m HTTP/1.1", logged(b"GET /m HTTP/1.1", when=b"0/0/0")),
]

# Stamped when pen had no such request. penlogd goes by their arrival.
OFF = [
    (b"GET /o HTTP/1.1", logged(b"GET /o HTTP/1.1", when=b"01/Jan/1970:00:00:00 +0000")),
    (b"GET /p HTTP/1.1", logged(b"GET /p HTTP/1.1", when=NEXT_YEAR)),
]

# No lines of a known format, or cut in the middle: they are written as they are.
PLAIN = [
    b"AH00558: could not determine the server's name",
    logged(b"GET /a HTTP/1.1")[:52],
    logged(b"GET /a HTTP/1.1")[:30],
    b"x",
    b"\xff\xfe\xc3",
]

# No text at all: penlogd counts it.
GARBAGE = [b"", b" \t", b"\0" * 40_000, b"\x01\x02\x03"]

# Records of servers that are not there, or cannot be.
STRANGE = [
    ("10.9.9.9", "no.such.host.invalid", b"GET /a HTTP/1.1"),
    ("10.9.9.9", "999.1.1.1", b"GET /a HTTP/1.1"),
    ("10.9.9.9", "2001:db8::77", b"GET /a HTTP/1.1"),
    ("10.9.9.9", "::::", b"GET /a HTTP/1.1"),
    ("unknown", SERVER, b""),
]
BROKEN = [b"+ ", b"+ a", b"+  10.0.0.1 x", b"+ a b", b"=1 open", b"=1 end tcp a b c", b"=9 x"]


class Penlogd:
    """Records and lines as datagrams."""

    off = None
    counts_garbage = True

    def __init__(self, folder):
        self._farm = Farm(folder)

    def run(self, records, broken, lines):
        daemon = self._farm.start()
        try:
            sent = [datagram(client, server, request) for client, server, request in records]
            self._farm.send(*sent, *broken, source="127.0.0.1")
            self._farm.send(*[line + b"\n" for line in lines], source=SERVER)
            wait_for(lambda: receive_queue(self._farm.port) == 0)
            daemon.send_signal(signal.SIGUSR1)
            self.said = daemon.stderr.readline()
            stop(daemon)
            return self._farm.log.read_bytes().split(b"\n")[:-1]
        finally:
            daemon.kill()
            daemon.communicate()


class Mergelogs:
    """Records and lines in files."""

    off = SERVER.encode()
    counts_garbage = False

    def __init__(self, folder):
        self._folder = folder

    def run(self, records, broken, lines):
        told = [
            file_line(client, int(TIME), server, request) for client, server, request in records
        ]
        (self._folder / "pen.log").write_bytes(b"".join(told) + b"\n".join(broken))
        (self._folder / "www").write_bytes(b"\n".join(lines))
        done = mergelogs("-p", f"{self._folder}/pen.log", f"{SERVER}:{self._folder}/www")
        self.said = done.stderr.encode()
        assert done.returncode == 0
        return done.output.split(b"\n")[:-1]


@pytest.fixture(params=[Penlogd, Mergelogs])
def tool(request, tmp_path):
    return request.param(tmp_path)


def test_bad_input_between_good_lines(tool):
    good = [(b"GET /%d HTTP/1.1" % n, logged(b"GET /%d HTTP/1.1" % n)) for n in range(40)]
    records = [(f"10.1.1.{n}", SERVER, request) for n, (request, _) in enumerate(good)]
    records += [("10.8.8.8", SERVER, request) for request, _ in (*JOINED, *OFF)]
    records.append(("10.8.8.8", SERVER, TWO))  # there are three lines of it
    bad = [line for _, line in (*JOINED, *OFF)] + PLAIN + GARBAGE
    lines = []
    for (_, line), between in itertools.zip_longest(good, bad, fillvalue=b"x"):
        lines += [line, between]
    written = tool.run([*STRANGE, *records], BROKEN, lines)
    joined = b"\n".join(line for _, line in JOINED).split(b"\n")
    expected = [line.replace(b"127.0.0.1", b"10.8.8.8") for line in joined]
    expected += [line.replace(b"127.0.0.1", tool.off or b"10.8.8.8") for _, line in OFF]
    expected += [line.replace(b"127.0.0.1", b"10.1.1.%d" % n) for n, (_, line) in enumerate(good)]
    expected += PLAIN + [b"x"] * (len(good) - len(bad))
    expected += [] if tool.counts_garbage else GARBAGE
    assert sorted(written) == sorted(expected)
    assert b"bad_records=%d " % len(BROKEN) in tool.said
    assert b"garbage=%d " % len(GARBAGE) in tool.said


def test_a_flood_takes_bounded_memory_and_harms_no_reliable_line(tmp_path):
    farm = Farm(tmp_path)
    daemon = farm.start()
    try:
        sender = farm.penlog("--reliable", source="127.0.0.6")
        flood = threading.Thread(target=pour, args=(farm,))
        flood.start()
        lines = [b'a b c [%b] "GET /good/%d" 200' % (NOW, n) for n in range(500)]
        for line in lines:
            sender.stdin.write(line + b"\n")
            sender.stdin.flush()
        flood.join()
        _, said = sender.communicate()
        wait_for(lambda: receive_queue(farm.port) == 0, 60)
        memory = int(re.search(r"VmHWM:\s+(\d+)", status(daemon))[1])
        stop(daemon)
        written = farm.lines()
        assert (said, sender.returncode) == (b"", 0)
        assert [line for line in written if b"/good/" in line] == lines
        assert len(written) > len(lines)
        assert memory < 400_000
    finally:
        daemon.kill()
        daemon.communicate()


def status(process):
    return Path(f"/proc/{process.pid}/status").read_text()


def pour(farm):
    """Send 300 MB of lines and records as fast as may be."""
    lines = [logged(b"GET /%d" % n + b"x" * 3_000) for n in range(100)]
    strange = [datagram("10.9.9.9", "no.such.host", b"GET /%d" % n + b"y" * 900) for n in range(50)]
    for _ in range(800):
        farm.send(*lines, *strange)


def test_a_format_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "empty").touch()
    path = f"{tmp_path}/empty"
    done = mergelogs("-p", path, "--format", '%h %Z "%r"', f"{SERVER}:{path}")
    assert done.returncode == 2
    assert "'%Z' is no directive that Apache 2.4 or penlogd knows" in done.stderr
