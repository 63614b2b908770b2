"""OCSP stapling: the certificate authority's word that a certificate is still good.

Somebody else (cron and ``openssl ocsp -respout``) renews the file; here it is read again
whenever it has changed, and not shown once it is out of date, for a client that gets an
old response turns away where it would have gone on without one.
"""

import logging
import os
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.x509 import ocsp

from pen.core.errors import PenError
from pen.files import open_regular

logger = logging.getLogger("pen")

Clock = Callable[[], datetime]
"""Says what time it is, with a time zone."""
NO_RESPONSE = b""


class Staple:
    """The response in a file (DER, RFC 6960), for one certificate.

    Raises:
        PenError: the file cannot be read, or is no response for this certificate.
    """

    def __init__(self, path: str, certificate: x509.Certificate, clock: Clock) -> None:
        self._path = path
        self._serial = certificate.serial_number
        self._clock = clock
        self._expired_told = False
        self._response, self._expires = self._read()
        self._seen = self._stamp()

    def response(self) -> bytes:
        """What to staple now; empty when there is nothing up to date."""
        if self._stamp() != self._seen:
            self._read_again()
        if self._expires is None or self._clock() < self._expires:
            return self._response
        if not self._expired_told:
            self._expired_told = True
            logger.warning("%s: the OCSP response is out of date, and is not sent", self._path)
        return NO_RESPONSE

    def _stamp(self) -> tuple[int, int, int]:
        """Changes when the file does; zeros while there is none."""
        try:
            status = os.stat(self._path)
        except OSError:
            return (0, 0, 0)
        return (status.st_mtime_ns, status.st_ino, status.st_size)

    def _read_again(self) -> None:
        self._seen = self._stamp()
        try:
            self._response, self._expires = self._read()
            self._expired_told = False
        except PenError as error:
            logger.error("%s; keeping the OCSP response read before", error)

    def _read(self) -> tuple[bytes, datetime | None]:
        """The response, and when it must be renewed, if it says so."""
        try:
            with open_regular(self._path) as file:
                data = file.read()
        except OSError as error:
            raise PenError(f"OCSP response {self._path}: {error.strerror}") from None
        try:
            response = ocsp.load_der_ocsp_response(data)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                raise PenError(f"OCSP response {self._path}: it says {response.response_status}")
            serial, expires = response.serial_number, response.next_update_utc
        except ValueError:
            raise PenError(
                f"OCSP response {self._path}: not an OCSP response for one certificate in DER form"
            ) from None
        if serial != self._serial:
            raise PenError(f"OCSP response {self._path}: it is about another certificate")
        return data, expires
