"""penstats as a CGI of a real Apache, in front of a real pen."""

import re
import signal
import time

import pytest

from tests.real.peers import wait_for
from tests.real.statussite import StatusSite


@pytest.fixture
def site(peers):
    return StatusSite(peers)


@pytest.fixture(params=["control", "signal"])
def shown(request, site):
    """The site, with the page got in either way."""
    return site.by_control() if request.param == "control" else site.by_signal()


def test_page_shows_what_pen_does_now(shown):
    www1 = shown.farm.web_servers[0]
    for number in (1, 2, 3):
        shown.farm.get(f"127.0.0.{30 + number}", "/p.html")
        answer, text = shown.ask()
        assert (answer.status, answer.reason) == (200, "OK")
        assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert text.rstrip().endswith("</html>")
        cells = re.findall(r"<td[^>]*>\s*([^<]*?)\s*</td>", text)
        assert {www1.host, str(www1.port), f"127.0.0.{30 + number}"} <= set(cells)
        assert f"127.0.0.{31 + number}" not in cells


def test_head_and_a_query_that_looks_like_an_option(shown):
    answer, text = shown.ask("HEAD")
    assert (answer.status, text) == (200, "")
    answer, text = shown.ask(query="?--version")
    assert answer.status == 200
    assert "</html>" in text


def test_other_method_is_not_allowed(shown):
    answer, text = shown.ask("DELETE")
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    assert "Use GET." in text


def test_pen_that_has_ended(shown):
    shown.pen.terminate()
    answer, text = shown.ask()
    assert answer.status == 503
    assert "pen" in text
    assert answer.getheader("Cache-Control") == "no-store"
    assert "penstats: " in shown.error_log()


def test_crashed_pen_leaves_a_stale_pid_file(site):
    site.by_signal()
    site.pen.kill()
    assert site.pid_file.exists()
    answer, text = site.ask()
    assert answer.status == 503
    assert "which is gone" in text


def test_foreign_pid_is_not_signalled(site):
    """USR1 would make this Apache restart; the pid file names it by mistake."""
    site.by_signal()
    site.pid_file.write_text(str(site.apache.peer.pid))
    answer, text = site.ask()
    assert answer.status == 500
    assert "is not pen" in text
    assert site.apache.starts() == 1


def test_pen_that_hangs(site):
    site.by_control("SetEnv PENSTATS_TIMEOUT 0.5")
    site.pen.signal(signal.SIGSTOP)
    wait_for(lambda: _state(site.pen.pid) == "T", "the stop of pen")
    started = time.monotonic()
    answer, text = site.ask()
    site.pen.signal(signal.SIGCONT)
    assert answer.status == 504
    assert "PENSTATS_TIMEOUT" in text
    assert 0.5 < time.monotonic() - started < 4


def _state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_pages_asked_for_by_many_at_once(shown, pool):
    answers = list(pool.map(lambda _: shown.ask(), range(24)))
    assert {answer.status for answer, _ in answers} == {200}
    assert all(text.rstrip().endswith("</html>") for _, text in answers)
