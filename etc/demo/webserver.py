"""A small web server that logs as Apache does: combined format, through a pipe to a program.

Usage: webserver.py NAME HOST PORT COMMAND...   (COMMAND reads the log, as in CustomLog "|COMMAND")
"""

import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import IO


class Server(ThreadingHTTPServer):
    """A web server with a name and a log."""

    request_queue_size = 100

    def __init__(self, name: str, address: tuple[str, int], log: IO[bytes]) -> None:
        super().__init__(address, Handler)
        self.name = name
        self.log = log


class Handler(BaseHTTPRequestHandler):
    """Answers every GET and HEAD with the server's name."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a line that says who answers."""
        body = f"This is {self.server.name}.\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Server", self.server.name)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
        self._log(200, len(body))

    def do_HEAD(self) -> None:
        """Answer without the line."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: requests go to the log pipe, and wrong ones are not what is shown here."""

    def _log(self, status: int, size: int) -> None:
        """Write a line of Apache's LogFormat "combined"."""
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z")
        request = _escaped(self.requestline)
        referer = _escaped(self.headers.get("Referer", "-"))
        agent = _escaped(self.headers.get("User-Agent", "-"))
        line = f'{self.client_address[0]} - - [{stamp}] "{request}" {status} {size}'
        self.server.log.write(f'{line} "{referer}" "{agent}"\n'.encode("latin-1"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def serve(name: str, host: str, port: int, log_command: list[str]) -> None:
    """Serve until TERM; then end the log, and wait until its reader has read it all."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit

    with subprocess.Popen(log_command, stdin=subprocess.PIPE, bufsize=0) as reader:
        assert reader.stdin is not None
        with Server(name, (host, port), reader.stdin) as server:
            signal.signal(signal.SIGTERM, end)
            server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
