"""Certificates for the works with TLS."""

import subprocess
from enum import Enum
from pathlib import Path


class Key(Enum):
    """The kinds of keys, as openssl(1) asks for them."""

    RSA = "rsa:2048"
    ECDSA = "ec"


def make_certificate(kind: Key, folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate in `folder`; returns its file and its key's."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", kind.value, "-subj", "/CN=bench"]
    if kind is Key.ECDSA:
        command += ["-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        [*command, "-out", str(certificate), "-keyout", str(key)], check=True, capture_output=True
    )
    return certificate, key
