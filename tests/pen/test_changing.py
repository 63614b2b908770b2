"""What commands and config files change takes effect as a whole, or not at all."""

import signal
import socket

from tests.pen.conftest import DEADLINE, echo, naming, until
from tests.ports import free_port


def test_a_file_that_fails_when_it_takes_effect_changes_nothing(pen, backend, tmp_path):
    """Each line is right by itself; only opening the log fails, after `listen` was carried out."""
    running = pen("-l", tmp_path / "log", f"127.0.0.1:{backend(naming(b'a')).port}")
    config = tmp_path / "conf"
    config.write_text(f"listen 127.0.0.1:{free_port()}\nlog /nowhere/log\ntimeout 9\n")
    assert running.ctl(f"include {config}").startswith("error: cannot open log file")
    assert running.ctl("listen") == f"127.0.0.1:{running.port}\n"
    assert running.ctl("timeout") == "3\n"
    assert running.ask() == b"a"
    assert running.ctl("log") == f"{tmp_path}/log\n"


def test_a_listen_that_fails_keeps_the_log(pen, backend, tmp_path):
    old, new, config = tmp_path / "old", tmp_path / "new", tmp_path / "conf"
    running = pen("-l", old, f"127.0.0.1:{backend(naming(b'a')).port}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(f"log {new}\nlisten 127.0.0.1:{taken.getsockname()[1]}\n")
        assert running.ctl(f"include {config}").startswith("error: cannot listen on")
    assert running.ask(request=b"GET /kept HTTP/1.0\r\n\r\n") == b"a"
    assert "GET /kept" in until(old.read_text, "the old log goes on")
    assert new.read_text() == ""


def test_raising_a_limit_lets_those_in_who_wait(pen, backend):
    running = pen("-x", "1", f"127.0.0.1:{backend(echo).port}")
    with running.connect() as first, running.connect() as waiting:
        first.sendall(b"1")
        assert first.recv(1) == b"1"
        waiting.sendall(b"2")
        assert running.ctl("conn_max 2") == "2\n"
        assert waiting.recv(1) == b"2"


def test_hup_reads_the_config_though_the_log_cannot_be_opened(pen, backend, tmp_path):
    """The new config may be the cure: here it names another log."""
    folder, config = tmp_path / "folder", tmp_path / "conf"
    folder.mkdir()
    config.write_text(f"log {folder}/log\n")
    running = pen("-F", config, f"127.0.0.1:{backend(naming(b'a')).port}")
    folder.rename(tmp_path / "elsewhere")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "cannot open log file" in running.stderr, "the mistake is said")
    config.write_text(f"log {tmp_path}/log\n")
    running.process.send_signal(signal.SIGHUP)
    until(lambda: running.ctl("log") == f"{tmp_path}/log\n", "the new config holds", DEADLINE)


def test_an_idle_timeout_counts_from_the_connect_at_the_earliest(pen, backend):
    """Of clients who have not been answered yet, too, when it is set while they wait."""
    running = pen(f"127.0.0.1:{backend(echo).port}")
    with running.connect() as client:
        until(lambda: running.servers()[0]["conn"] == "1", "the client is connected")
        running.ctl("idle_timeout 100")
        assert running.ctl("idle_timeout") == "Idle timeout: 100 seconds\n"
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
