"""Certificates and keys from PEM files, with errors that name the file and say what to do."""

import logging
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pen.core.errors import PenError
from pen.files import open_regular

logger = logging.getLogger("pen")


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server proves its name with."""

    certificate: x509.Certificate
    chain: list[x509.Certificate]
    """What stands after it in its file: who vouches for it, in order."""
    key: PrivateKeyTypes


def read_identity(certificate_file: str, key_file: str, now: datetime) -> Identity:
    """Read a certificate, what follows it in its file, and its key.

    Raises:
        PenError: a file cannot be read or has something else in it.
    """
    certificate, *chain = read_certificates(certificate_file)
    key = _read_key(key_file)
    if key.public_key() != certificate.public_key():
        raise PenError(
            f"the key in {key_file} is not that of the certificate in {certificate_file}"
        )
    _tell_of_dates(certificate_file, certificate, now)
    return Identity(certificate, chain, key)


def read_certificates(path: str) -> list[x509.Certificate]:
    """Read the certificates in a file, at least one.

    Raises:
        PenError: it cannot be read, or there is none.
    """
    data = _read(path, "certificate")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise PenError(f"certificate {path}: there is no certificate in PEM form in it") from None


def _read_key(path: str) -> PrivateKeyTypes:
    data = _read(path, "key")
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        raise PenError(
            f"key {path}: it is encrypted; take the passphrase off with 'openssl pkey'"
        ) from None
    except Exception:  # many kinds, for what a file may have instead of a key
        raise PenError(f"key {path}: there is no private key in PEM form in it") from None


def _read(path: str, what: str) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read()
    except OSError as error:
        raise PenError(f"{what} {path}: {error.strerror}") from None


def _tell_of_dates(path: str, certificate: x509.Certificate, now: datetime) -> None:
    """Clients will turn away, but a site that some still reach is better than none."""
    if now > certificate.not_valid_after_utc:
        expired = f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        logger.warning("certificate %s: it expired on %s; renew it", path, expired)
    elif now < certificate.not_valid_before_utc:
        start = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        logger.warning("certificate %s: it is not valid before %s", path, start)
