"""A pen for UDP as its administrator sees it: commands, logs, settings."""

import pytest

from tests.pen.conftest import until
from tests.pen.udp.conftest import ask, connections, naming


def test_close_by_command_and_what_is_shown(balance, server, client):
    running = balance(server())
    ask(client(), running, b"hello")
    shown = running.ctl("connection 0")
    assert "state = 2\n" in shown
    fd = shown.partition("upfd = ")[2].split()[0]
    assert running.ctl(f"socket {fd}") == f"Socket {fd} belongs to connection 0\n"
    assert running.servers()[0]["sx"] == running.servers()[0]["rx"] == "5"
    running.ctl("close 0")
    assert connections(running) == [0]
    assert running.servers()[0]["sx"] == running.servers()[0]["rx"] == "5"
    assert "<td>5</td>" in running.ctl("status")


def test_requests_and_connections_are_logged(balance, server, client, tmp_path):
    log = tmp_path / "log"
    echoing = server()
    running = balance(echoing, options=["-l", log, "--log-format", "both"])
    ask(client(), running, b"a question\nand more")
    running.ctl("close 0")
    until(lambda: "by command" in log.read_text(), "the end is logged")
    lines = log.read_text().splitlines()
    assert any(line.endswith(" 127.0.0.1 a question") for line in lines), lines
    opened, ended = (line.split() for line in lines if line.startswith("=1 "))
    assert opened[1:3] == ["open", "udp"]
    assert ended[1:3] == ["end", "udp"]
    assert opened[3:9] == ended[3:9]
    assert opened[8] == str(echoing.port)
    assert ended[11:] == ["19", "19", "by", "command"]


def test_dumps_show_both_ways(balance, server, client):
    running = balance(server(naming(b"answer")), options=["-ddd", "-a"])
    ask(client(), running, b"question")
    assert "connection 0: > question\n" in running.stderr
    assert "connection 0: < answer:question\n" in running.stderr


@pytest.mark.parametrize(
    "options", [["-E", "/none.pem"], ["-H"], ["-o", "peek"], ["-o", "dummy"], ["-o", "idlers 3"]]
)
def test_what_is_for_streams_is_refused(pen, options):
    with pytest.raises(AssertionError, match="is for TCP, and pen serves UDP"):
        pen("-U", *options, "127.0.0.1:9")


def test_udp_cannot_be_changed_while_pen_runs(balance, server):
    running = balance(server())
    assert running.ctl("no udp") == "error: 'no udp' must be given before pen starts\n"
    assert running.ctl("udp") == ""


def test_settings_are_written_and_read_back(balance, server, pen, tmp_path, client):
    there = server()
    running = balance(
        there, options=["-o", "udp_timeout 7", "-o", "udp_replies 1", "-o", "udp_per_packet"]
    )
    config = tmp_path / "config"
    running.ctl(f"write {config}")
    running.stop()
    again = pen("-F", config, listen=f"127.0.0.1:{running.port}")
    again.port = running.port
    assert ask(client(), again, b"x") == b"x"
    assert again.ctl("udp_timeout") == "7\n"
    assert again.ctl("udp_replies") == "1\n"
