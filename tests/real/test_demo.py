"""`make run`: what it shows, and that it leaves nothing behind."""

import http.client
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.real.apache import Apache
from tests.real.peers import ROOT, SUITE, accepts, wait_for

DEMO = [sys.executable, str(ROOT / "etc" / "demo"), "--bin", str(SUITE)]
CLIENTS = [f"127.0.0.{number}" for number in range(11, 17)]


def marked(environment_word):
    """The processes with this word in their environment, which children inherit."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if environment_word.encode() in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found


class Demo:
    """A run of the demonstration, whose processes all carry a mark."""

    def __init__(self, tmp_path):
        self._mark = f"PEN_DEMO_TEST={tmp_path}"
        self._folder = tmp_path
        self.environment = os.environ | {"PEN_DEMO_TEST": str(tmp_path), "TMPDIR": str(tmp_path)}
        self.process = None

    def start(self, *arguments, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            [*DEMO, *arguments],
            stdin=stdin,
            stdout=(self._folder / "out").open("wb"),
            stderr=(self._folder / "err").open("wb"),
            env=self.environment,
            start_new_session=True,
        )
        return self

    def out(self):
        return (self._folder / "out").read_text()

    def err(self):
        return (self._folder / "err").read_text()

    def wait(self, seconds=15):
        return self.process.wait(seconds)

    def wait_until_it_says(self, text):
        wait_for(lambda: text in self.out(), lambda: f"{text!r} in {self.out()} {self.err()}")

    def left(self):
        return marked(self._mark), list(self._folder.glob("pen-demo-*"))

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in marked(self._mark):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def demo(tmp_path):
    demo = Demo(tmp_path)
    yield demo
    demo.close()


def section(text, title):
    """The lines under the heading that has this in it."""
    blocks = re.split(r"\n([^\n]+)\n-+\n", text)
    titles = [number for number, block in enumerate(blocks) if number % 2 and title in block]
    assert len(titles) == 1, (title, text)
    return blocks[titles[0] + 1].strip().splitlines()


def test_the_round(demo):
    """Without a terminal it ends by itself, having shown all that is promised."""
    started = time.monotonic()
    demo.start()
    assert (demo.wait(), demo.err()) == (0, "")
    assert time.monotonic() - started < 15
    assert demo.left() == ([], [])
    check_round(demo.out())


def check_round(out):
    got = [line.split() for line in section(out, "two pages each")[1:7]]
    assert [words[0] for words in got] == CLIENTS
    assert all(first == second for _, first, second in got)
    assert {first for _, first, _ in got} == {"www1", "www2"}

    log = section(out, "One log")[:12]
    pages = [re.match(r'(\S+) .* "GET /\w+.html\?client=(\S+) ', line).groups() for line in log]
    assert sorted(pages) == sorted((client, client) for client in CLIENTS * 2)

    servers = section(out, "penctl servers")
    assert [line.split()[2] for line in servers] == ["127.0.1.1", "127.0.1.2"]

    failover = [line.split() for line in section(out, "www1 stops")[1:7]]
    assert failover == [[client, "www2"] for client in CLIENTS]
    assert "www1" in [line.split()[1] for line in section(out, "starts again")[1:3]]
    later = [line.split()[0] for line in section(out, "since then")]
    assert sorted(later) == [*CLIENTS, "127.0.0.21", "127.0.0.22"]
    assert re.match(r"http://127\.0\.0\.1:\d+/penstats", section(out, "status page")[0])


def test_on_a_terminal_it_stays_until_ctrl_c(demo):
    terminal, stdin = pty.openpty()
    demo.start(stdin=stdin)
    demo.wait_until_it_says("Ctrl-C")
    host, port = re.search(r"http://([\d.]+):(\d+)/penstats", demo.out()).groups()
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/penstats")
    answer = connection.getresponse()
    assert answer.status == 200
    assert "127.0.1.2" in answer.read().decode()
    assert demo.process.poll() is None
    demo.process.send_signal(signal.SIGINT)
    assert (demo.wait(), demo.err()) == (0, "")
    os.close(terminal)
    os.close(stdin)
    assert demo.left() == ([], [])


def test_own_servers(demo, peers):
    apache = Apache(peers, "mine", "127.0.1.4").start()
    port = free_port()
    demo.start("--listen", f"127.0.0.1:{port}", f"{apache.host}:{apache.port}")
    demo.wait_until_it_says("Ctrl-C")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/p.html")
    assert connection.getresponse().read() == b"mine\n"
    demo.process.terminate()
    assert (demo.wait(), demo.err()) == (0, "")
    assert demo.left() == ([], [])
    assert not accepts("127.0.0.1", port)


@pytest.mark.parametrize(
    ("moment", "ending"),
    [("main job", signal.SIGINT), ("1. ", signal.SIGTERM), ("4. ", signal.SIGHUP)],
)
def test_interrupted_it_leaves_nothing(demo, moment, ending):
    demo.start()
    demo.wait_until_it_says(moment)
    demo.process.send_signal(ending)
    assert demo.wait() == 130
    assert demo.err() == "\nmake run: interrupted\n"
    assert demo.left() == ([], [])


def test_interrupted_while_it_starts_it_leaves_nothing(demo):
    demo.start()
    wait_for(lambda: len(demo.left()[0]) > 2, "some processes")
    demo.process.terminate()
    assert demo.wait() == 130
    assert demo.left() == ([], [])


def test_server_that_cannot_be(demo):
    demo.start("--listen", f"127.0.0.1:{free_port()}", "no.such.host.invalid:80")
    assert demo.wait(60) == 1
    assert demo.err().startswith("\nmake run: pen did not start; it said:\n")
    assert "no.such.host.invalid" in demo.err()
    assert "Traceback" not in demo.err()
    assert demo.left() == ([], [])


def test_address_in_use(demo, peers):
    apache = Apache(peers, "taken", "127.0.1.5").start()
    demo.start("--listen", f"{apache.host}:{apache.port}")
    assert demo.wait() == 1
    assert demo.err().startswith("\nmake run: pen did not start; it said:\n")
    assert "in use" in demo.err()
    assert demo.left() == ([], [])


def test_missing_program(demo, tmp_path):
    process = subprocess.run([*DEMO[:2], "--bin", tmp_path], capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (1, "")
    assert (
        process.stderr == f"\nmake run: there is no {tmp_path}/penlogd; `make install` makes it\n"
    )


@pytest.mark.parametrize("listen", ["8x", "0", "70000", "localhost:", "-1"])
def test_wrong_listen(demo, listen):
    demo.start("--listen", listen)
    assert demo.wait() == 2
    assert "does not end with a port" in demo.err()
