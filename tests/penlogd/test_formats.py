"""Log formats of Apache, nginx and lighttpd: what is read of a line, and what is refused."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penlogd.accesslog import Order
from penlogd.fields import FormatError
from penlogd.formats import CADDY, COMBINED, NICKNAMES, SHAPE, make_format, read_format

SERVER = b"10.0.0.1"
NOON = 1795449600.0  # 23/Nov/2026:16:00:00 +0000
STAMP = b"[23/Nov/2026:16:00:00 +0000]"
GET = b"GET /a HTTP/1.1"
PORTS = '%h %l %u %t "%r" %>s %b %{remote}p %{local}p %D'


def read(text, line):
    return read_format(text).read(line, SERVER)


def test_ports_and_duration_are_read():
    line = read(PORTS, b"10.0.0.254 - - " + STAMP + b' "GET /a HTTP/1.1" 200 5 40001 80 1500000')
    assert (line.request, line.stamp, line.duration) == (GET, NOON, 1.5)
    assert (line.pen(), line.port, line.server_port) == (b"10.0.0.254", b"40001", b"80")
    assert line.with_client(b"::9").startswith(b"::9 - - [")


@pytest.mark.parametrize("client", [b"10.0.0.254", b"2001:db8::7", b"pen.example.com"])
@pytest.mark.parametrize("user", [b"-", b'""', b"john doe", b'a" [x] b'])
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("common", b"", b""),
        ("combined", b"", b' "-" "agent \\"x\\""'),
        ("vhost_combined", b"www.example.com:80 ", b' "-" "agent"'),
        ("vhost_combined", b"[::1]:80 ", b' "-" "agent"'),
        ("nginx_combined", b"", b' "-" "agent \\x22"'),
    ],
)
def test_nicknames_read_their_lines_and_only_the_client_changes(name, before, after, client, user):
    rest = b" - " + user + b" " + STAMP + b' "GET /a HTTP/1.1" 200 -' + after
    line = read(name, before + client + rest)
    assert (line.request, line.stamp) == (GET, NOON)
    assert line.with_client(b"192.0.2.9") == before + b"192.0.2.9" + rest


@pytest.mark.parametrize(
    ("text", "shown", "stamp", "precision"),
    [
        (
            "%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t",
            b"23/Nov/2026:16:00:00.250 +0000",
            NOON + 0.25,
            1e-3,
        ),
        ("%{%F %T %z}t", b"2026-11-23 21:30:00 +0530", NOON, 1.0),
        ("%{%F %T}t.%{usec_frac}t %{%z}t", b"2026-11-23 16:00:00.000001 +0000", NOON + 1e-6, 1e-6),
        ("%{sec}t", b"1795449600", NOON, 1.0),
        ("%{msec}t", b"1795449600250", NOON + 0.25, 1e-3),
        ("%{begin:usec}t", b"1795449600250000", NOON + 0.25, 1e-6),
        ("%{%s}t.%{msec_frac}t", b"1795449600.250", NOON + 0.25, 1e-3),
        ("%t %{usec}t", STAMP + b" 1795449600250000", NOON + 0.25, 1e-6),
        ("%{%H:%M:%S}t", b"16:00:00", None, 1.0),
        ("%t", b"[23/Nov/2026:16:00:60 +0000]", NOON + 59, 1.0),
        ("%t", b"[01/Jan/1970:00:00:00 +0000]", 0.0, 1.0),
        ("%t", b"[23/Foo/2026:16:00:00 +0000]", None, 1.0),
    ],
)
def test_stamps_of_apache(text, shown, stamp, precision):
    line = read(f'%h {text} "%r"', b"a " + shown + b' "GET /a HTTP/1.1"')
    assert line.request == GET
    assert line.stamp == (None if stamp is None else pytest.approx(stamp, abs=1e-7))
    assert line.shape.precision == pytest.approx(precision)


@pytest.mark.parametrize(
    ("text", "shown", "seconds"),
    [("%D", b"1500", 0.0015), ("%T", b"3", 3.0), ("%{ms}T", b"1500", 1.5),
     ("%T/%D", b"1/1500000", 1.5), ("%{us}T", b"1500000", 1.5), ("%{s}T", b"2", 2.0),
     ("%!200D", b"-", None), ("%D", b"-5", -5e-6)],
)  # fmt: skip
def test_durations_of_apache(text, shown, seconds):
    line = read(f"%h {text}", b"a " + shown)
    assert line.duration == (None if seconds is None else pytest.approx(seconds))


def test_the_peer_is_told_from_the_client_that_mod_remoteip_shows():
    line = read("%a %{c}a %{remote}p", b"192.0.2.9 10.0.0.254 40001")
    assert (line.pen(), line.with_client(b"x")) == (b"10.0.0.254", b"x 10.0.0.254 40001")


def test_formats_of_nginx():
    text = '$remote_addr:$remote_port $server_port [$time_local] $msec $request_time "$request"'
    line = read(text, b"::1:40001 80 " + STAMP + b' 1795449600.250 0.125 "GET /a HTTP/1.1"')
    assert (line.pen(), line.port, line.server_port) == (b"::1", b"40001", b"80")
    assert (line.stamp, line.duration, line.request) == (NOON + 0.25, 0.125, GET)
    assert line.order_key(Order.STAMP) == line.order_key(Order.END) == NOON + 0.25
    assert line.order_key(Order.START) == NOON + 0.125
    assert read("${remote_addr} $made_up $x", b"a b c d").pen() == b"a"


def test_whose_stamps_are_of_the_end():
    line = b"a - - " + STAMP + b' "GET /a HTTP/1.1" 200 5 40001 80 2000000'
    assert read(PORTS, line).order_key(Order.END) == NOON + 2
    assert read(PORTS, line).order_key(Order.START) == NOON
    assert read("lighttpd:" + PORTS, line).order_key(Order.END) == NOON
    assert read("lighttpd:" + PORTS, line).order_key(Order.START) == NOON - 2


@pytest.mark.parametrize(
    "text", [r"%h \"%r\" %s", '%h "%r" %s', '%h "%<r" %>s', 'apache:%h "%r" %s']
)
def test_backslashes_and_modifiers_are_as_in_a_configuration(text):
    line = read(text, b'a "GET \\"/\\"" 200')
    assert line.request == b'GET "/"'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("%h %Z", "'%Z'"), ("%h %{x}Q", "'%{x}Q'"), ("%h %^xx", "'%^xx'"), ("%h %", "'%'"),
        ("%h %{foo}p", "'foo' is none of canonical, local, remote"), ("%h %{}", "'%{}'"),
        ("%h %{%G}t", "'%G'"), ("%h%{remote}p", "%h and %{remote}p"), ("%r", "no client"),
        ("no directive", "no client"), ("$request", "no client"), ("%h %{Foo}b", "'%{Foo}b'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(text, named):
    with pytest.raises(FormatError, match=re.escape(named)):
        read_format(text)


# Every directive of the table in Apache 2.4's manual, with a value that it can have.
TABLE = [
    ("%%", b"%"), ("%a", b"::1"), ("%{c}a", b"::1"), ("%A", b"10.0.0.1"), ("%B", b"0"),
    ("%b", b"-"), ("%{sid}C", b"x y"), ("%D", b"12"), ("%{X.Y}e", b"x y"), ("%f", b"/www/a b"),
    ("%h", b"h"),
    ("%{c}h", b"h"), ("%H", b"HTTP/1.1"), ("%{User-Agent}i", b"Mozilla/5.0 (X)"), ("%k", b"0"),
    ("%l", b"-"), ("%L", b"-"), ("%{c}L", b"WV@b"), ("%m", b"GET"), ("%{n-1}n", b"-"),
    ("%{Content-Type}o", b"text/html; charset=x"), ("%p", b"80"), ("%{canonical}p", b"80"),
    ("%{local}p", b"80"), ("%{remote}p", b"40001"), ("%P", b"77"), ("%{tid}P", b"77"),
    ("%{hextid}P", b"7fa"), ("%q", b"?a=b"), ("%r", b"GET / HTTP/1.0"), ("%R", b"cgi-script"),
    ("%s", b"200"), ("%>s", b"-"), ("%t", STAMP), ("%{%F}t", b"2026-11-23"), ("%T", b"0"),
    ("%{ms}T", b"5"), ("%u", b'""'), ("%U", b"/a b"), ("%v", b"www"), ("%V", b"www"), ("%X", b"+"),
    ("%I", b"80"), ("%O", b"80"), ("%S", b"160"), ("%^FB", b"-"), ("%{Foo}^ti", b"x"),
    ("%{Foo}^to", b"-"), ("%{SSL_PROTOCOL}x", b"TLSv1.3"), ("%{cipher}c", b"-"),
    ("%200,304{Referer}i", b"-"), ("%!200D", b"-"), ("%400B", b"-"),
]  # fmt: skip


@pytest.mark.parametrize(("directive", "value"), TABLE)
def test_every_directive_is_read(directive, value):
    for text, line in [
        (f'%h {directive} "%r"', b"pen " + value + b' "GET /a HTTP/1.1"'),
        (f'{directive} | %h "{directive}"', value + b' | pen "' + value + b'"'),
    ]:
        assert read(text, line) is not None


def test_the_same_header_may_stand_twice():
    assert read("%h %{Foo.Bar}i %{Foo.Bar}i", b"a b c") is not None


def test_several_formats_and_those_of_a_server():
    formats = make_format([PORTS, "common"], [(b"10.0.0.2", "nginx_combined"), (b"::2", SHAPE)])
    common = b"a - - " + STAMP + b' "GET /a HTTP/1.1" 200 5'
    assert formats.read(common + b" 1 2 3", SERVER).port == b"1"
    assert formats.read(common, SERVER).port is None
    assert formats.read(common + b" more", SERVER) is None
    assert formats.read(common, b"10.0.0.2") is None
    assert formats.read(common + b' "-" "x"', b"10.0.0.2").shape.at_end
    assert formats.read(common + b" more", b"::2").request == GET


def test_a_field_of_the_format_may_tell_the_server():
    line = make_format(["%v %h"], server_field="%v").read(b"www1 a", SERVER)
    assert line.server == b"www1"
    for text in ("%h", "nginx_combined"):
        with pytest.raises(FormatError, match="no log format has '%v'"):
            make_format([text], server_field="%v")
    with pytest.raises(FormatError, match="'%h' cannot tell the server"):
        make_format(["%h"], server_field="%h")


@pytest.mark.parametrize(
    "text", [*NICKNAMES, CADDY, PORTS, "%u %f %U%q %h %{A}i %{B}i %r", '%u "%h" %u']
)
@pytest.mark.parametrize(
    "bad", [b"a" * 65_000, b'"' * 65_000, b" " * 65_000, b"a " * 32_000, b'\\"' * 32_000,
            b"[23/Nov/2026:16:00:00 +0000] " * 2_200, b"a - - " + STAMP + b' "' + b'x" ' * 21_000],
)  # fmt: skip
def test_no_line_takes_long(text, bad):
    reader = read_format(text)
    started = time.process_time()
    reader.read(bad, SERVER)
    assert time.process_time() - started < 0.5


@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([d for d, _ in TABLE] + [" ", '"', "x", "%"])).map("".join)
    | st.text('$%{}abtr_ \\"^,!<>').map("%h ".__add__)
)
@example("%h" + "%u" * 50)
def test_any_format_is_accepted_or_refused(text):
    try:
        read_format(text).read(b'a b - [x] "GET / HTTP/1.0" 200', SERVER)
    except FormatError:
        pass


READERS = [read_format(text) for text in (*NICKNAMES, CADDY, PORTS)]


@given(
    st.binary(max_size=200)
    | st.binary(max_size=60).map(
        lambda tail: b"a - - " + STAMP + b' "GET /' + tail + b'" 200 5 40001 80 17'
    )
)
def test_of_any_line_only_the_client_changes(line):
    for reader in READERS:
        found = reader.read(line, SERVER)
        if found is not None:
            client = line[found.client_start : found.client_end]
            assert found.with_client(client) == line


def test_combined_may_be_written_out():
    line = b"a - - " + STAMP + b' "GET /a HTTP/1.1" 200 5 "-" "x"'
    assert read(COMBINED, line) is not None
