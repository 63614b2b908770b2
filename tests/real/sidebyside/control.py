"""Scenarios: what control commands reply and do, and what penctl makes of it."""

from tests.real.sidebyside.scenario import Scenario
from tests.real.sidebyside.showing import file, page, saved
from tests.real.sidebyside.steps import ctl, differs, ends, of_other_penctl, penctl
from tests.real.sidebyside.visits import clients, come, sees_the_end

FLAGS = (
    "abort_on_error", "ascii", "dummy", "hash", "http", "keepalive", "peek", "prio", "roundrobin",
    "stubborn", "tcp_nodelay", "transparent", "weight",
)  # fmt: skip
MISTAKE = "A mistake in a command"
NUMBER = "Numbers"


def mistake(command, c="", why=MISTAKE):
    """A command that C answers with this, or with nothing, and ours with an error."""
    reply = f"{c}\n" if c else ""
    return differs(why, ctl(command), c=f"{command}: {reply}", ours=f"{command}: error: *")


def end(command, why):
    """A command that ends C sooner or later, and is an error for ours."""
    return Scenario(
        f"ends C: {why}",
        (differs(why, ctl(command, "mode", "mode", "mode"), c="*(Connection re*)",
                 ours=f"{command}: *mode: no hash*"),),
    )  # fmt: skip


