"""A web server that runs one CGI, penstats, for each request (RFC 3875)."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PATH = "/penstats"
_CGI_SECONDS = 10


class StatusPage(ThreadingHTTPServer):
    """Serves penstats at a port of its own, until closed."""

    daemon_threads = False  # closing waits for the CGIs that run

    def __init__(self, penstats: str, control: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.penstats = penstats
        self.control = control
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def server_close(self) -> None:
        """End the serving thread, too."""
        self.shutdown()
        super().server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Leave a visitor who went away unmentioned."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"http://127.0.0.1:{self.server_port}{PATH}"

    def run_cgi(self, method: str, query: str, client: str) -> tuple[bytes, bytes]:
        """Run penstats once.

        Returns:
            Its header lines and its body.
        """
        environment = {
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_SOFTWARE": "pen-demo",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server_port),
            "SCRIPT_NAME": PATH,
            "REQUEST_METHOD": method,
            "QUERY_STRING": query,
            "REMOTE_ADDR": client,
            "PENSTATS_CONTROL": self.control,
        }
        result = subprocess.run(
            [self.penstats],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_CGI_SECONDS,
            check=False,
        )
        head, _, body = result.stdout.partition(b"\n\n")
        return head, body


class _Handler(BaseHTTPRequestHandler):
    server: StatusPage
    timeout = 1  # second, for a browser that connects and says nothing

    def do_GET(self) -> None:
        """Run the CGI, and send what it says."""
        where = urlsplit(self.path)
        if where.path != PATH:
            self.send_error(404, explain=f"The status page is at {PATH}.")
            return
        try:
            head, body = self.server.run_cgi(self.command, where.query, self.client_address[0])
            fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\n"))
            code, _, reason = fields.pop("Status", "200 OK").partition(" ")
        except (OSError, subprocess.TimeoutExpired, ValueError) as error:
            self.send_error(502, explain=f"penstats did not answer as a CGI does: {error}")
            return
        self.send_response(int(code), reason)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Do the same; penstats leaves the body out."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing; the demonstration's own lines are what is read."""
