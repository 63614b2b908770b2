"""Nothing is lost on the way: real processes, killed, cut off and out of disk. Every line counts.

Needs root, for network namespaces and a small file system.
"""

import os
import random
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.real.peers import SUITE, accepts, group_of, receives, wait_for

DEBIAN_PENLOG = "/usr/bin/penlog"
STAMP = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()).encode()


def lines(first, last):
    """Lines that tell their numbers."""
    return b"".join(
        b'192.0.2.1 - - [%b] "GET /%d HTTP/1.1" 200 5 "-" "-"\n' % (STAMP, number)
        for number in range(first, last)
    )


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def quiet_port():
    """A port for datagrams and connections that no connection gets while penlogd is away."""
    while True:
        port = random.randrange(20_000, 32_000)  # below those that the kernel gives
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.bind(("0.0.0.0", port))
                socket.create_server(("0.0.0.0", port)).close()
        except OSError:
            continue
        return port


def ready(fd: int, event: int) -> bool:
    """Whether a descriptor is ready now; select() would not take those from 1024 on."""
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(0))


class Site:
    """A penlogd, and loggers that read from pipes that outlive them, as Apache's do."""

    def __init__(self, peers):
        self.peers = peers
        self.folder = peers.folder
        self.log = self.folder / "log" / "access.log"
        self.log.parent.mkdir()
        self.port = quiet_port()
        self.host = "127.0.0.1"
        self.within = {"penlogd": [], "penlog": []}
        self.options = ["--hold", "0.3"]
        self.runs = 0
        self.written = 0
        self.pipes = []
        self.loggers = []

    def start_penlogd(self, *options):
        self.runs += 1
        command = [*self.within["penlogd"], SUITE / "penlogd", "-f", "-d", "-l", self.log]
        command += [*self.options, *options, str(self.port)]
        serves = lambda: b"receive buffer" in self._output("penlogd")  # noqa: E731
        self.penlogd = self.peers.start(f"penlogd{self.runs}", command, serves)
        return self.penlogd

    def _output(self, name):
        return (self.folder / f"{name}{self.runs}.output").read_bytes()

    def pipe(self):
        """Make what a web server writes into; returns its two ends."""
        self.pipes.append(os.pipe())
        os.set_blocking(self.pipes[-1][1], False)
        return self.pipes[-1]

    def start_penlog(self, pipe, *options, program=SUITE / "penlog"):
        command = [*self.within["penlog"], program, *options, self.host, str(self.port)]
        if program != DEBIAN_PENLOG:
            command[-2:-2] = ["--spool", self.folder / "spool"]
        said = (self.folder / "penlog.output").open("ab")
        logger = subprocess.Popen(list(map(str, command)), stdin=pipe[0], stderr=said)
        said.close()
        self.loggers.append(logger)
        return logger

    def write(self, pipe, count):
        """Write the next lines as a web server does."""
        data = lines(self.written, self.written + count)
        self.written += count
        while data:
            wait_for(lambda: ready(pipe[1], select.POLLOUT), "a logger that reads")
            data = data[os.write(pipe[1], data) :]

    def end(self, pipe):
        """Close what was written into."""
        for fd in pipe:
            os.close(fd)
        self.pipes.remove(pipe)

    def text(self):
        """The log, in all its files."""
        files = [path for path in self.log.parent.glob("access.log*") if "journal" not in path.name]
        return b"".join(path.read_bytes() for path in files)

    def count(self):
        """How many lines are in the log."""
        return self.text().count(b"\n")

    def check(self, seconds=30):
        """All lines come, each once."""
        wait_for(
            lambda: self.count() >= self.written,
            lambda: f"{self.written} lines; {self.count()} came; penlog said {self.said()}",
            seconds,
        )
        self.penlogd.terminate()
        numbers = [int(line.split()[6][1:]) for line in self.text().splitlines()]
        assert sorted(numbers) == list(range(self.written))

    def said(self):
        return (self.folder / "penlog.output").read_text()

    def close(self):
        for logger in self.loggers:
            if logger.poll() is None:
                logger.kill()
            logger.wait()
        for pipe in list(self.pipes):
            self.end(pipe)


@pytest.fixture
def site(peers):
    site = Site(peers)
    yield site
    site.close()


