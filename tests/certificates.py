"""Certificates, keys and OCSP responses for tests, made as they are needed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509 import ocsp

DAY = timedelta(days=1)


def make_key(kind="ec"):
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key, passphrase: bytes | None = None) -> bytes:
    hiding = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hiding)


class Authority:
    """Issues certificates into a folder, `NAME.crt` and `NAME.key`; its own is `ca.crt`."""

    def __init__(self, folder: Path, name: str = "an authority", parent: "Authority | None" = None):
        self.folder = folder
        self.key = make_key()
        self.certificate = (parent or self)._sign(name, self.key, ca=True)
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    @property
    def _issuer(self):
        return self.certificate.subject if hasattr(self, "certificate") else None

    def _sign(self, name, key, *, ca=False, start=-DAY, end=30 * DAY):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + start)
            .not_valid_after(now + end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName(name)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, SHA256())

    def issue(self, name, *, kind="ec", start=-DAY, end=30 * DAY, chain=()):
        """Issue to `name`; returns the paths of certificate and key."""
        key = make_key(kind)
        certificate = self._sign(name, key, start=start, end=end)
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        whole = [certificate, *chain]
        files[0].write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in whole))
        files[1].write_bytes(key_pem(key))
        return files

    def respond(self, certificate_file, response_file, *, renew=DAY):
        """Write the OCSP response "good" for a certificate, to be renewed within `renew`."""
        now = datetime.now(UTC)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        response = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                certificate, self.certificate, SHA1(), ocsp.OCSPCertStatus.GOOD,
                now - 2 * DAY, now + renew, None, None,
            )
            .responder_id(ocsp.OCSPResponderEncoding.NAME, self.certificate)
            .certificates([self.certificate])
            .sign(self.key, SHA256())
        )  # fmt: skip
        data = response.public_bytes(Encoding.DER)
        response_file.write_bytes(data)
        return data
