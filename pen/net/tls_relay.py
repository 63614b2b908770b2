"""A relay whose client comes by TLS: the same flows, over another kind of stream."""

from typing import TYPE_CHECKING, ClassVar

from pen.net.flow import TO_THE_END, Flow
from pen.net.pollers import URGENT
from pen.net.relay import Relay
from pen.net.tls_stream import TLSStream

if TYPE_CHECKING:
    from pen.net.stream import Stream


class CopyingFlow(Flow):
    """Has bytes to encrypt or decrypt, so it never splices."""

    __slots__ = ()

    def _is_bulk(self) -> bool:
        self.full_reads = 1
        return False


class DecryptingFlow(CopyingFlow):
    """From the client."""

    __slots__ = ()

    def pump(self, mask: int = TO_THE_END) -> None:
        """A short read may be a short record, so read to the end always: URGENT says that."""
        self._pump_on(mask | URGENT)


class EncryptingFlow(CopyingFlow):
    """To the client."""

    __slots__ = ()

    sink: "Stream"

    def finish(self) -> None:
        """Say so in TLS first (RFC 8446, section 6.1), which may have to wait as data has."""
        assert isinstance(self.sink, TLSStream)
        if self.sink.tell_end():
            return super().finish()
        self.ended = True
        return self._hold(b"")


class TLSRelay(Relay):
    """A session whose client's bytes are encrypted. Its handshake is over before it begins."""

    __slots__ = ()

    secure: ClassVar[bool] = True
    flow_up: ClassVar[type[Flow]] = DecryptingFlow
    flow_down: ClassVar[type[Flow]] = EncryptingFlow

    def start(self) -> None:
        """As `Relay.start`, for a client that is watched already and may have sent more."""
        error = self._ask(self.server)
        self._read_first()
        shared = self.shared
        if error is None:
            error = self._send_first()
        shared.reactor.handlers[self.client_fd] = self.up.pump
        if error is None:
            self._accepted(read_on=True, watched=False)
        else:
            self._not_accepted(error)
