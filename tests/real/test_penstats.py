"""penstats as a CGI of a real Apache, in front of a real pen."""

import http.client
import os
import re
import signal
import time

import pytest

from tests.real.apache import Apache
from tests.real.farm import Farm
from tests.real.peers import ROOT, wait_for
from tests.real.webuser import WEB_USER, executable_penstats, own

CONTROL_LINE = "SetEnv PENSTATS_CONTROL 127.0.0.1:8888"


class StatusSite:
    """A pen, and an Apache that shows its status page."""

    def __init__(self, peers):
        self.farm = Farm(peers)
        self.pen = None
        self.apache = Apache(peers, "status", "127.0.1.3")
        self.run = peers.folder / "run"
        self.run.mkdir()
        own(self.run)
        self.pid_file = self.run / "pen.pid"
        self.farm.web_servers.append(Apache(peers, "www1", "127.0.1.1").start())

    def start(self, setting):
        """Start pen as the web server's user, and Apache with the example and this setting."""
        user = ("-u", WEB_USER) if os.geteuid() == 0 else ()
        self.pen = self.farm.start_pen(*user, "-p", self.pid_file, "-w", self.run / "status.html")
        program = executable_penstats(self.farm.peers.folder)
        self.apache.enable(
            "penstats.conf", {"/usr/local/bin/penstats": str(program), CONTROL_LINE: setting}
        )
        self.apache.start()
        return self

    def by_control(self):
        return self.start(CONTROL_LINE.replace("127.0.0.1:8888", self.farm.control))

    def by_signal(self):
        """Set up with etc/penstats.conf as the settings file."""
        text = (ROOT / "etc" / "penstats.conf").read_text()
        assert "=/run/pen/" in text
        settings = self.apache.folder / "penstats.conf"
        settings.write_text(text.replace("/run/pen/", f"{self.run}/"))
        return self.start(f"SetEnv PENSTATS_CONF {settings}")

    def ask(self, method="GET", query=""):
        connection = http.client.HTTPConnection("127.0.1.3", self.apache.port, timeout=20)
        connection.request(method, f"/penstats{query}")
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer, text

    def error_log(self):
        return (self.apache.folder / "error.log").read_text()


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
    site.by_control()
    site.pen.signal(signal.SIGSTOP)
    wait_for(lambda: _state(site.pen.pid) == "T", "the stop of pen")
    started = time.monotonic()
    answer, text = site.ask()
    site.pen.signal(signal.SIGCONT)
    assert answer.status == 504
    assert "PENSTATS_TIMEOUT" in text
    assert 4.5 < time.monotonic() - started < 8


def _state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_pages_asked_for_by_many_at_once(shown, pool):
    answers = list(pool.map(lambda _: shown.ask(), range(24)))
    assert {answer.status for answer, _ in answers} == {200}
    assert all(text.rstrip().endswith("</html>") for _, text in answers)
