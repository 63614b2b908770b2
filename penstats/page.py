"""What counts as pen's status page."""

LARGEST = 64 << 20
"""Bytes; 200,000 clients make about 30 MB. More than this is no page of pen's."""


def is_whole(page: bytes) -> bool:
    """Whether this is an HTML document to its end; pen's page ends with `</html>`."""
    return page.rstrip()[-7:].lower() == b"</html>"