@pytest.mark.parametrize("way", ["reliable", "plain", "debians"])
def test_20000_lines_flat_out_lose_none(site, way):
    site.start_penlogd()
    pipe = site.pipe()
    if way == "debians":
        logger = site.start_penlog(pipe, program=DEBIAN_PENLOG)
    else:
        logger = site.start_penlog(pipe, f"--{way}")
    site.write(pipe, 20_000)
    site.end(pipe)
    assert logger.wait(30) == 0
    site.check()


def test_penlogd_killed_again_and_again(site):
    site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    for turn in range(8):
        site.write(pipe, 1000)
        wait_for(lambda turn=turn: site.count() > turn * 800, "lines on the way")
        site.write(pipe, 500)
        site.penlogd.kill()
        site.write(pipe, 500)
        site.start_penlogd()
    site.check()


def test_the_log_rotated_between_the_kill_and_the_start(site):
    site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    for turn in range(4):
        site.write(pipe, 2000)
        wait_for(lambda turn=turn: site.count() > turn * 1500, "lines on the way")
        site.penlogd.kill()
        site.log.rename(site.log.with_suffix(f".log.{turn + 2}"))
        site.start_penlogd()
    site.check()


def test_penlog_killed_again_and_again_and_started_on_the_same_pipe(site):
    site.start_penlogd()
    pipe = site.pipe()
    for turn in range(10):
        logger = site.start_penlog(pipe)
        site.write(pipe, 700)
        if turn % 2:
            wait_for(lambda: site.count() > site.written - 700, "lines on the way")
        os.write(pipe[1], lines(site.written, site.written + 1)[:40])
        logger.kill()
        logger.wait()
        os.write(pipe[1], lines(site.written, site.written + 1)[40:])
        site.written += 1
    site.start_penlog(pipe)
    site.check()


def test_both_killed_and_two_generations_side_by_side(site):
    site.start_penlogd()
    old, new = site.pipe(), site.pipe()
    for _ in range(4):
        loggers = [site.start_penlog(pipe) for pipe in (old, new)]
        for pipe in (old, new):
            site.write(pipe, 500)
        for pipe in (old, new):
            wait_for(lambda p=pipe: not ready(p[0], select.POLLIN), "an empty pipe")
        site.penlogd.kill()
        loggers[0].send_signal(signal.SIGTERM)
        for pipe in (old, new):
            site.write(pipe, 500)
        for logger in loggers:
            logger.kill()
            logger.wait()
        site.start_penlogd()
    for pipe in (old, new):
        site.start_penlog(pipe)
        site.end(pipe)
    site.check()
    wait_for(lambda: all(logger.poll() is not None for logger in site.loggers), "their ends")
    assert list((site.folder / "spool").glob("*/*.*")) == []


def test_what_a_logger_left_is_sent_by_the_next(site):
    site.start_penlogd()
    pipe = site.pipe()
    logger = site.start_penlog(pipe)
    site.write(pipe, 100)
    wait_for(lambda: site.count() == 100, "100 lines")
    site.penlogd.kill()
    site.write(pipe, 1000)
    site.end(pipe)
    wait_for(lambda: logger.send_signal(signal.SIGTERM) or logger.poll() is not None, "its end")
    assert "stay in the spool" in site.said()
    site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    site.end(pipe)
    site.check()


def test_the_network_is_cut(site):
    """Two machines and a cable, which is out for longer than either is patient."""
    names = [f"pen{os.getpid()}{side}" for side in "ab"]
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        ends = ["veth0", "netns", names[0]], ["veth0", "netns", names[1]]
        run("ip", "link", "add", *ends[0], "type", "veth", "peer", "name", *ends[1])
        for number, name in enumerate(names, 1):
            run("ip", "-n", name, "address", "add", f"10.0.0.{number}/24", "dev", "veth0")
            run("ip", "-n", name, "link", "set", "veth0", "up")
        site.within["penlogd"] = ["ip", "netns", "exec", names[0]]
        site.within["penlog"] = ["ip", "netns", "exec", names[1]]
        site.host = "10.0.0.1"
        site.start_penlogd()
        pipe = site.pipe()
        site.start_penlog(pipe)
        site.write(pipe, 1000)
        wait_for(site.count, "lines on the way")
        run("ip", "-n", names[0], "link", "set", "veth0", "down")
        before = site.count()
        end = time.monotonic() + 14
        while time.monotonic() < end:  # as a web server goes on meanwhile
            site.write(pipe, 100)
            time.sleep(0.1)
        assert site.count() <= max(before, 1000)
        run("ip", "-n", names[0], "link", "set", "veth0", "up")
        site.check()
    finally:
        site.close()
        site.peers.close_processes()
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


