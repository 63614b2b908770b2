"""A pen, and an Apache that shows its status page by penstats as etc/apache2/penstats.conf says."""

import http.client
import os

from tests.real.apache import Apache
from tests.real.farm import Farm
from tests.real.peers import ROOT
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

    def by_control(self, *more):
        """Have the page asked for at the control port; more settings may be given."""
        setting = CONTROL_LINE.replace("127.0.0.1:8888", self.farm.control)
        return self.start("\n    ".join((setting, *more)))

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
