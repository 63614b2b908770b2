"""TLS: names, staples, client certificates, resumption, and changing all that."""

import signal
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509

from tests.certificates import Authority
from tests.pen.conftest import echo, naming, receive, until
from tests.pen.tls import ask, connect, shown, trusting


def test_certificates_by_name(pen, backend, authority, site, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    named = Authority(folder, "named")
    named.issue("one.example")
    named.issue("*.two.example")
    running = pen(*site, "-o", f"ssl_sni_path {folder}", f"127.0.0.1:{backend().port}")
    context = trusting(authority, check_hostname=False)
    context.load_verify_locations(str(named.file))
    assert shown(running, context, "one.example") == "one.example"
    assert shown(running, context, "ONE.example") == "one.example"
    assert shown(running, context, "a.two.example") == "*.two.example"
    for other in ("three.example", "a.b.two.example", "two.example", None):
        assert shown(running, context, other) == "www.example"


def test_the_chain_goes_along(pen, backend, authority, tmp_path):
    """From the certificate's file, and as C pen does from -G."""
    between = Authority(tmp_path, "between", authority)
    for chain, more in (([between.certificate], []), ([], ["-G", between.file])):
        certificate, key = between.issue("www.example", chain=chain)
        running = pen("-E", certificate, "-K", key, *more,
                      f"127.0.0.1:{backend(naming(b'one')).port}")  # fmt: skip
        assert ask(running, trusting(authority)) == b"one"


def stapled(pen, name="www.example"):
    """The response that a client gets with its handshake."""
    responses = []
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_ocsp_client_callback(lambda _, data, __: responses.append(data) or True)
    with pen.connect() as plain:
        plain.settimeout(None)
        client = SSL.Connection(context, plain)
        client.set_tlsext_host_name(name.encode())
        client.request_ocsp()
        client.set_connect_state()
        client.do_handshake()
    return responses[0]


def test_stapling(pen, backend, authority, site, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    authority.folder = folder
    other = authority.respond(authority.issue("one.example")[0], folder / "one.example.ocsp")
    file = tmp_path / "response"
    first = authority.respond(site[1], file)
    running = pen(*site, "-o", f"ssl_sni_path {folder}", "-o", f"ssl_ocsp_response {file}",
                  f"127.0.0.1:{backend().port}")  # fmt: skip
    assert stapled(running) == first
    assert stapled(running, "one.example") == other
    second = authority.respond(site[1], file, renew=timedelta(days=2))
    assert stapled(running) == second
    file.write_bytes(b"garbage")
    assert stapled(running) == second
    assert "not an OCSP response" in running.stderr
    authority.respond(site[1], file, renew=-timedelta(days=1))
    assert stapled(running) == b""
    assert f"{file}: the OCSP response is out of date" in running.stderr
    assert running.ctl("no ssl_ocsp_response") == ""
    assert stapled(running) == b""


@pytest.mark.parametrize("by", ["-G", "-A"])
def test_client_certificates(pen, backend, authority, site, tmp_path, by):
    (tmp_path / "other").mkdir()
    known, stranger = Authority(tmp_path, "known"), Authority(tmp_path / "other", "known")
    where = known.file
    if by == "-A":
        where = tmp_path / "hashed"
        where.mkdir()
        number = X509.from_cryptography(known.certificate).subject_name_hash()
        (where / f"{number:08x}.0").write_bytes(known.file.read_bytes())
    running = pen("-d", *site, "-R", by, where, f"127.0.0.1:{backend(naming(b'one')).port}")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(running, trusting(authority))
    until(lambda: "peer did not return a certificate" in running.stderr, "a line says so")
    for issuer, welcome in ((known, True), (stranger, False)):
        context = trusting(authority)
        context.load_cert_chain(*issuer.issue("a client"))
        if welcome:
            assert ask(running, context) == b"one"
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                ask(running, context)


# Resumption, and changing certificates.


def resume(pen, context, session=None):
    """Connect once more; the new session, and whether the handshake was a short one."""
    with connect(pen, context, session=session) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"  # tickets of TLS 1.3 have come with it
        return client.session, client.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_outlive_a_hup(pen, backend, authority, site, version):
    running = pen(*site, f"127.0.0.1:{backend(echo).port}")
    context = trusting(authority, maximum_version=version)
    session, reused = resume(running, context)
    assert not reused
    assert resume(running, context, session)[1]
    serial = renew(running, authority)
    until(lambda: presented(running, authority) == serial, "the new one")
    assert resume(running, context, session)[1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_is_no_way_around_authorities(pen, backend, authority, site, tmp_path, version):
    """After HUP they may be others, and with names each has its own."""
    running = pen(*site, "-R", "-G", authority.file, f"127.0.0.1:{backend(echo).port}")
    context = trusting(authority, maximum_version=version)
    context.load_cert_chain(*authority.issue("a client"))
    session, _ = resume(running, context)
    assert resume(running, context, session)[1]
    serial = renew(running, authority)
    until(lambda: presented(running, authority, context) == serial, "the new one")
    assert not resume(running, context, session)[1]
    folder = tmp_path / "names"
    folder.mkdir()
    assert running.ctl(f"ssl_sni_path {folder}") == ""
    session, _ = resume(running, context)
    assert not resume(running, context, session)[1]


def renew(pen, authority):
    """Issue www.example again and HUP pen; returns the new serial number."""
    certificate, _ = authority.issue("www.example")
    pen.process.send_signal(signal.SIGHUP)
    return serial_of(ssl.PEM_cert_to_DER_cert(certificate.read_text().strip()))


def serial_of(der: bytes) -> int:
    return x509.load_der_x509_certificate(der).serial_number


def presented(pen, authority, context=None):
    with connect(pen, context or trusting(authority)) as client:
        return serial_of(client.getpeercert(binary_form=True))


def test_hup_drops_nobody(pen, backend, authority, site):
    running = pen(*site, f"127.0.0.1:{backend(echo).port}")
    with connect(running, trusting(authority)) as client:
        serial = renew(running, authority)
        until(lambda: presented(running, authority) == serial, "the new certificate is shown")
        client.sendall(b"still here")
        assert receive(client, 10) == b"still here"


def test_a_mistake_at_hup_changes_nothing(pen, backend, authority, site, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    running = pen(*site, "-o", f"ssl_sni_path {folder}", f"127.0.0.1:{backend().port}")
    before = presented(running, authority)
    (folder / "bad.example.crt").write_text("garbage")
    renew(running, authority)
    told = f"HUP: certificate {folder}/bad.example.crt: there is no certificate in PEM form in it"
    until(lambda: told in running.stderr, "it is told")
    assert presented(running, authority) == before


def test_on_and_off_by_command(pen, backend, authority, site):
    running = pen(f"127.0.0.1:{backend(naming(b'one')).port}")
    certificate, key = site[1], site[3]
    assert running.ask() == b"one"
    assert running.ctl(f"ssl_certificate {certificate}").startswith("error: key ")
    assert running.ask() == b"one"
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert running.ctl(f"ssl_certificate {certificate}") == ""
    assert running.ctl("ssl_certificate") == f"{certificate}\n"
    assert ask(running, trusting(authority)) == b"one"
    assert running.ctl("ssl_protocol tls1.2") == ""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(running, trusting(authority, minimum_version=ssl.TLSVersion.TLSv1_3))
    assert running.ctl("no ssl_certificate") == ""
    assert running.ask() == b"one"


def test_ciphers_and_options(pen, backend, authority, site):
    running = pen(*site, "-L", "tls1.2", "-Z", f"127.0.0.1:{backend().port}")
    cipher = "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert running.ctl(f"ssl_ciphers {cipher}:TLS_CHACHA20_POLY1305_SHA256") == ""
    with connect(running, trusting(authority)) as client:
        assert client.cipher()[0] == cipher
    assert running.ctl("ssl_protocol tls1.3") == ""
    with connect(running, trusting(authority)) as client:
        assert client.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
    assert "OpenSSL knows none of these" in running.ctl("ssl_ciphers nonsense")
    assert running.ctl("ssl_option no_tlsv1.2") == ""
    assert "no version of TLS is left" in running.ctl("ssl_option no_tlsv1.3")
    assert running.ctl("ssl_ciphers") == f"{cipher}:TLS_CHACHA20_POLY1305_SHA256\n"


def test_write_saves_all_of_it(pen, backend, authority, site, tmp_path):
    running = pen(*site, "-Z", "-L", "tls1.3", f"127.0.0.1:{backend().port}")
    for command in (
        f"ssl_ca_file {authority.file}", f"ssl_ca_dir {tmp_path}", "ssl_require_certificate",
        f"ssl_ocsp_response {tmp_path}/response", f"ssl_sni_path {tmp_path}",
        "ssl_ciphers TLS_AES_128_GCM_SHA256", "ssl_option no_ticket", "ssl_option no_sslv3",
        "ssl_handshake_timeout 7", "ssl_client_renegotiation_interval 99",
    ):  # fmt: skip
        if "ocsp" in command:
            authority.respond(site[1], tmp_path / "response")
        assert not running.ctl(command).startswith("error"), command
    first, second = tmp_path / "first", tmp_path / "second"
    assert running.ctl(f"write {first}") == ""
    assert running.stop() == 0
    again = pen("-F", first, listen=f"127.0.0.1:{running.port}")
    assert again.ctl(f"write {second}") == ""
    assert first.read_text().splitlines()[2:] == second.read_text().splitlines()[2:]