@pytest.fixture
def small_disk(site):
    """The log's folder on a file system of its own."""
    folder = site.log.parent
    run("mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder))
    yield folder
    site.close()
    site.peers.close_processes()
    run("umount", str(folder))


def fill(folder):
    """Fill a file system; returns the file to remove."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


@pytest.mark.parametrize("way", ["reliable", "plain"])
def test_the_logs_disk_is_full_for_a_while(site, small_disk, way):
    penlogd = site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe, f"--{way}")
    site.write(pipe, 500)
    wait_for(lambda: site.count() == 500, "500 lines")
    filler = fill(small_disk)
    site.write(pipe, 5000)
    wait_for(lambda: "No space left" in penlogd.said(), "complaint")
    filler.unlink()
    site.check()
    assert penlogd.said().count("keeping up to") <= 1
    assert penlogd.said().count("senders keep their lines") <= 1


def test_killed_while_the_disk_is_full(site, small_disk):
    penlogd = site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    site.write(pipe, 500)
    wait_for(lambda: site.count() == 500, "500 lines")
    filler = fill(small_disk)
    site.write(pipe, 3000)
    wait_for(lambda: "No space left" in penlogd.said(), "complaint")
    penlogd.kill()
    filler.unlink()
    site.start_penlogd()
    site.check()


def test_the_spools_disk_is_full(site):
    """Lines go through memory then, and none is lost as long as nobody is killed."""
    spool = site.folder / "spool"
    spool.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(spool))
    try:
        pipe = site.pipe()
        site.start_penlog(pipe)
        site.write(pipe, 20_000)
        wait_for(lambda: "keeping lines in memory" in site.said(), "complaint")
        site.start_penlogd()
        site.check()
    finally:
        site.close()
        run("umount", str(spool))


def test_penlog_killed_under_a_real_apache(farm, pool):
    """Apache starts another on the same pipe, which goes on."""
    apache = farm.web_servers[0]

    def ask(number):
        return farm.get("127.0.0.30", f"/p.html?n={number}")[0]

    asked = [pool.submit(ask, number) for number in range(600)]
    for share in (100, 300, 500):
        wait_for(lambda share=share: sum(answer.done() for answer in asked) > share, "requests")
        for pid in wait_for(lambda: loggers_of(apache), "a logger of Apache's"):
            os.kill(pid, signal.SIGKILL)
    assert {answer.result() for answer in asked} == {200}
    logged = farm.wait_for_lines(600)
    assert sorted(url for _, url, _ in logged) == sorted(f"/p.html?n={n}" for n in range(600))


def loggers_of(apache):
    """The processes that run penlog for an Apache."""
    members = group_of(apache.peer.pid)
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in members}
    return [
        pid for pid, path in commands.items()
        if path.exists() and b"/penlog\0" in path.read_bytes()
    ]  # fmt: skip


def test_tls_with_certificates_both_ways_and_a_list_of_senders(site):
    authority, own = site.folder / "ca.pem", site.folder / "own.pem"
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-subj", "/CN=loghost", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", str(own), "-out", str(authority))  # fmt: skip
    own.write_text(own.read_text() + authority.read_text())
    tls = ("--tls-cert", own, "--tls-ca", authority)
    site.start_penlogd(*tls, "--allow", "127.0.0.1")
    pipe = site.pipe()
    site.start_penlog(pipe, "--tls", authority, "--tls-cert", own)
    site.write(pipe, 5000)
    wait_for(site.count, "lines on the way")
    site.penlogd.kill()
    site.write(pipe, 5000)
    site.start_penlogd(*tls, "--allow", "127.0.0.1")
    stranger = site.pipe()
    site.start_penlog(stranger, "--tls", authority)
    os.write(stranger[1], b"not welcome\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.9", 0))
        sock.sendto(b"not welcome\n", ("127.0.0.1", site.port))
    site.check()


def test_a_port_that_others_have_leaves_datagrams(site):
    with socket.create_server(("127.0.0.1", 0)) as other:
        site.port = other.getsockname()[1]
        penlogd = site.start_penlogd()
        assert "taking datagrams only" in penlogd.said()
        assert receives(site.port)
        assert accepts("127.0.0.1", site.port)
        pipe = site.pipe()
        site.start_penlog(pipe)
        for _ in range(2):  # what accepts() left, and the logger
            other.accept()[0].close()
        site.write(pipe, 1000)
        site.check()
