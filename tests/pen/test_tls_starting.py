"""What is wrong with TLS files and options is said at the start, in one line."""

import shlex
import subprocess
from datetime import timedelta

import pytest

from tests.certificates import DAY, Authority, key_pem, make_key
from tests.pen.conftest import BIN
from tests.ports import free_port


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: good files and bad ones."""
    monkeypatch.chdir(tmp_path)
    authority = Authority(tmp_path, "ca")
    certificate, _ = authority.issue("good")
    authority.respond(certificate, tmp_path / "good.ocsp")
    authority.respond(authority.issue("other")[0], tmp_path / "other.ocsp")
    (tmp_path / "encrypted.key").write_bytes(key_pem(make_key(), b"secret"))
    (tmp_path / "garbage").write_bytes(b"\x00garbage\xff")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "one.example.crt").write_bytes(certificate.read_bytes())
    return tmp_path


GOOD = "-E good.crt -K good.key"
NO_CERTIFICATE = "there is no certificate in PEM form in it"
NO_KEY = "there is no private key in PEM form in it"


@pytest.mark.parametrize(("options", "message", "status"), [
    ("-E missing -K good.key", "certificate missing: No such file or directory", 1),
    ("-E good.crt -K missing", "key missing: No such file or directory", 1),
    ("-E good.crt", f"key good.crt: {NO_KEY}", 1),
    ("-E garbage -K good.key", f"certificate garbage: {NO_CERTIFICATE}", 1),
    ("-E empty -K good.key", f"certificate empty: {NO_CERTIFICATE}", 1),
    ("-E names -K good.key", "certificate names: Is a directory", 1),
    ("-E good.crt -K garbage", f"key garbage: {NO_KEY}", 1),
    ("-E good.crt -K other.key",
     "the key in other.key is not that of the certificate in good.crt", 1),
    ("-E good.crt -K encrypted.key",
     "key encrypted.key: it is encrypted; take the passphrase off with 'openssl pkey'", 1),
    ("-K good.key", "a key (-K) needs a certificate of our own (-E, ssl_certificate)", 1),
    ("-R", "asking clients for certificates (-R) needs a certificate of our own", 1),
    (f"{GOOD} -R", "asking clients for certificates (-R) needs somebody to vouch for them", 1),
    (f"{GOOD} -G missing", "certificate missing: No such file or directory", 1),
    (f"{GOOD} -G garbage", f"certificate garbage: {NO_CERTIFICATE}", 1),
    (f"{GOOD} -A missing", "CA directory missing: there is no such directory", 1),
    (f"{GOOD} -o 'ssl_ciphers nonsense'", "ssl_ciphers nonsense: OpenSSL knows none of these", 1),
    (f"{GOOD} -o 'ssl_sni_path missing'", "ssl_sni_path missing: No such file or directory", 1),
    (f"{GOOD} -o 'ssl_sni_path names'", "key names/one.example.key: No such file or directory", 1),
    (f"{GOOD} -o 'ssl_ocsp_response missing'", "OCSP response missing: No such file", 1),
    (f"{GOOD} -o 'ssl_ocsp_response garbage'", "OCSP response garbage: not an OCSP response", 1),
    (f"{GOOD} -o 'ssl_ocsp_response other.ocsp'",
     "OCSP response other.ocsp: it is about another certificate", 1),
    (f"{GOOD} -L ssl3", "option -L: 'ssl3' is not safe and no longer spoken (RFC 8996)", 2),
    (f"{GOOD} -L tls1", "option -L: 'tls1' is not safe and no longer spoken (RFC 8996)", 2),
    (f"{GOOD} -L tls9", "option -L: 'tls9' is none of ssl23, tls1.2, tls1.3", 2),
    (f"{GOOD} -o 'ssl_option fast'", "option -o: 'fast' is none of no_sslv2", 2),
])  # fmt: skip
def test_mistakes(folder, options, message, status):
    words = shlex.split(options)
    command = [BIN / "pen", "-f", *words, f"127.0.0.1:{free_port()}", "127.0.0.1:80"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == status
    assert ended.stderr.startswith(f"pen: {message}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(("start", "end", "told"), [
    (-9 * DAY, -timedelta(hours=1), "it expired on "),
    (timedelta(hours=1), DAY, "it is not valid before "),
])  # fmt: skip
def test_dates_are_told_of(pen, folder, start, end, told):
    """A site that some still reach is better than none."""
    certificate, key = Authority(folder, "ca").issue("late", start=start, end=end)
    running = pen("-E", certificate, "-K", key, "127.0.0.1:80")
    assert f"certificate {certificate}: {told}" in running.stderr