SCENARIOS = (
    Scenario(
        "flags",
        tuple(
            step
            for flag in FLAGS
            for step in (ctl(flag, "mode"), ctl(f"no {flag}", "mode"))
            if flag != "dummy"
        ),
    ),
    Scenario(
        "values",
        (
            ctl("blacklist", "blacklist 5", "blacklist 0", "blacklist"),
            ctl("client_acl", "client_acl 2", "client_acl", "control_acl", "control_acl 3"),
            ctl("clients_max", "clients_max 3000", "clients_max 100"),
            ctl("conn_max", "conn_max 600", "conn_max 3"),
            ctl("debug", "debug 1", "debug 0"),
            ctl("idle_timeout", "idle_timeout 7", "idle_timeout", "idle_timeout 0"),
            ctl("pending_max", "pending_max 7", "recent", "recent 7"),
            ctl("timeout", "timeout 4", "tracking", "tracking 9", "tracking"),
            differs("`tarpit_acl`", ctl("tarpit_acl 4", "tarpit_acl"),
                    c="tarpit_acl 4: tarpit_acl = 4\ntarpit_acl: tarpit_acl = 4",
                    ours="tarpit_acl 4: tarpit_acl = 4\n\ntarpit_acl: tarpit_acl = 4\n"),
            ctl("tcp_fastclose up", "tcp_fastclose down", "tcp_fastclose both"),
            ctl("tcp_fastclose off", "source 127.0.0.1", "ssl_ciphers HIGH"),
            ctl("ssl_client_renegotiation_interval 10", "ssl_option no_sslv3"),
        ),
    ),
    Scenario(
        "names",
        (
            ctl("pid", "control", "listen", "listen {other}", "listen"),
            ctl("log", "log {folder}/log", "log", "no log", "log"),
            ctl("web_stats", "web_stats {folder}/page", "web_stats", "no web_stats", "web_stats"),
        ),
    ),
    Scenario(
        "access lists",
        (
            ctl("acl 1 permit 10.0.0.0 255.0.0.0", "acl 1 deny 1.2.3.4", "no acl 1"),
            ctl("acl 2 permit ::1", "acl 2 deny fe80::/10", "no acl 2"),
        ),
    ),
    Scenario(
        "servers",
        (
            ctl("server 0 max 3 hard 4 weight 5 prio 6", "servers", "server 0"),
            ctl("server 0 blacklist 10", "server 0 blacklist 0", "server 1 acl 3"),
            ctl("server 1 address 127.0.0.9 port 99", "servers"),
            ctl("server 1 address 0.0.0.0", "servers", "server 1 address ::1", "servers"),
            differs("`servers`, an unused slot", ctl("server 4 port 9", "servers"),
                    c="*3 addr (unknown*4 addr (unknown*", ours="*3 addr 0.0.0.0 port 0*"),
        ),
    ),
    Scenario(
        "connections",
        (
            come("1a 2a"),
            ctl("connection 0", "connection 1", "connection 7", "connection 9999"),
            ctl("close 0"),
            sees_the_end("1a"),
            ctl("close 7", "close 9999", "socket 99", "connection 1"),
        ),
        "-h",
    ),
    Scenario(
        "recent",
        (clients("1 2 1"), ctl("recent", "recent 100")),
        "-h",
    ),
    Scenario("exit", (ctl("exit", "mode"),)),
    Scenario(
        "comments and blanks",
        (ctl("# comment", "#comment", " # comment", "", "  mode  ", "timeout   6"),),
    ),
    Scenario(
        "control access list",
        (ctl("acl 5 deny 127.0.0.1", "control_acl 5", "mode"),),
    ),
    Scenario(
        "status",
        (
            come("1a 2a"),
            page(),
            differs("`status` without `-w`", ctl("no web_stats", "status"),
                    c="*Unable to create webstats\n", ours="*Pen status page*"),
        ),
        "-h",
    ),
    Scenario(
        "mistakes",
        (
            mistake("bogus", "do_cmd: ignoring command starting with 'bogus'", "Unknown command"),
            mistake("Mode", "do_cmd: ignoring command starting with 'Mode'", "Unknown command"),
            mistake("no bogus"),
            mistake("no"),
            mistake("acl"),
            mistake("acl 1"),
            mistake("acl 11 permit 1.2.3.4"),
            mistake("acl 1 maybe 1.2.3.4"),
            mistake("acl 1 permit nobody"),
            mistake("acl 1 permit ::1/200"),
            mistake("no acl 77"),
            mistake("acl 1 permit country SE", why="`acl N permit\\|deny country CC`"),
            mistake("blacklist x", "0", NUMBER),
            mistake("blacklist -1", "-1", NUMBER),
            mistake("tracking -4", "-4", NUMBER),
            mistake("timeout 0", "0", "`timeout 0`"),
            mistake("timeout 5x", "5", NUMBER),
            mistake("client_acl 77", "0", NUMBER),
            mistake("control_acl -1", "0", NUMBER),
            mistake("debug x", "0", NUMBER),
            mistake("clients_max x", "2048", NUMBER),
            mistake("pending_max 0"),
            mistake("idle_timeout x", "Idle timeout: 0 seconds", NUMBER),
            mistake("recent x", why=NUMBER),
            mistake("timeout 5 6", "5"),
            mistake("no prio 4"),
            mistake("server"),
            mistake("server x"),
            mistake("server 0 bogus 3"),
            mistake("server 0 max"),
            mistake("server 0 port 70000"),
            mistake("server 0 address nosuchhost.invalid"),
            mistake("include"),
            mistake("include {folder}/nowhere"),
            mistake("write /nowhere/file"),
            mistake("write"),
            mistake("tcp_fastclose sideways"),
            mistake("tcp_fastclose", "do_cmd: ignoring tcp_fastclose without argument"),
            mistake("ssl_option bogus"),
            differs(MISTAKE, ctl("source nowhere"), c="*unable to set*", ours="*error: *"),
            mistake("connection -1", "Connection -1 out of range"),
            mistake("close -1", "Connection -1 out of range"),
            mistake("close", "Forcibly closing connection 0"),
            mistake("socket", "Socket 0 belongs to connection -1"),
            ctl("mode"),
        ),
    ),
    Scenario(
        "events are waited for in another way",
        tuple(
            mistake(name, why="`epoll`, `kqueue`, `poll`, `select` while running")
            for name in ("poll", "select", "kqueue")
        ),
    ),
    Scenario(
        "obsolete commands",
        (
            *(
                differs("`block`, `delayed_forward`", ctl(each),
                        c=f"{each}: do_cmd: ignoring command starting with '{each}'\n",
                        ours=f"{each}: ")
                for each in ("block", "delayed_forward")
            ),
            ctl("no block", "no delayed_forward"),
        ),
    ),
    Scenario(
        "penctl",
        (
            penctl("mode", "pid", "control", "acl 1 permit 10.0.0.0 255.0.0.0", "timeout 7"),
            differs(MISTAKE, penctl("bogus"), c="*ignoring*(exit status 0)",
                    ours="*error: *(exit status 1)"),
            differs("`penctl` without a command", penctl(""), c="*usage*(exit status 0)",
                    ours="*see penctl --help*(exit status 2)"),
            ctl("timeout"),
        ),
    ),
    Scenario(
        "penctl of the other suite",
        (of_other_penctl("mode", "servers", "timeout 7", "timeout", "prio", "mode"),),
    ),
    Scenario(
        "exit is enabled",
        (
            ctl("exit"),
            differs("Control port's socket file, at the end", ends(),
                    c="exit status 0\nleft: control", ours="exit status 0\nleft: "),
        ),
        "-X",
    ),
    Scenario(
        "write",
        (
            ctl("acl 1 permit 10.0.0.0 255.0.0.0", "acl 1 deny 1.2.3.4", "acl 2 permit ::1/128"),
            ctl("acl 2 deny fe80::/10", "timeout 7", "tracking 8", "write {folder}/saved"),
            saved("saved"),
            differs("`write`", file("saved", of="server"), c="*port <Aport> max 1 hard 2",
                    ours="*port <Aport> max 1 hard 2 weight 3 prio 4"),
        ),
        "-r",
        "{listen} {A}:1:2:3:4",
    ),
    Scenario(
        "write to the file of -F",
        (ctl("timeout 8", "write"), saved("config")),
        "-F {folder}/config",
        files={"config": "timeout 7\n"},
    ),
    end("source", "`source` without an address"),
    end("no acl", "`no acl` without a number"),
    end("ssl_ocsp_response", "`ssl_ocsp_response` without a file"),
    end("conn_max -5", "`conn_max` with a negative number"),
    end("log /nowhere/log", "`log` to a file that cannot be opened"),
    end("log nosuchhost.invalid:100", "`log` to a host that does not resolve"),
    end("listen 127.0.0.1:x", "`listen` on a port that is none"),
    end("listen {A}", "`listen` on an address in use"),
    end("dsr_if nowhere0", "`dsr_if` with an interface that is not there"),
    Scenario(
        "ends C: idlers",
        (
            differs("`idlers N`", ctl("idlers 2", "mode", "idlers", "mode"),
                    c="*(Connection re*)", ours="*mode: no hash*"),
        ),
    ),
)  # fmt: skip
