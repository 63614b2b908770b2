"""Debian's Caddy in a folder of its own, set up with the file of etc/caddy."""

from tests.ports import free_port
from tests.real.examples import example
from tests.real.peers import accepts

_CONFIGURATION = """\
{{
	admin off
	auto_https off
}}
import penlog.caddy
http://:{port} {{
	bind {host}
	root * {folder}/pages
	file_server
	import penlog
}}
"""


class Caddy:
    """One Caddy at an address of its own, whose log goes as `replacements` say."""

    def __init__(self, peers, name, host, replacements):
        self._peers = peers
        self.name, self.host, self.port = name, host, free_port(host)
        self.folder = peers.folder / name
        (self.folder / "pages").mkdir(parents=True)
        (self.folder / "pages" / "p.html").write_text(f"{name}\n")
        configuration = _CONFIGURATION.format(folder=self.folder, host=host, port=self.port)
        (self.folder / "Caddyfile").write_text(configuration)
        (self.folder / "penlog.caddy").write_text(example("caddy/penlog.caddy", replacements))

    def start(self):
        command = [
            "env", f"HOME={self.folder}", "/usr/bin/caddy", "run",
            "--config", self.folder / "Caddyfile", "--adapter", "caddyfile",
        ]  # fmt: skip
        self._peers.start(self.name, command, lambda: accepts(self.host, self.port))
        return self
