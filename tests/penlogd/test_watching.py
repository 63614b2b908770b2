"""What a running penlogd tells of itself: by USR1, in the status file and to Prometheus."""

import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from penlog.wire import HelloReader, frame, hello
from penlogd.figures import FIGURES, Kind
from tests.penlogd.test_end_to_end import (
    LINE,
    OUR_PENLOGD,
    Farm,
    receive_queue,
    stamp,
    stop,
    wait_for,
)
from tests.ports import free_port
from tests.real.dropping import Dropping

EXAMPLES = Path(__file__).parents[2] / "etc" / "prometheus"


@pytest.fixture
def farm(tmp_path):
    farm = Farm(tmp_path)
    farm.metrics = free_port()
    yield farm
    farm.close()


def start(farm, *words, host="", **more):
    daemon = farm.start("--metrics", f"{host}{farm.metrics}", *words, **more)
    wait_for(lambda: scrape(farm))
    return daemon


def scrape(farm):
    """All samples, by name and labels' values; none while penlogd does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{farm.metrics}/metrics", timeout=10) as got:
            text = got.read().decode()
    except OSError:
        return {}
    families = text_string_to_metric_families(text)
    return {
        " ".join((sample.name.removeprefix("penlogd_"), *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def until_scraped(farm, **expected):
    """Wait for these figures; return all."""

    def there():
        found = scrape(farm)
        return found if all(found.get(name) == value for name, value in expected.items()) else None

    return wait_for(there, 40)


def told(path):
    return dict(line.split("=") for line in path.read_text().splitlines())


def usr1(daemon):
    daemon.send_signal(signal.SIGUSR1)
    return dict(word.split("=") for word in daemon.stderr.readline().decode().split()[1:])


def test_prometheus_the_status_file_and_usr1_tell_the_same(farm, tmp_path):
    status = tmp_path / "status"
    daemon = start(farm, "--hold", "0.5", "--status", str(status))
    for number in range(20):
        farm.send(b"+ 10.9.9.%d 127.0.0.5 GET /%d HTTP/1.1\n" % (number, number))
    sender = farm.penlog()
    sender.communicate(b"".join(LINE % (stamp(), b"%d" % n) + b"\n" for n in range(30)))
    farm.send(b"+ x\n")
    found = until_scraped(farm, lines_written_total=30, bad_records_total=1)
    assert (found["lines_joined_total timed"], found["lines_unmatched_total"]) == (20, 10)
    wait_for(lambda: told(status)["lines_written"] == "30" and told(status)["bad_records"] == "1")
    lines = told(status)
    asked = usr1(daemon)
    for figure in FIGURES:
        if figure.label is None:
            assert lines[figure.name] == asked[figure.name]
            total = "_total" if figure.kind is Kind.COUNTER else ""
            assert float(lines[figure.name]) == found[figure.name + total]
    assert found["process_open_fds"] > 5
    stop(daemon)
    assert told(status)["lines_written"] == "30"


def test_what_is_held_and_how_far_each_server_is_behind(farm):
    daemon = start(farm, "--hold", "60")
    line = LINE % (stamp(), b"one")
    farm.send(line, source="127.0.0.5")
    old = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(time.time() - 30)).encode()
    farm.send(LINE % (old, b"one"), source="127.0.0.6")
    found = until_scraped(farm, held_lines=2, servers=2)
    assert found["held_bytes"] == 2 * len(line)
    assert 0 <= found["server_lag_seconds 127.0.0.5"] < 20
    assert 30 <= found["server_lag_seconds 127.0.0.6"] < 50
    stop(daemon)


def test_what_the_kernel_drops_is_counted(farm):
    """Its buffer has 64 MiB at most, also as root; what is more is dropped while penlogd stands."""
    daemon = start(farm, "--hold", "0", "--journal", "none")
    daemon.send_signal(signal.SIGSTOP)
    farm.send(*[b"+ " + b"\0" * 60_000] * 1500)
    dropped = kernel_drops(farm.port)
    daemon.send_signal(signal.SIGCONT)
    assert dropped > 0
    found = until_scraped(farm, bad_records_total=1500 - dropped)
    assert found["datagrams_dropped_total"] == dropped
    assert f"the kernel dropped {dropped} datagrams".encode() in daemon.stderr.readline()
    stop(daemon)


def kernel_drops(port):
    """What Linux says in the last column."""
    rows = [row.split() for row in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if row[1].endswith(f":{port:04X}"))


def test_a_sender_whose_connection_is_cut_goes_on_and_that_is_counted(farm):
    daemon = start(farm, "--hold", "0")
    network = Dropping(farm.port)
    farm.port = network.port
    sender = farm.penlog("--reliable")
    for number in range(2):
        sender.stdin.write(LINE % (stamp(), b"%d" % number) + b"\n")
        sender.stdin.flush()
        until_scraped(farm, lines_written_total=number + 1, streams_resumed_total=number)
        network.cut()
    found = until_scraped(farm, streams_resumed_total=2, connections=1, streams=1)
    assert found["repeated_bytes_total"] == 0  # it asks first what has come
    sender.stdin.close()
    assert sender.wait(15) == 0
    stop(daemon)
    network.close()
    assert [line.split()[6] for line in farm.lines()] == [b"/0", b"/1"]


def test_what_is_sent_twice_is_taken_once_and_counted(farm):
    daemon = start(farm, "--hold", "0")
    with socket.create_connection(("127.0.0.1", farm.port), timeout=10) as sock:
        line = LINE % (stamp(), b"one") + b"\n"
        sock.sendall(hello(b"a" * 32))
        assert HelloReader().welcome(sock.recv(1000))[1] == 0
        sock.sendall(frame(0, line) + frame(0, line) + frame(5, line[5:] + line))
        found = until_scraped(farm, lines_written_total=2, frames_repeated_total=2)
        assert found["repeated_bytes_total"] == len(line) + len(line) - 5
    stop(daemon)
    assert len(farm.lines()) == 2


def test_whoever_asks_badly_disturbs_nothing(farm):
    daemon = start(farm, "--hold", "0")
    crowd = [socket.create_connection(("127.0.0.1", farm.metrics)) for _ in range(100)]
    for sock in crowd[:50]:
        sock.sendall(b"\xff\x00 nonsense\r\n")
    farm.send(LINE % (stamp(), b"one"))
    wait_for(lambda: len(farm.lines()) == 1)
    assert until_scraped(farm, lines_written_total=1)
    for sock in crowd:
        sock.close()
    stop(daemon)
    assert daemon.stderr.read() == b""


def test_without_a_host_only_this_machine_may_ask(farm):
    daemon = start(farm)
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert f"0100007F:{farm.metrics:04X}" in [row[1] for row in rows if row[3] == "0A"]
    stop(daemon)


def test_in_a_chroot_and_as_another_user_it_tells_too(farm, tmp_path):
    tmp_path.chmod(0o777)
    words = ["-j", str(tmp_path), "-u", "nobody", "-l", "/log", "--status", "/status"]
    daemon = start(farm, *words, host="[::]:", log=False)
    farm.send(LINE % (stamp(), b"one"))
    until_scraped(farm, lines_received_total=1)
    wait_for(lambda: told(tmp_path / "status")["lines_received"] == "1")
    assert (tmp_path / "status").owner() == "nobody"
    stop(daemon)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--status", "/no/such/folder/x"], 1, "status file /no/such/folder/x: No such file"),
        (["--status", "/dev/null"], 1, "status file /dev/null: not a regular file"),
        (["--metrics", "192.0.2.77:9"], 1, "metrics: cannot listen on 192.0.2.77:9: Cannot assign"),
        (["--metrics", "nosuchservice"], 1, "metrics: cannot listen on port nosuchservice: "),
        (["--metrics", "70000"], 2, "a port is a number from 1 to 65535"),
    ],
)
def test_what_cannot_be_had_is_said_before_the_background(words, code, expected, tmp_path):
    command = [*OUR_PENLOGD, "-l", str(tmp_path / "log"), *words, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=15)
    assert done.returncode == code
    assert expected in done.stderr
    assert code == 2 or done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_told(farm):
    start(farm)
    words = ["--metrics", str(farm.metrics), str(free_port())]
    done = subprocess.run([*OUR_PENLOGD, "-f", *words], capture_output=True, timeout=15)
    said = f"penlogd: metrics: cannot listen on port {farm.metrics}: Address already in use\n"
    assert (done.returncode, done.stderr.decode()) == (1, said)


def test_a_status_file_that_cannot_be_written_any_more_harms_nothing(farm, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    daemon = start(farm, "--status", str(folder / "status"), "--hold", "0")
    folder.rename(tmp_path / "elsewhere")
    farm.send(LINE % (stamp(), b"one"))
    assert b"status: No such file or directory; trying again" in daemon.stderr.readline()
    farm.send(LINE % (stamp(), b"two"))
    wait_for(lambda: len(farm.lines()) == 2)
    stop(daemon)


def test_an_idle_penlogd_that_nobody_watches_sleeps_and_has_loaded_nothing(farm):
    daemon = farm.start()
    switches = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)

    def waited():
        return int(switches.search(Path(f"/proc/{daemon.pid}/status").read_text())[1])

    farm.send(b"+ x\n")
    wait_for(lambda: receive_queue(farm.port) == 0 and "S (sleeping)" in
             Path(f"/proc/{daemon.pid}/status").read_text())  # fmt: skip
    before, begun = waited(), time.monotonic()
    wait_for(lambda: time.monotonic() > begun + 2.5)
    assert waited() - before <= 2
    stop(daemon)
    code = "import sys, penlogd.cli; print({'prometheus_client', 'http.server'} & {*sys.modules})"
    loaded = subprocess.run([OUR_PENLOGD[0], "-c", code], capture_output=True, timeout=15)
    assert loaded.stdout == b"set()\n"


def test_the_examples_for_prometheus_name_what_there_is(farm):
    daemon = start(farm, "--hold", "60")
    farm.send(LINE % (stamp(), b"one"))
    found = {name.split()[0] for name in until_scraped(farm, servers=1)}
    rules = yaml.safe_load((EXAMPLES / "penlogd-rules.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        assert rule["alert"]
        assert rule["annotations"]["summary"]
        named = re.findall(r"\b(up|penlogd_\w+)\b", rule["expr"])
        assert named
        assert {name.removeprefix("penlogd_") for name in named} <= found | {"up"}
    jobs = yaml.safe_load((EXAMPLES / "penlogd-scrape.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["penlogd"]
    assert 'up{job="penlogd"}' in rules[0]["expr"]
    stop(daemon)
