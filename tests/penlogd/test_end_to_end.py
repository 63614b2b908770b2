"""Real processes and sockets: penlog and penlogd, ours and Debian's, in every pairing."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from penlog.records import about_connection, connection_line
from tests.ports import free_port

OUR_PENLOG = (sys.executable, "-c", "from penlog.cli import main; main()")
OUR_PENLOGD = (sys.executable, "-c", "from penlogd.cli import main; main()")
DEBIAN_PENLOG, DEBIAN_PENLOGD = ("/usr/bin/penlog",), ("/usr/bin/penlogd",)
LINE = b'127.0.0.1 - - [%b] "GET /%b HTTP/1.1" 200 5 "-" "agent"'


def wait_for(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return value


def stamp():
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()).encode()


def listening(port):
    return receive_queue(port) is not None


def receive_queue(port):
    """Return the bytes that wait in the IPv4 socket bound to the port, None if there is none."""
    for row in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = row.split()
        if words[1].endswith(f":{port:04X}"):
            return int(words[4].partition(":")[2], 16)
    return None


class Farm:
    """A penlogd and what is sent to it."""

    def __init__(self, folder):
        self.log = folder / "access.log"
        self.spool = folder / "spool"
        self.port = free_port()
        self.started = []

    def start(self, *words, command=OUR_PENLOGD, log=True):
        place = ["-l", str(self.log)] if log else []
        process = subprocess.Popen(
            [*command, "-f", *place, *words, str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        wait_for(lambda: listening(self.port) or process.poll() is not None)
        return process

    def send(self, *datagrams, source="127.0.0.5"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            for datagram in datagrams:
                sock.sendto(datagram, ("127.0.0.1", self.port))

    def penlog(self, *words, command=OUR_PENLOG, source="127.0.0.5", **options):
        spool = ["--spool", str(self.spool)] if command is OUR_PENLOG else []
        words = [*command, *spool, *words, "127.0.0.1", str(self.port), source]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.started.append(process)
        return process

    def lines(self):
        return self.log.read_bytes().splitlines() if self.log.exists() else []

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def farm(tmp_path):
    farm = Farm(tmp_path)
    yield farm
    farm.close()


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    assert process.wait(15) == 0
    return process


@pytest.mark.parametrize("penlog", [OUR_PENLOG, DEBIAN_PENLOG], ids=["our-penlog", "c-penlog"])
@pytest.mark.parametrize("penlogd", [OUR_PENLOGD, DEBIAN_PENLOGD], ids=["our-penlogd", "c-penlogd"])
def test_every_pairing_with_debians_tools_gives_the_clients(farm, penlog, penlogd):
    daemon = farm.start(command=penlogd)
    for number in range(50):
        farm.send(b"+ 10.9.9.%d 127.0.0.5 GET /%d HTTP/1.1\n" % (number, number))
    sender = farm.penlog(command=penlog)
    sender.communicate(b"".join(LINE % (stamp(), b"%d" % n) + b"\n" for n in range(50)))
    assert sender.returncode == 0
    if penlogd is DEBIAN_PENLOGD:  # unlike ours it drops at TERM what it has not read yet
        wait_for(lambda: receive_queue(farm.port) == 0)
    stop(daemon)
    lines = farm.lines()
    assert [line.split()[0] for line in lines] == [b"10.9.9.%d" % n for n in range(50)]
    assert all(line.endswith(b' HTTP/1.1" 200 5 "-" "agent"') for line in lines)


def test_debians_penlogd_passes_over_connection_records(farm):
    daemon = farm.start(command=DEBIAN_PENLOGD)
    about = about_connection("tcp", ("10.9.9.9", 1), ("127.0.0.1", 2), ("127.0.0.5", 80), 1e9)
    told = [connection_line(about, 0, 0, 0, None), connection_line(about, 1, 2, 3, "done")]
    farm.send(b"+ 10.9.9.9 127.0.0.5 GET /1 HTTP/1.1\n", *told, b"".join(told * 6))
    farm.send(LINE % (stamp(), b"1"))
    wait_for(lambda: receive_queue(farm.port) == 0)
    stop(daemon)
    assert [line.split()[0] for line in farm.lines()] == [b"10.9.9.9"]


def test_a_burst_of_20000_lines_loses_none(farm):
    daemon = farm.start()
    sender = farm.penlog()
    lines = b"".join(LINE % (stamp(), b"%d" % n) + b"\n" for n in range(20_000))
    _, said = sender.communicate(lines)
    stop(daemon)
    assert said == b""
    requests = [line.split()[6] for line in farm.lines()]
    assert requests == [b"/%d" % n for n in range(20_000)]


def test_penlog_reads_on_after_term_until_end_of_file(farm):
    daemon = farm.start("--hold", "0")
    sender = farm.penlog()
    sender.stdin.write(LINE % (stamp(), b"before") + b"\n")
    sender.stdin.flush()
    wait_for(lambda: len(farm.lines()) == 1)  # it runs, so its signals are set
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        sender.send_signal(number)
    sender.stdin.write(LINE % (stamp(), b"after") + b"\n")
    sender.stdin.flush()
    wait_for(lambda: len(farm.lines()) == 2)
    assert sender.poll() is None
    sender.stdin.write(b"no newline at the end")
    sender.stdin.close()
    assert sender.wait(15) == 0
    stop(daemon)
    assert farm.lines()[2] == b"no newline at the end"


def test_a_line_too_long_for_a_datagram_arrives_with_its_quotes_closed(farm):
    daemon = farm.start()
    farm.send(b"+ 10.9.9.9 127.0.0.5 GET /" + b"x" * 990 + b"\n")
    sender = farm.penlog("--plain")
    _, said = sender.communicate(LINE % (stamp(), b"x" * 100_000) + b"\n")
    assert b"1 lines were too long and were cut" in said
    stop(daemon)
    (line,) = farm.lines()
    assert line.startswith(b"10.9.9.9 - - [")
    assert line.endswith(b'x[cut]" 200 5 "-" "agent"')


def test_a_line_of_any_length_arrives_uncut_over_a_connection(farm):
    daemon = farm.start()
    sender = farm.penlog("--reliable")
    line = LINE % (stamp(), b"x" * 500_000)
    _, said = sender.communicate(line + b"\n")
    stop(daemon)
    assert (farm.lines(), said) == ([line], b"")


def test_penlogd_started_again_gets_the_lines_of_the_meantime(farm):
    first = farm.start("--hold", "0")
    sender = farm.penlog()
    for number, line in enumerate((b"one\n", b"two\n", b"three\n")):
        sender.stdin.write(line)
        sender.stdin.flush()
        if number == 0:
            wait_for(lambda: farm.lines())
            stop(first)
    farm.start("--hold", "0")
    wait_for(lambda: farm.lines() == [b"one", b"two", b"three"])


def test_hup_writes_what_is_held_and_follows_the_name(farm):
    daemon = farm.start("--hold", "60", "-d")
    farm.send(LINE % (stamp(), b"one"))
    wait_for(lambda: receive_queue(farm.port) == 0)
    old = farm.log.with_suffix(".1")
    farm.log.rename(old)
    daemon.send_signal(signal.SIGHUP)
    wait_for(farm.log.exists)
    assert b"/one " in old.read_bytes()
    farm.send(LINE % (stamp(), b"two"))
    stop(daemon)
    assert b"/two " in farm.log.read_bytes()


def test_term_writes_what_is_held_and_what_is_still_in_the_socket(farm):
    daemon = farm.start("--hold", "60")
    daemon.send_signal(signal.SIGSTOP)
    farm.send(*[LINE % (stamp(), b"%d" % n) for n in range(2000)])
    daemon.send_signal(signal.SIGTERM)
    daemon.send_signal(signal.SIGCONT)
    assert daemon.wait(15) == 0
    assert len(farm.lines()) == 2000


def test_usr1_tells_statistics_and_garbage_harms_nothing(farm):
    daemon = farm.start()
    farm.send(b"", b"\n", b"\0" * 65_507, b"+ x\n", b"x" * 65_507, b"no quotes\n")
    wait_for(lambda: receive_queue(farm.port) == 0)
    daemon.send_signal(signal.SIGUSR1)
    said = daemon.stderr.readline().decode()
    assert said.startswith("penlogd: lines_received=2 lines_written=")
    counted = dict(word.split("=") for word in said.split()[1:])
    assert (counted["bad_records"], counted["lines_garbage"]) == ("1", "3")
    assert counted["datagrams_dropped"] == "0"
    stop(daemon)
    assert farm.lines() == [b"x" * 65_507, b"no quotes"]


def test_lines_to_standard_output_survive_a_slow_reader(farm):
    daemon = farm.start("--hold", "0", log=False)
    farm.send(*[LINE % (stamp(), b"%d" % n) for n in range(5000)])
    wait_for(lambda: receive_queue(farm.port) == 0)
    read = b""
    while read.count(b"\n") < 5000:
        read += os.read(daemon.stdout.fileno(), 1 << 16)
    stop(daemon)
    assert [line.split()[6] for line in read.splitlines()] == [b"/%d" % n for n in range(5000)]


def test_hup_while_a_slow_reader_holds_up_a_pipe(farm):
    os.mkfifo(farm.log)
    reader = os.open(farm.log, os.O_RDONLY | os.O_NONBLOCK)
    daemon = farm.start("--hold", "0")
    farm.send(*[LINE % (stamp(), b"%d" % n) for n in range(3000)])
    wait_for(lambda: waiting(reader) > 60_000)
    daemon.send_signal(signal.SIGHUP)
    daemon.send_signal(signal.SIGUSR1)
    assert b"lines_received=" in daemon.stderr.readline()
    os.set_blocking(reader, True)
    read = b""
    while read.count(b"\n") < 3000:
        read += os.read(reader, 1 << 16)
    stop(daemon)
    os.close(reader)
    assert [line.split()[6] for line in read.splitlines()] == [b"/%d" % n for n in range(3000)]


def waiting(pipe):
    """Return the bytes that are in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_in_the_background_with_a_pid_file_and_another_user(farm, tmp_path):
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    pidfile = tmp_path / "penlogd.pid"
    words = ["-l", str(farm.log), "-p", str(pidfile), "-u", "nobody", str(farm.port)]
    done = subprocess.run([*OUR_PENLOGD, *words], capture_output=True, timeout=15)
    assert (done.returncode, done.stderr) == (0, b"")
    pid = int(wait_for(lambda: pidfile.exists() and pidfile.read_text().strip()))
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Uid:\t65534\t65534\t65534\t65534" in status
        assert "Gid:\t65534\t65534\t65534\t65534" in status
        assert "Groups:\t65534" in status
        second = subprocess.run([*OUR_PENLOGD, "-p", str(pidfile), str(free_port())],
                                capture_output=True, timeout=15)  # fmt: skip
        assert second.returncode == 1
        assert f"in use by running process {pid}".encode() in second.stderr
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert not pidfile.exists()


