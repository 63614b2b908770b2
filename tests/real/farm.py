"""pen and penlogd with two Apaches behind them: the set-up of the README, on loopback addresses."""

import http.client
import os
import re
import subprocess
from pathlib import Path

from tests.ports import free_port
from tests.real.apache import Apache
from tests.real.peers import SUITE, receives, wait_for

HOSTS = ("127.0.1.1", "127.0.1.2")
LOG_FORMAT = r"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %{remote}p %{local}p %D"
"""The example's."""
_LINE = re.compile(
    r'(?P<client>\S+) - - \[(?P<stamp>[^]]+)\] "(?P<request>[^"]*)" (?P<status>\d+) \S+ "-" "[^"]*"'
    r"( \d+ \d+ \d+)?"
)


class Farm:
    """The programs, and where they are."""

    def __init__(self, peers):
        self.peers = peers
        self.log_port = free_port()
        self.port = free_port()
        self.control_port = free_port()
        self.merged_log = peers.folder / "merged.log"
        self.web_servers = []
        ours = Path("/usr/bin") != SUITE
        self.spool_option = f" --spool {peers.folder / 'spool'}" if ours else ""

    @property
    def control(self):
        return f"127.0.0.1:{self.control_port}"

    def start_penlogd(self, *options):
        command = [SUITE / "penlogd", "-f", "-l", self.merged_log, *options, str(self.log_port)]
        return self.peers.start("penlogd", command, lambda: receives(self.log_port))

    def start_apache(self, name, host, mpm="event", log_format=None):
        """Start an Apache that logs through penlog, in this format or the example's; returns it."""
        apache = Apache(self.peers, name, host, mpm)
        replacements = {
            "/usr/local/bin/penlog": f"{SUITE / 'penlog'}{self.spool_option}",
            "192.0.2.10 10000": f"127.0.0.1 {self.log_port}",
            "192.0.2.21": host,
        }
        if log_format is not None:
            replacements[LOG_FORMAT] = log_format
        apache.enable("penlog.conf", replacements)
        self.web_servers.append(apache)
        return apache.start()

    def start_pen(self, *options):
        """Start pen in front of the Apaches, logging to penlogd."""
        servers = [f"{apache.host}:{apache.port}" for apache in self.web_servers]
        command = [SUITE / "pen", "-f", "-C", self.control, "-l", f"127.0.0.1:{self.log_port}"]
        if os.geteuid() == 0 and "-u" not in options:
            command += ["-u", "root"]
        command += [*options, f"127.0.0.1:{self.port}", *servers]
        return self.peers.start("pen", command, lambda: self.penctl("pid"))

    def penctl(self, *words):
        """Send pen a command; returns its reply, which is empty if pen is not there."""
        command = [SUITE / "penctl", self.control, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout

    def connect(self, client):
        """A connection to pen from a client's address."""
        source = (client, 0)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=source)

    def get(self, client, url):
        """Ask pen for one page over a connection of its own; returns status and text."""
        connection = self.connect(client)
        try:
            return fetch(connection, url, {"Connection": "close"})
        finally:
            connection.close()

    def logged(self):
        """The lines of the merged log as (client, url, stamp), as far as they are written."""
        text = self.merged_log.read_text() if self.merged_log.exists() else ""
        lines = [_LINE.fullmatch(line) for line in text.splitlines()]
        assert all(lines), text
        return [(line["client"], line["request"].split()[1], line["stamp"]) for line in lines]

    def wait_for_lines(self, count, seconds=20.0):
        """Wait until so many lines are in the merged log; returns them all."""
        wait_for(
            lambda: len(self.logged()) >= count,
            lambda: f"{len(self.logged())} of {count} lines",
            seconds,
        )
        return self.logged()


def fetch(connection, url, headers=None, method="GET"):
    """Make one request; returns status and text."""
    connection.request(method, url, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
