"""The status page in a real browser: headless Chromium opens what penstats serves."""

import subprocess
from html.parser import HTMLParser

import pytest

from tests.real.statussite import StatusSite

CHROMIUM = [
    "/usr/bin/chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


@pytest.fixture
def open_page(tmp_path):
    """Open an address; returns the document as the browser understood it, and its complaints."""

    def open_page(url):
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [*CHROMIUM, profile, "--enable-logging=stderr", "--dump-dom", url]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        complaints = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        return result.stdout, complaints

    return open_page


class Tables(HTMLParser):
    """The tables of a page, as lists of rows of texts."""

    def __init__(self, page):
        super().__init__()
        self.tables = []
        self._cell = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self._cell.strip())
            self._cell = None


def test_browser_shows_the_servers(peers, open_page):
    site = StatusSite(peers).by_control()
    www1 = site.farm.web_servers[0]
    site.farm.get("127.0.0.31", "/p.html")
    page, complaints = open_page(f"http://127.0.1.3:{site.apache.port}/penstats")
    assert complaints == []
    servers, clients, *_ = Tables(page).tables
    header, *rows = servers
    row = dict(zip(header, rows[0], strict=True))
    assert (len(rows), row["address"], row["port"]) == (1, www1.host, str(www1.port))
    assert int(row["received"].replace(",", "")) > 0
    assert "127.0.0.31" in clients[1]


def test_browser_shows_a_failure(peers, open_page):
    site = StatusSite(peers).by_control()
    site.pen.terminate()
    page, complaints = open_page(f"http://127.0.1.3:{site.apache.port}/penstats")
    assert "No status page: 503" in page
    assert [line for line in complaints if "503" not in line] == []
