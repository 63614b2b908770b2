"""The files that TLS needs, as named on a command line."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the command line named: paths of PEM files.

    Attributes:
        authority: Certificates of those who vouch for the other side.
        certificate: This side's own, its key perhaps in the same file.
        key: The key, if it is in a file of its own.
    """

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None
