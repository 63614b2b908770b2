"""Asking pen by its control port, over real sockets."""

import socket
import time

import pytest

from penstats import control as control_module
from penstats.control import ask
from penstats.errors import Deadline, NoPageError
from penstats.settings import Control, parse_control


def answer(reply):
    """A pen that reads the command and gives this reply."""

    def talk(connection):
        assert connection.makefile("rb").readline() == b"status\n"
        connection.sendall(reply)

    return talk


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0))]
)
def test_page_over_tcp(control_port, page, family, address):
    where = control_port(answer(page), family, address)
    assert ask(parse_control(where), Deadline(5)) == page


def test_page_over_a_unix_socket(control_port, tmp_path, page):
    where = control_port(answer(page), socket.AF_UNIX, str(tmp_path / "control"))
    assert ask(parse_control(where), Deadline(5)) == page


def test_large_page_in_pieces(control_port):
    page = b"<html>" + b"x" * 3_000_000 + b"</HTML>\r\n"
    assert ask(parse_control(control_port(answer(page))), Deadline(5)) == page


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NoPageError, match="Connection refused") as error:
        ask(Control(port=port), Deadline(5))
    assert error.value.status == 503
    assert f"-C 127.0.0.1:{port}" in error.value.advice


def test_no_socket_file(tmp_path):
    with pytest.raises(NoPageError, match="No such file") as error:
        ask(Control(path=str(tmp_path / "gone")), Deadline(5))
    assert error.value.status == 503


def test_socket_path_too_long():
    with pytest.raises(NoPageError, match="cannot be reached") as error:
        ask(Control(path="/" + "x" * 200), Deadline(5))
    assert error.value.status == 500


def test_name_that_does_not_resolve():
    with pytest.raises(NoPageError, match="cannot be resolved") as error:
        ask(Control("no such name", 1), Deadline(5))
    assert error.value.status == 500


def test_denied_by_control_acl(control_port):
    where = control_port(lambda connection: connection.recv(100))
    with pytest.raises(NoPageError, match="without an answer") as error:
        ask(parse_control(where), Deadline(5))
    assert (error.value.status, "control_acl" in error.value.advice) == (503, True)


@pytest.mark.parametrize("reply", [b"error: no\n", b"\xff\0garbage", b"<html>cut off"])
def test_reply_that_is_no_page(control_port, reply):
    with pytest.raises(NoPageError, match="did not answer with a status page") as error:
        ask(parse_control(control_port(answer(reply))), Deadline(5))
    assert error.value.status == 502


def test_endless_reply(control_port, monkeypatch):
    monkeypatch.setattr(control_module, "LARGEST", 1 << 20)

    def talk(connection):
        try:
            while True:
                connection.sendall(b"x" * 65536)
        except OSError:
            pass  # penstats has heard enough

    with pytest.raises(NoPageError, match="longer than") as error:
        ask(parse_control(control_port(talk)), Deadline(5))
    assert error.value.status == 502


def silence(connection):
    while connection.recv(100):
        pass


def trickle(connection):
    try:
        while True:
            connection.sendall(b"<html>")
            time.sleep(0.01)
    except OSError:
        pass  # penstats has gone


@pytest.mark.parametrize("talk", [silence, trickle])
def test_pen_that_is_too_slow(control_port, talk):
    started = time.monotonic()
    with pytest.raises(NoPageError, match=r"within 0\.2 s") as error:
        ask(parse_control(control_port(talk)), Deadline(0.2))
    assert error.value.status == 504
    assert time.monotonic() - started < 2
