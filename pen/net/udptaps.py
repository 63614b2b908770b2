"""Who sees the datagrams that pass: the request log and communication dumps."""

from pen.core.applying import Prepared
from pen.core.settings import Settings
from pen.net.dumps import DOWN, UP, dump
from pen.net.taps import dumps
from pen.net.udp import Datagrams, See, UdpSession


class UdpTaps:
    """Lets the UDP sessions show what passes to those who want to see it."""

    def __init__(self, datagrams: Datagrams) -> None:
        self._datagrams = datagrams
        self._log: See | None = None

    def set_log(self, observe: See | None) -> None:
        """Let the request log see what clients send."""
        self._log = observe
        self._refit()

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`."""
        return Prepared(self._refit) if dumps(wanted) != dumps(applied) else None

    def _refit(self) -> None:
        dumping = dumps(self._datagrams.settings)
        self._datagrams.see_up = self._dump_up if dumping else self._log
        self._datagrams.see_down = self._dump_down if dumping else None

    def _dump_up(self, session: UdpSession, datagram: bytes) -> None:
        if self._log is not None:
            self._log(session, datagram)
        dump(session.number, UP, datagram, ascii=self._datagrams.settings.ascii)

    def _dump_down(self, session: UdpSession, datagram: bytes) -> None:
        dump(session.number, DOWN, datagram, ascii=self._datagrams.settings.ascii)
