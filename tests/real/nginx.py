"""Debian's nginx in a folder of its own."""

import os
import subprocess

from tests.ports import free_port
from tests.real.peers import accepts
from tests.real.webuser import WEB_USER

_CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {directives}
    server {{
        listen {host}:{port}{ssl};
        {certificate}
        root {folder}/pages;
        location /slow {{ limit_rate {rate}; }}
        location /who {{ return 200 $remote_addr; }}
    }}
}}
"""


class Nginx:
    """One nginx at an address of its own, with directives of a test for its http block.

    Pages below /slow take a second for each `RATE` bytes; /who tells the client's address.
    """

    RATE = 10_000

    def __init__(self, peers, name, host, directives, *, tls=False):
        self._peers = peers
        self.name, self.host, self.port = name, host, free_port(host)
        self.folder = peers.folder / name
        (self.folder / "pages" / "slow").mkdir(parents=True)
        self._write(
            "nginx.conf",
            _CONFIGURATION.format(
                user=f"user {WEB_USER};" if os.geteuid() == 0 else "",
                folder=self.folder, host=host, port=self.port, rate=self.RATE,
                directives=directives, ssl=" ssl" if tls else "",
                certificate=self._certificate() if tls else "",
            ),
        )  # fmt: skip
        self.peer = None

    def _certificate(self):
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=www",
             "-keyout", key, "-out", certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        return f"ssl_certificate {certificate}; ssl_certificate_key {key};"

    def _write(self, path, text):
        (self.folder / path).write_text(text)

    def page(self, name, text):
        """Put a page there."""
        self._write(f"pages/{name}", text)

    def start(self):
        command = ["/usr/sbin/nginx", "-c", self.folder / "nginx.conf", "-p", self.folder]
        self.peer = self._peers.start(self.name, command, lambda: accepts(self.host, self.port))
        return self
