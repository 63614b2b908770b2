"""The CGI: one request, told by the environment (RFC 3875), answered on standard output."""

import html
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from penstats import control, settings, webfile
from penstats.errors import Deadline, NoPageError

REASONS = {
    200: "OK",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

# The page has its style inside and needs nothing else: no script, no frame, no other address.
_HEADERS = """\
Content-Type: text/html; charset=utf-8
Cache-Control: no-store
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
form-action 'none'; frame-ancestors 'none'
X-Content-Type-Options: nosniff
X-Frame-Options: DENY
Referrer-Policy: no-referrer
"""

_FAILURE_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{reason}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem;
padding: 0 1rem; overflow-wrap: anywhere }}
h1 {{ font-size: 1.5rem }}
</style>
</head>
<body>
<h1>No status page: {reason}</h1>
<p>{problem}.</p>
<p>{advice}</p>
</body>
</html>
"""

_HELP = """\
Usage: penstats [--help | --version]

A CGI that shows the status page of pen(1). A web server runs it; run by hand it
prints the same answer, which helps to find a mistake. It takes no arguments but
is told by variables, of the environment or of the file:

{variables}

Set PENSTATS_CONTROL, or PENSTATS_PIDFILE and PENSTATS_WEBFILE. With Apache:

  ScriptAlias /penstats /usr/local/bin/penstats
  <Location /penstats>
      SetEnv PENSTATS_CONTROL 127.0.0.1:8888
      Require ip 127.0.0.1
  </Location>

See penstats(1).
"""


class Response(NamedTuple):
    """An answer to the web server; `body` is left out for HEAD."""

    status: int
    body: bytes
    allow: str = ""

    def encoded(self, with_body: bool = True) -> bytes:
        """Give the bytes of a document response (RFC 3875, section 6.2.1)."""
        head = f"Status: {self.status} {REASONS[self.status]}\n{_HEADERS}"
        if self.allow:
            head += f"Allow: {self.allow}\n"
        head += f"Content-Length: {len(self.body)}\n\n"
        return head.encode("ascii") + (self.body if with_body else b"")


def main() -> int:
    """Answer one request; the exit status is 0 when it was answered with the page.

    A web server may hand over a query string as arguments (RFC 3875, section 4.4), so arguments
    count only when no web server is there.
    """
    if "GATEWAY_INTERFACE" not in os.environ and len(sys.argv) > 1:
        return _by_hand(sys.argv[1:])
    response = respond(os.environ)
    with_body = os.environ.get("REQUEST_METHOD") != "HEAD"
    _write(response.encoded(with_body))
    return 0 if response.status == 200 else 1


def respond(environment: Mapping[str, str]) -> Response:
    """Make the response for the request that the environment describes."""
    method = environment.get("REQUEST_METHOD", "GET")
    try:
        if method not in ("GET", "HEAD"):
            raise NoPageError(405, f"The method {method[:40]!a} is not known here", "Use GET.")
        return Response(200, _page(settings.load(environment)))
    except NoPageError as failure:
        return _failed(failure)
    except Exception as error:  # the last resort: the visitor gets an answer, the log the reason
        return _failed(NoPageError(500, f"penstats failed: {type(error).__name__}: {str(error)!a}"))


def _page(told: settings.Settings) -> bytes:
    deadline = Deadline(told.timeout)
    if isinstance(told.way, settings.Control):
        return control.ask(told.way, deadline)
    return webfile.save_and_read(told.way.pid_file, told.way.web_file, deadline)


def _failed(failure: NoPageError) -> Response:
    """Tell the failure in a page, and in a line for the web server's error log."""
    _complain(f"{failure.problem}. {failure.advice}".rstrip())
    body = _FAILURE_PAGE.format(
        reason=f"{failure.status} {REASONS[failure.status]}",
        problem=html.escape(failure.problem),
        advice=html.escape(failure.advice),
    )
    allow = "GET, HEAD" if failure.status == 405 else ""
    return Response(failure.status, body.encode("utf-8", "replace"), allow)


def _by_hand(arguments: list[str]) -> int:
    if arguments == ["--help"]:
        width = max(map(len, settings.VARIABLES)) + 2
        lines = [f"  {name:<{width}}{meaning}" for name, meaning in settings.VARIABLES.items()]
        _write(_HELP.format(variables="\n".join(lines)).encode())
        return 0
    if arguments == ["--version"]:
        from importlib.metadata import version  # 40 ms, which a visitor need not wait for

        _write(f"penstats {version('pen-suite')}\n".encode())
        return 0
    _complain(f"unexpected argument {arguments[0]!a}; see penstats --help")
    return 2


def _complain(text: str) -> None:
    try:
        os.write(2, f"penstats: {text}\n".encode("utf-8", "replace"))
    except OSError:
        pass  # no error log is no reason for no answer


def _write(data: bytes) -> None:
    """Write everything, unless the reader has gone."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(1, view) :]
    except BrokenPipeError:
        pass
