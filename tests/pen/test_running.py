"""Starting, signals, logs, the background: what an operator sees."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.pen.conftest import BIN, DEADLINE, naming, until
from tests.ports import free_port


def run(*arguments: object) -> subprocess.CompletedProcess:
    """Run pen to its end; it must not stay."""
    words = [str(argument) for argument in arguments]
    return subprocess.run(
        [BIN / "pen", *words], capture_output=True, text=True, timeout=DEADLINE, check=False
    )


BAD_USAGE = [
    (["--bogus"], "No such option"),
    (["-y"], "No such option"),
    ([], "nowhere to listen"),
    (["-f"], "nowhere to listen"),
    (["8080"], "no servers"),
    (["0:x", "a"], "'x' is no port number"),
    (["99999", "127.0.0.1"], "port 99999 is out of range"),
    (["127.0.0.1:0", "127.0.0.1:70000"], "port 70000 is out of range"),
    (["127.0.0.1:0", "127.0.0.1:80:x"], "'x' is not a number"),
    (["127.0.0.1:0", "127.0.0.1:80:1:2:3:4:5"], "too many fields"),
    (["127.0.0.1:0", ":80"], "has no host"),
    (["127.0.0.1:0", "[::1:80"], "the bracket must close"),
    (["-c", "0", "127.0.0.1:0", "127.0.0.1:80"], "-c"),
    (["-x", "many", "127.0.0.1:0", "127.0.0.1:80"], "-x"),
    (["-t", "x", "127.0.0.1:0", "127.0.0.1:80"], "option -t: 'x' is not a whole number"),
    (["-o", "bogus", "127.0.0.1:0", "127.0.0.1:80"], "option -o: 'bogus' is no command"),
    (["-b"], "requires an argument"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_USAGE, ids=lambda value: str(value))
def test_bad_usage_is_one_line_and_status_2(arguments, message):
    done = run(*arguments)
    assert message in done.stderr
    assert done.stderr.startswith("pen: ")
    assert done.stderr.count("\n") == 1
    assert (done.returncode, done.stdout) == (2, "")


FAILURES = [
    (["127.0.0.1:0", "nosuchhost.invalid:80"], "host 'nosuchhost.invalid' cannot be resolved"),
    (["-l", "/nowhere/log", "127.0.0.1:0", "127.0.0.1:80"], "cannot open log file '/nowhere/log'"),
    (["-F", "/nowhere/conf", "127.0.0.1:0", "127.0.0.1:80"], "cannot read config file"),
    (["-u", "nosuchuser", "127.0.0.1:0", "127.0.0.1:80"], "user 'nosuchuser' does not exist"),
    (["-j", "/nowhere", "127.0.0.1:0", "127.0.0.1:80"], "cannot chroot to '/nowhere'"),
    (["-p", "/nowhere/pid", "127.0.0.1:0", "127.0.0.1:80"], "cannot write pid file"),
    (["192.0.2.1:0", "127.0.0.1:80"], "cannot listen on 192.0.2.1:0"),
    (["/nowhere/socket", "127.0.0.1:80"], "cannot listen on /nowhere/socket"),
    (["-o", "kqueue", "127.0.0.1:0", "127.0.0.1:80"], "kqueue is for BSD systems"),
]


@pytest.mark.parametrize(("arguments", "message"), FAILURES, ids=lambda value: str(value))
def test_a_failure_is_one_line_and_status_1(arguments, message):
    done = run(*arguments)
    assert message in done.stderr
    assert done.stderr.startswith("pen: ")
    assert done.stderr.count("\n") == 1
    assert (done.returncode, done.stdout) == (1, "")


def test_an_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:80")
    assert done.returncode == 1
    assert "address in use" in done.stderr


def test_a_second_pen_does_not_share_the_port(pen, backend):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}")
    done = run(f"127.0.0.1:{running.port}", "127.0.0.1:80")
    assert done.returncode == 1
    assert "address in use" in done.stderr


def test_obsolete_options_are_accepted_with_a_note(tmp_path):
    done = run("-S", "5", "-D", "-n", "-Q", "127.0.0.1:0")
    assert done.stderr.count("is obsolete and does nothing") == 4
    assert "no servers" in done.stderr


def test_a_config_error_names_file_and_line(tmp_path):
    config = tmp_path / "pen.conf"
    config.write_text("# a comment\ntimeout 5   # fine\n\ntimeout x\n")
    done = run("-F", config, "127.0.0.1:0", "127.0.0.1:80")
    assert done.returncode == 1
    assert f"{config}:4: 'x' is not a whole number" in done.stderr


def test_a_config_with_everything_needs_no_addresses(pen, backend, tmp_path):
    """Also: letters combine, and options may come after addresses."""
    port, pid_file = free_port(), tmp_path / "pid"
    config = tmp_path / "pen.conf"
    config.write_text(
        f"listen 127.0.0.1:{port}\nserver 0 address 127.0.0.1 port {backend(naming(b'a')).port}\n"
    )
    done = run("-rF", config, "-p", pid_file)
    try:
        assert (done.returncode, done.stderr) == (0, "")
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
            client.sendall(b"hello")
            assert client.recv(1) == b"a"
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
    until(lambda: not pid_file.exists(), "the pid file is removed")


def test_the_background(backend, tmp_path):
    """When the command returns, pen serves, and the pid file is there."""
    port, pid_file = free_port(), tmp_path / "pid"
    done = run("-p", pid_file, f"127.0.0.1:{port}", f"127.0.0.1:{backend(naming(b'a')).port}")
    pid = int(pid_file.read_text())
    try:
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert os.getsid(pid) == pid
        assert os.readlink(f"/proc/{pid}/cwd") == os.getcwd()
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
            client.sendall(b"hello")
            assert client.recv(1) == b"a"
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not pid_file.exists(), "the pid file is removed")


def test_no_control_port_for_root_unless_insisted(backend, tmp_path):
    control, pid_file = tmp_path / "control", tmp_path / "pid"
    server = f"127.0.0.1:{backend(naming(b'a')).port}"
    done = run("-C", control, "-p", pid_file, f"127.0.0.1:{free_port()}", server)
    try:
        assert done.returncode == 0
        assert "no control port" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not control.exists()
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)


def test_privileges_and_chroot(backend, tmp_path):
    tmp_path.chmod(0o755)
    port, pid_file = free_port(), tmp_path / "pid"
    server = f"127.0.0.1:{backend(naming(b'a')).port}"
    done = run("-j", tmp_path, "-u", "nobody", "-p", pid_file, f"127.0.0.1:{port}", server)
    assert (done.returncode, done.stderr) == (0, "")
    pid = int(pid_file.read_text())
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:\t65534\t65534\t65534", status, re.M)
        assert re.search(r"^Gid:\t65534\t65534\t65534", status, re.M)
        assert re.search(r"^Groups:\t65534 *$", status, re.M)
        assert os.readlink(f"/proc/{pid}/root") == str(tmp_path)
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
            client.sendall(b"hello")
            assert client.recv(1) == b"a"
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}").exists(), "pen has ended")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_end(pen, backend, number):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}")
    with running.connect() as client:
        until(lambda: running.servers()[0]["conn"] == "1", "the connection is open")
        running.process.send_signal(number)
        assert running.process.wait(DEADLINE) == 0
        assert client.recv(1) == b""
    assert not Path(running.control).exists()


def test_exit_command(pen, backend):
    running = pen("-X", f"127.0.0.1:{backend(naming(b'a')).port}")
    assert running.ctl("exit") == ""
    assert running.process.wait(DEADLINE) == 0


def test_usr1_writes_the_page_or_tells(pen, backend, tmp_path):
    page = tmp_path / "page.html"
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}")
    running.ask()
    running.process.send_signal(signal.SIGUSR1)
    until(lambda: "Active connections:" in running.stderr, "statistics on stderr")
    assert "Server 0 status:" in running.stderr
    running.ctl(f"web_stats {page}")
    running.process.send_signal(signal.SIGUSR1)
    until(page.exists, "the page is written")
    assert page.read_text().rstrip().endswith("</html>")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".pen-")]


def test_log_file_and_its_rotation(pen, backend, tmp_path):
    log = tmp_path / "pen.log"
    running = pen("-l", log, f"127.0.0.1:{backend(naming(b'a')).port}")
    before = int(time.time())
    running.ask("127.0.0.5", b"GET /one HTTP/1.0\r\nHost: x\r\n\r\n")
    line = until(log.read_text, "the request is logged")
    found = re.fullmatch(r"127\.0\.0\.5 (\d+) 127\.0\.0\.1 GET /one HTTP/1\.0\n", line)
    assert found
    assert before <= int(found[1]) <= time.time()
    log.rename(tmp_path / "pen.log.1")
    running.process.send_signal(signal.SIGHUP)
    until(log.exists, "the log is opened again")
    running.ask("127.0.0.6", b"GET /two HTTP/1.0\r\n\r\n")
    assert "GET /two" in until(log.read_text, "the request is logged")
    assert "GET /one" not in log.read_text()


def test_log_over_udp(pen, backend):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE)
        target = f"127.0.0.1:{receiver.getsockname()[1]}"
        running = pen("-l", target, f"127.0.0.1:{backend(naming(b'a')).port}")
        running.ask("127.0.0.5", b"GET /one HTTP/1.0\r\nHost: x\r\n\r\n")
        assert receiver.recv(2000) == b"+ 127.0.0.5 127.0.0.1 GET /one HTTP/1.0\n"


def test_hup_reads_the_config_again_whole_or_not_at_all(pen, backend, tmp_path):
    config = tmp_path / "pen.conf"
    config.write_text("timeout 5\nacl 3 permit 10.0.0.1\n")
    running = pen("-F", config, f"127.0.0.1:{backend(naming(b'a')).port}")
    assert running.ctl("timeout") == "5\n"
    config.write_text("timeout 6\nacl 3 permit 10.0.0.2\nserver 1 address 127.0.0.9 port 9\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.ctl("timeout") == "6\n", "the config is read again")
    assert len(running.servers()) == 2
    saved = tmp_path / "saved"
    running.ctl(f"write {saved}")
    assert [line for line in saved.read_text().splitlines() if line.startswith("acl")] == [
        "acl 3 permit 10.0.0.2 255.255.255.255"
    ]
    running.ctl(f"write {config}")
    config.write_text("timeout 7\nacl 3 deny 10.0.0.9\nserver 2 port 5\ntimeout x\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: f"{config}:4" in running.stderr, "the mistake is named")
    assert running.ctl("timeout") == "6\n"
    assert len(running.servers()) == 2
    running.ctl(f"write {saved}")
    assert "acl 3 permit 10.0.0.2" in saved.read_text()
    assert running.ask() == b"a"


def test_random_bytes_to_every_port(pen, backend):
    running = pen(f"127.0.0.1:{backend(naming(b'a')).port}")
    for seed in range(60):
        noise = os.urandom(seed * 50)
        with running.connect() as client:
            client.sendall(noise)
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(running.control)
            try:
                stream.sendall(noise)
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert running.ask() == b"a"


def test_version_and_help():
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "pen")
    done = run("--help")
    assert done.returncode == 0
    assert "host[:port[:max[:hard[:weight[:prio]]]]]" in done.stdout
