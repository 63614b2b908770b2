"""Debian's Apache httpd in a folder of its own, set up with the files of etc/apache2."""

import os
import signal

from tests.ports import free_port
from tests.real.examples import example
from tests.real.peers import accepts, wait_for
from tests.real.webuser import WEB_USER

_MODULES = "/usr/lib/apache2/modules"

_CONFIGURATION = """\
ServerName {host}
ServerRoot {folder}
Listen {host}:{port}
PidFile {folder}/apache.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LogLevel notice
{user}
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_host_module {modules}/mod_authz_host.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule env_module {modules}/mod_env.so
LoadModule cgid_module {modules}/mod_cgid.so
ScriptSock {folder}/cgid
KeepAlive On
MaxKeepAliveRequests 1000
DocumentRoot {folder}/pages
<Directory {folder}>
    Require all granted
</Directory>
ScriptAlias /cgi/ {folder}/cgi/
IncludeOptional {folder}/conf-enabled/*.conf
"""


class Apache:
    """One httpd at an address of its own; its pages and CGIs are in its folder."""

    def __init__(self, peers, name, host, mpm="event"):
        self._peers = peers
        self.name = name
        self.host = host
        self.port = free_port(host)
        self.folder = peers.folder / name
        for part in ("pages", "cgi", "conf-enabled"):
            (self.folder / part).mkdir(parents=True)
        self._write("httpd.conf", self._configuration(mpm))
        self.page("p.html", f"{name}\n")
        self.peer = None

    def _configuration(self, mpm):
        user = f"User {WEB_USER}\nGroup {WEB_USER}" if os.geteuid() == 0 else ""
        return _CONFIGURATION.format(
            host=self.host,
            port=self.port,
            folder=self.folder,
            user=user,
            mpm=mpm,
            modules=_MODULES,
        )

    def _write(self, path, text):
        (self.folder / path).write_text(text)

    def page(self, name, text):
        """Put a page there."""
        self._write(f"pages/{name}", text)

    def cgi(self, name, text):
        """Put a CGI there, at /cgi/NAME."""
        self._write(f"cgi/{name}", text)
        (self.folder / "cgi" / name).chmod(0o755)

    def enable(self, name, replacements):
        """Set up with a file of etc/apache2 as it is, but for what belongs to a machine."""
        self._write(f"conf-enabled/{name}", example(f"apache2/{name}", replacements))

    def start(self):
        command = ["/usr/sbin/apache2", "-f", self.folder / "httpd.conf", "-DFOREGROUND"]
        self.peer = self._peers.start(self.name, command, lambda: accepts(self.host, self.port))
        return self

    def starts(self):
        """How many times it has started or restarted, from its error log."""
        return (self.folder / "error.log").read_text().count("resuming normal operations")

    def graceful(self):
        """Restart as `apachectl graceful` does, and wait for the new generation."""
        before = self.starts()
        self.peer.signal(signal.SIGUSR1)
        wait_for(lambda: self.starts() > before, f"{self.name} after the graceful restart")
