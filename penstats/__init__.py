"""pen's status page as a CGI (RFC 3875).

The order to read in: `cgi` (a request in, a response out), `settings` (the variables), then the
two ways of getting the page: `control` (ask pen) and `webfile` with `process` (signal pen, wait for
its file).

Start-up is what a visitor waits for, so this package imports little: no click, and NamedTuple where
the rest of the suite has dataclasses (importing those costs as much as all of this).
"""
