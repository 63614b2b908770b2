"""Debian's lighttpd in a folder of its own, set up with the files of etc/lighttpd."""

from tests.ports import free_port
from tests.real.examples import example
from tests.real.peers import accepts

_CONFIGURATION = """\
server.document-root = "{folder}/pages"
server.errorlog = "{folder}/error.log"
server.bind = "{host}"
server.port = {port}
include "penlog.conf"
"""


class Lighttpd:
    """One lighttpd at an address of its own, whose log goes as `replacements` say."""

    def __init__(self, peers, name, host, replacements):
        self._peers = peers
        self.name, self.host, self.port = name, host, free_port(host)
        self.folder = peers.folder / name
        (self.folder / "pages").mkdir(parents=True)
        self.page("p.html", f"{name}\n")
        configuration = _CONFIGURATION.format(folder=self.folder, host=host, port=self.port)
        (self.folder / "lighttpd.conf").write_text(configuration)
        (self.folder / "penlog.conf").write_text(example("lighttpd/penlog.conf", replacements))

    def page(self, name, text):
        """Put a page there."""
        (self.folder / "pages" / name).write_text(text)

    def start(self):
        command = ["/usr/sbin/lighttpd", "-D", "-f", self.folder / "lighttpd.conf"]
        self._peers.start(self.name, command, lambda: accepts(self.host, self.port))
        return self
