"""Real servers and their clients see the same through Debian's pen and through ours."""

import re
import subprocess

import pytest

from tests.certificates import Authority
from tests.ports import free_port
from tests.real.apache import Apache
from tests.real.bind9 import Named, dig
from tests.real.farm import HOSTS
from tests.real.peers import accepts, receives
from tests.real.sidebyside.scene import OURS, C
from tests.real.slapd import Slapd, ldapsearch

CLIENTS = (1, 2, 3, 4, 1, 2, 3)
NAME = "www.example"


@pytest.fixture
def both(peers):
    """Start both pens with these options and servers, and wait until they serve; their ports."""

    def start(*options, servers, serves=lambda port: accepts("127.0.0.1", port)):
        ports = []
        for program in (C, OURS):
            port = free_port()
            command = [program.pen, "-f", *options, f"127.0.0.1:{port}", *servers]
            peers.start(f"pen-{program.name}", command, lambda port=port: serves(port))
            ports.append(port)
        return ports

    return start


def test_ldap(peers, both):
    servers = [Slapd(peers, name) for name in ("ldap1", "ldap2")]
    places = [f"127.0.0.1:{server.port}:0:0:0:{n}" for n, server in enumerate(servers)]
    ports = both("-P", "-o", "prio", servers=places)
    found = [ldapsearch(port) for port in ports]
    assert found == ["dn: dc=pen\ndescription: ldap1\n\n"] * 2
    servers[0].peer.terminate()
    found = [ldapsearch(port) for port in ports]
    assert found == ["dn: dc=pen\ndescription: ldap2\n\n"] * 2


def test_https(peers, both):
    apache = Apache(peers, "www1", HOSTS[0]).start()
    authority = Authority(peers.folder)
    names = peers.folder / "names"
    names.mkdir()
    for file in authority.issue("other.example"):
        file.rename(names / file.name)
    (names / "other.example.ca").write_bytes(authority.file.read_bytes())
    certificate, key = authority.issue(NAME, kind="rsa")
    authority.respond(certificate, peers.folder / "ocsp")
    ports = both(
        "-E", certificate, "-K", key, "-G", authority.file,
        "-O", f"ssl_ocsp_response {peers.folder}/ocsp", "-O", f"ssl_sni_path {names}",
        servers=[f"{apache.host}:{apache.port}"],
    )  # fmt: skip
    for version in ("1.2", "1.3"):
        pages = [curl(port, authority.file, version) for port in ports]
        assert pages == [(apache.folder / "pages" / "p.html").read_text()] * 2
    for name in (NAME, "other.example"):
        of_c, of_ours = (s_client(port, authority.file, name) for port in ports)
        assert of_ours == of_c
        assert f"subject=CN = {name}" in of_c
    # A name without a file of its own. C's handshake fails with it, but not each time, so C is
    # not held to it here; docs/compatibility.md has the difference.
    assert f"subject=CN = {NAME}" in s_client(ports[1], authority.file, "nobody.example")


def test_dns(peers, both):
    """bind9 over UDP, asked by dig from several addresses; `who` tells which server it was."""
    servers = [f"127.0.0.1:{Named(peers, name).port}" for name in ("ns1", "ns2", "ns3")]
    of_c, of_ours = (
        [
            *(
                dig("127.0.0.1", port, "who", "TXT", "-b", f"127.0.0.{client}")
                for client in CLIENTS
            ),
            dig("127.0.0.1", port, "www", "A"),
            dig("127.0.0.1", port, "large", "TXT", "+bufsize=4096", "+ignore"),
        ]
        for port in both("-U", "-h", servers=servers, serves=receives)
    )
    assert of_ours == of_c
    assert len(set(of_c)) == 3 + 2
    assert len(of_c[-1]) > 2500


def curl(port, authority, version):
    """The page by this version of TLS."""
    command = [
        "curl", "-sS", "--max-time", "20", "--cacert", authority, f"--tlsv{version}",
        "--tls-max", version, "--resolve", f"{NAME}:{port}:127.0.0.1",
        f"https://{NAME}:{port}/p.html",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def s_client(port, authority, name):
    """What openssl tells of the certificate and its status."""
    command = [
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", name, "-status",
        "-CAfile", authority,
    ]  # fmt: skip
    done = subprocess.run(
        command, input="", capture_output=True, text=True, timeout=20, check=False
    )
    told = re.compile(
        r"subject=|Verify return|\s*OCSP Response Status|OCSP response:|\s*Cert Status"
    )
    return [line for line in done.stdout.splitlines() if told.match(line)]
