"""Names are looked up while traffic goes on: a real name server that answers when told."""

import ctypes
import os
import random
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.pen.conftest import DEADLINE, naming, until

CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_BIND = 0x20000, 0x4000, 1 << 18, 0x1000


class NameServer:
    """Answers A queries on port 53 of a loopback address of its own, one gate per name."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host = self._bind()
        self.addresses: dict[str, str] = {}
        self.asked: list[str] = []
        self.open = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _bind(self) -> str:
        while True:
            host = f"127.{random.randint(100, 250)}.{random.randint(1, 250)}.53"
            try:
                self._socket.bind((host, 53))
            except OSError:
                continue
            return host

    def _run(self) -> None:
        while True:
            try:
                query, client = self._socket.recvfrom(512)
            except OSError:
                return
            threading.Thread(target=self._answer, args=(query, client), daemon=True).start()

    def _answer(self, query: bytes, client: tuple[str, int]) -> None:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        question, kind = query[12 : at + 5], query[at + 2]
        name = ".".join(labels)
        self.asked.append(name)
        self.open.wait(DEADLINE)
        address = self.addresses.get(name)
        records = b""
        if address is not None and kind == 1:
            records = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + socket.inet_aton(address)
        code = 0 if address is not None else 3  # NXDOMAIN, RFC 1035 4.1.1
        head = query[:2] + bytes([0x81, 0x80 | code, 0, 1, 0, bool(records), 0, 0, 0, 0])
        try:
            self._socket.sendto(head + question + records, client)
        except OSError:
            pass

    def close(self) -> None:
        self.open.set()
        self._socket.close()


@pytest.fixture
def dns():
    server = NameServer()
    yield server
    server.close()


@pytest.fixture
def asking(dns: NameServer, tmp_path: Path):
    """Makes a process, before it becomes pen, see a resolv.conf that names our server."""
    config = tmp_path / "resolv.conf"
    config.write_text(f"nameserver {dns.host}\noptions timeout:20 attempts:1\n")
    libc = ctypes.CDLL(None, use_errno=True)

    def unshare() -> None:
        target, source = b"/etc/resolv.conf", os.fsencode(config)
        for failed in (
            libc.unshare(CLONE_NEWNS),
            libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None),
            libc.mount(source, target, None, MS_BIND, None),
        ):
            if failed:
                os._exit(99)

    return unshare


def in_thread(call, *arguments) -> tuple[threading.Thread, list]:
    """Call in a thread; the list will hold the result."""
    results: list = []
    thread = threading.Thread(target=lambda: results.append(call(*arguments)), daemon=True)
    thread.start()
    return thread, results


def test_a_command_with_a_name_waits_and_traffic_does_not(pen, backend, dns, asking):
    a, b = backend(naming(b"a")), backend(naming(b"b"), "127.0.0.2")
    running = pen("-r", f"127.0.0.1:{a.port}", preexec=asking)
    dns.addresses["www.pen.test"] = "127.0.0.2"
    thread, replies = in_thread(
        running.ctl, f"server 0 address www.pen.test port {b.port} weight 7"
    )
    until(lambda: "www.pen.test" in dns.asked, "the name is asked for")
    assert [running.ask() for _ in range(5)] == [b"a"] * 5
    assert running.servers()[0]["weight"] == "0"
    assert not replies
    dns.open.set()
    thread.join(DEADLINE)
    assert replies == [""]
    assert running.ask() == b"b"
    assert running.servers()[0]["addr"] == "127.0.0.2"


def test_a_name_that_is_not_there_changes_nothing(pen, backend, dns, asking):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}", preexec=asking)
    dns.open.set()
    reply = running.ctl("server 0 weight 9 address nobody.pen.test")
    assert reply.startswith("error: host 'nobody.pen.test' cannot be resolved")
    assert running.servers()[0]["weight"] == "0"
    assert running.ask() == b"a"


def test_whoever_leaves_before_the_reply_disturbs_nobody(pen, backend, dns, asking):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}", preexec=asking)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(running.control)
        caller.sendall(b"server 1 address www.pen.test port 1\n")
        until(lambda: dns.asked, "the name is asked for")
    dns.addresses["www.pen.test"] = "127.0.0.2"
    dns.open.set()
    until(lambda: len(running.servers()) == 2, "the command was carried out")
    assert running.ask() == b"a"


def test_hup_resolves_all_names_first_and_loses_no_time(pen, backend, dns, asking, tmp_path):
    a, b = backend(naming(b"a")), backend(naming(b"b"), "127.0.0.2")
    inner, config, log = tmp_path / "inner", tmp_path / "conf", tmp_path / "log"
    inner.write_text("")
    config.write_text(f"include {inner}\n")
    running = pen("-r", "-l", log, "-F", config, f"127.0.0.1:{a.port}", preexec=asking)
    inner.write_text(f"server 0 address www.pen.test port {b.port}\n")
    config.write_text(f"timeout 9\ninclude {inner}\n")
    log.rename(tmp_path / "log.1")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "www.pen.test" in dns.asked, "the name is asked for")
    assert log.exists()  # rotation does not wait for names
    assert [running.ask() for _ in range(5)] == [b"a"] * 5
    assert running.ctl("timeout") == "3\n"
    dns.addresses["www.pen.test"] = "127.0.0.2"
    dns.open.set()
    until(lambda: running.ctl("timeout") == "9\n", "the config holds")
    assert running.ask() == b"b"


def test_hup_keeps_the_address_of_a_name_that_is_gone(pen, backend, dns, asking, tmp_path):
    a = backend(naming(b"a"))
    config = tmp_path / "conf"
    config.write_text(f"server 0 address www.pen.test port {a.port}\nblacklist 5\n")
    dns.addresses["www.pen.test"] = "127.0.0.1"
    dns.open.set()
    running = pen("-F", config, preexec=asking)
    del dns.addresses["www.pen.test"]
    config.write_text(f"server 0 address www.pen.test port {a.port}\nblacklist 6\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.ctl("blacklist") == "6\n", "the rest of the config holds")
    assert "HUP: server 0: host 'www.pen.test' cannot be resolved" in running.stderr
    assert "keeping 127.0.0.1" in running.stderr
    assert running.ask() == b"a"
    dns.addresses["www.pen.test"] = "127.0.0.3"
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.servers()[0]["addr"] == "127.0.0.3", "the name is looked up again")


def test_the_later_hup_counts(pen, backend, dns, asking, tmp_path):
    """The first one's name takes longer; what it read is out of date by then."""
    config = tmp_path / "conf"
    config.write_text("")
    running = pen("-F", config, f"127.0.0.1:{backend(naming(b'a')).port}", preexec=asking)
    config.write_text("server 1 address slow.pen.test port 1\ntimeout 8\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "slow.pen.test" in dns.asked, "the name is asked for")
    config.write_text("timeout 9\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.ctl("timeout") == "9\n", "the second holds")
    dns.addresses["slow.pen.test"] = "127.0.0.2"
    dns.open.set()
    assert running.ctl("server 2 address slow.pen.test port 1") == ""  # so it was found
    assert running.ctl("timeout") == "9\n"
    assert running.servers()[1]["addr"] == "0.0.0.0"


def test_nobody_who_ends_pen_waits_for_names(pen, backend, dns, asking):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}", preexec=asking)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(running.control)
        caller.sendall(b"server 1 address www.pen.test port 1\n")
        until(lambda: dns.asked, "the name is asked for")
        assert running.stop() == 0


@pytest.mark.parametrize("command", ["listen www.pen.test:0", "log www.pen.test:9"])
def test_other_commands_with_names_wait_as_well(pen, backend, dns, asking, command):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}", preexec=asking)
    dns.addresses["www.pen.test"] = "127.0.0.1"
    thread, replies = in_thread(running.ctl, command)
    until(lambda: dns.asked, "the name is asked for")
    assert running.ask() == b"a"
    assert not replies
    dns.open.set()
    thread.join(DEADLINE)
    assert len(replies) == 1
    assert not replies[0].startswith("error")
