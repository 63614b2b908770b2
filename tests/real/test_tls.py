"""TLS as curl and openssl see it, before a real Apache."""

import signal
import subprocess

import pytest

from tests.certificates import Authority
from tests.ports import free_port
from tests.real.apache import Apache
from tests.real.peers import SUITE, accepts

PAGE = "www1\n"


class Site:
    """pen with TLS before an Apache, for www.example, and other.example by SNI."""

    def __init__(self, peers):
        apache = Apache(peers, "www1", "127.0.0.1")
        apache.start()
        self.names = peers.folder / "names"
        self.names.mkdir()
        self.authority = Authority(peers.folder)
        root = [self.authority.certificate]  # curl looks for the responder in the chain
        certificate, key = self.authority.issue("www.example", kind="rsa", chain=root)
        other = Authority(self.names, "other", self.authority)
        named, _ = other.issue("other.example", chain=[other.certificate])
        self.authority.respond(certificate, peers.folder / "ocsp")
        other.respond(named, self.names / "other.example.ocsp")
        self.port = free_port()
        command = [
            SUITE / "pen", "-fd", "-E", certificate, "-K", key, "-H",
            "-o", f"ssl_ocsp_response {peers.folder}/ocsp", "-o", f"ssl_sni_path {self.names}",
            f"127.0.0.1:{self.port}", f"127.0.0.1:{apache.port}",
        ]  # fmt: skip
        self.pen = peers.start("pen", command, lambda: accepts("127.0.0.1", self.port))

    def curl(self, name, *options):
        """Fetch the page; all that curl printed."""
        command = [
            "curl", "--silent", "--show-error", "--fail", "--max-time", "20",
            "--cacert", self.authority.file, "--resolve", f"{name}:{self.port}:127.0.0.1",
            *options, f"https://{name}:{self.port}/p.html",
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def s_client(self, name, *options):
        """What openssl tells of a connection with a request."""
        request = f"GET /p.html HTTP/1.0\r\nHost: {name}\r\n\r\n"
        return self.s_client_types(name, request, "-ign_eof", *options)

    def s_client_types(self, name, typed, *options):
        """The same, with this typed into it."""
        command = [
            "openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", name,
            "-CAfile", self.authority.file, *options,
        ]  # fmt: skip
        done = subprocess.run(
            command, input=typed, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout + done.stderr


@pytest.fixture
def site(peers):
    return Site(peers)


@pytest.mark.parametrize("name", ["www.example", "other.example"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl(site, name, version):
    assert site.curl(name, f"--tlsv{version}", "--tls-max", version, "--cert-status") == PAGE


def test_curl_keeps_the_connection(site):
    url = f"https://www.example:{site.port}/p.html"
    assert site.curl("www.example", url, url, "--write-out", "%{num_connects}\n") == (
        f"{PAGE}1\n{PAGE}0\n{PAGE}0\n"
    )


def test_openssl_sees_name_staple_and_chain(site):
    seen = site.s_client("other.example", "-status", "-verify_hostname", "other.example")
    assert "OCSP Response Status: successful" in seen
    assert "Cert Status: good" in seen
    assert "Verify return code: 0 (ok)" in seen
    assert PAGE in seen


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_comes_back_with_its_ticket(site, peers, version):
    session = peers.folder / "session"
    assert "New, TLSv1" in site.s_client("www.example", version, "-sess_out", session)
    site.pen.signal(signal.SIGHUP)
    assert "Reused, TLSv1" in site.s_client("www.example", version, "-sess_in", session)


def test_old_versions_are_refused(site):
    seen = site.s_client("www.example", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "alert protocol version" in seen


def test_renegotiation_is_refused(site):
    seen = site.s_client_types("www.example", "R\n", "-tls1_2")
    assert "no renegotiation" in seen


def test_debian_pen_and_ours_take_the_same_options(site, peers):
    """What a user of the C suite typed works, and shows clients the same certificate."""
    files = [peers.folder / f"www.example.{part}" for part in ("crt", "key")]
    for number, pen in enumerate((SUITE / "pen", "/usr/bin/pen")):
        port = free_port()
        command = [pen, "-f", "-r", "-E", files[0], "-K", files[1], "-L", "ssl23", "-Z",
                   f"127.0.0.1:{port}", f"127.0.0.1:{site.port}"]  # fmt: skip
        peers.start(f"pen{number}", command, lambda port=port: accepts("127.0.0.1", port))
        seen = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"],
            input="", capture_output=True, text=True, timeout=20, check=False,
        ).stdout  # fmt: skip
        assert "subject=CN = www.example" in seen