def test_in_a_chroot_the_files_are_inside(farm, tmp_path):
    daemon = farm.start("-j", str(tmp_path), "-l", "/jailed.log", "-p", "/pid", log=False)
    farm.send(LINE % (stamp(), b"x"))
    pid = tmp_path / "pid"
    assert wait_for(lambda: pid.exists() and pid.read_text()).strip() == str(daemon.pid)
    stop(daemon)
    assert b"/x " in (tmp_path / "jailed.log").read_bytes()
    assert not (tmp_path / "pid").exists()


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["99999"], 2, "a port is a number from 1 to 65535"),
        (["host:"], 2, "no port after the colon"),
        ([], 2, "Missing argument"),
        (["-x", "1000"], 2, "No such option"),
        (["-n", "0", "1000"], 2, "0 is not in the range"),
        (["--format", "%h %Z", "1000"], 2, "'%Z' is no directive that Apache 2.4 or penlogd knows"),
        (["--format", "%r", "1000"], 2, "shows no client: add %h, %a or $remote_addr"),
        (["--server-format", "::1", "%h %J", "1000"], 2, "'%J' is no directive"),
        (["--server", "www1", "1000"], 2, "www1: expected name=address"),
        (["--server-field", "%A", "--format", "common", "1000"], 2, "no log format has '%A'"),
        (["--order", "arrival", "1000"], 2, "'arrival' is not one of"),
        (["-l", "/no/such/folder/log", "PORT"], 1, "log file /no/such/folder/log: No such file"),
        (["-p", "/no/such/folder/pid", "PORT"], 1, "pid file /no/such/folder/pid: No such file"),
        (["-u", "nosuchuser", "PORT"], 1, "unknown user nosuchuser"),
        (["-j", "/no/such/folder", "PORT"], 1, "chroot to /no/such/folder: No such file"),
        (["no-such-host.invalid:1000"], 1, "cannot listen on no-such-host.invalid:1000"),
        (["nosuchservice"], 1, "cannot listen on port nosuchservice"),
    ],
)
def test_mistakes_are_told_on_the_terminal(words, status, message):
    words = [str(free_port()) if word == "PORT" else word for word in words]
    done = subprocess.run([*OUR_PENLOGD, *words], capture_output=True, text=True, timeout=15)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told(farm):
    farm.start()
    done = subprocess.run([*OUR_PENLOGD, str(farm.port)], capture_output=True, timeout=15)
    assert done.returncode == 1
    assert b"Address already in use" in done.stderr


def test_ipv6_senders_and_servers(farm):
    daemon = farm.start()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect(("::1", farm.port))
        sock.send(b"+ 2001:db8::9 ::1 GET /x HTTP/1.1\n")
        sock.send(LINE % (stamp(), b"x"))
    stop(daemon)
    assert farm.lines()[0].startswith(b"2001:db8::9 - - [")
