"""The generator of open loops against servers that are slow, wrong or silent."""

import contextlib
import socket
import threading
import time

import pytest

from bench import pacing
from bench.loads import LoadError
from bench.origin import PAGE_BYTES, name_servers, web_server
from bench.processes import free_port

STALL = 0.3  # seconds
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + b"x" * PAGE_BYTES


@pytest.fixture(scope="module")
def pacer(tmp_path_factory):
    return pacing.Pacer(tmp_path_factory.mktemp("paced"))


@pytest.fixture
def web(tmp_path):
    with web_server(tmp_path, bulk_bytes=1) as addresses:
        yield addresses[0]


@contextlib.contextmanager
def answering(answers):
    """A server of one connection after another; each gets one of the answers, when it is made."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        serving = threading.Thread(target=answer_all, args=(listener, answers))
        serving.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


def answer_all(listener, answers):
    with contextlib.suppress(OSError):
        for answer in answers:
            with listener.accept()[0] as client:
                client.recv(4096)
                client.sendall(answer)


def stalling_once(count, at):
    for number in range(count):
        if number == at:
            time.sleep(STALL)
        yield PAGE


def test_who_comes_during_a_stall_is_counted_from_when_it_was_due(pacer):
    with answering(stalling_once(200, at=100)) as target:
        answers = pacer.run("short", target, pacing.Pace(200, 200, False, 1), 1000)
    waited = [latency / 1e9 for latency in answers.latencies if latency > STALL / 2 * 1e9]
    # 200 a second for half of the stall; a closed loop would have met it once
    assert len(waited) >= 200 * STALL / 2 - 1
    assert max(waited) >= STALL - 2 / 200  # it may begin before the next one is due


@pytest.mark.parametrize("kind", ["short", "tracked", "kept"])
@pytest.mark.parametrize("poisson", [True, False])
def test_all_requests_are_answered_and_counted(pacer, web, kind, poisson):
    answers = pacer.run(kind, web, pacing.Pace(2000, 600, poisson, 1), 50)
    assert len(answers.latencies) == 600 - int(2000 * pacing.WARM_UP)
    assert answers.latencies[0] > 0
    assert 0 <= answers.lateness[0] <= answers.latencies[-1]


def test_a_pace_takes_its_time(pacer, web):
    began = time.monotonic()
    pacer.run("kept", web, pacing.Pace(1000, 500, False, 1), 50)
    assert time.monotonic() - began >= 0.499


def test_a_capacity_is_more_than_one_at_a_time_would_give(pacer, web):
    assert pacer.capacity("kept", web, 2000) > 1000


def test_the_one_who_waits_for_a_place_is_not_the_generators_lateness(pacer):
    with answering(stalling_once(200, at=100)) as target:
        answers = pacer.run("short", target, pacing.Pace(200, 200, False, 1), 1)
    assert len(answers.lateness) < len(answers.latencies)


def test_queries_are_answered(pacer, tmp_path):
    with name_servers(tmp_path) as addresses:
        answers = pacer.run("dns", addresses[0], pacing.Pace(2000, 600, True, 1), 50)
    assert answers.lost == 0
    assert answers.latencies[-1] < pacing.LOST_NS


def test_queries_that_nobody_answers_are_lost(pacer):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(LoadError, match="20 of 20 queries were lost"):
            pacer.run("dns", target, pacing.Pace(1000, 20, False, 1), 50)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (PAGE[:-1], "closed after"),
        (PAGE + b"x", "a wrong answer"),
        (PAGE.replace(b"200 OK", b"502 No"), "a wrong answer"),
        (b"", "closed after 0 bytes"),
    ],
)
def test_an_answer_that_is_no_page_fails_the_load(pacer, answer, complaint):
    with answering([answer]) as target, pytest.raises(LoadError, match=complaint):
        pacer.run("short", target, pacing.Pace(1000, 1, False, 1), 1)


def test_a_port_where_nobody_listens_fails_the_load(pacer):
    with pytest.raises(LoadError, match="refused"):
        pacer.run("short", f"127.0.0.1:{free_port('127.0.0.1')}", pacing.Pace(1000, 1, False, 1), 1)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.51, 3), (0.99, 4), (0.25, 1), (0, 1)])
def test_a_quantile_is_one_of_the_values(share, value):
    assert pacing.quantile([1000, 2000, 3000, 4000], share) == value
