"""Scenarios: which server a client gets.

Where servers fail, C runs with -P, for with epoll it does not fail over.
"""

from tests.real.sidebyside.scenario import Scenario
from tests.real.sidebyside.showing import servers
from tests.real.sidebyside.steps import ctl, differs, start, stop
from tests.real.sidebyside.visits import align, clients, come, comes_back, leave, waits

PORTS = " ".join(
    f"127.77.5.{client}"
    for client in ("1#40001", "1#40002", "2#40003", "2#40777", "1#51001", "1#51007", "3#1030")
)
"""Addresses that are ours alone, so that their ports are free."""
MANY = " ".join(str(number) for number in range(1, 25))

SCENARIOS = (
    Scenario(
        "round robin, the first",
        (differs("Round robin begins with", clients("1 2"),
                 c="1 gets B\n2 gets C", ours="1 gets A\n2 gets B"),),
    ),
    Scenario("round robin", (align(), clients("1 1 1 1 2"), servers("conn")), "-r"),
    Scenario(
        "round robin over unused slots",
        (
            ctl("server 5 address 127.0.0.1 port {Dport}"),
            align(),
            differs("Round robin over unused slots", clients("1 1 1 1 1"),
                    c="1 gets D\n1 gets D\n1 gets D\n1 gets A\n1 gets B",
                    ours="1 gets D\n1 gets A\n1 gets B\n1 gets C\n1 gets D"),
        ),
        "-r",
    ),
    Scenario(
        "clients are tracked",
        (
            align(),
            clients("1 2 3 1 2 4 3 2 1 4"),
            ctl("roundrobin"),
            clients("1 1"),
            ctl("no roundrobin"),
            clients("1 1 1"),
        ),
    ),
    Scenario("hash", (clients(MANY),), "-h"),
    Scenario(
        "round robin goes on where it was",
        (
            align(),
            clients("1 2"),
            ctl("hash"),
            clients("5 6 7"),
            ctl("no hash", "prio"),
            clients("9"),
            ctl("no prio"),
            clients("10 11 12"),
        ),
    ),
    Scenario("hash over four", (clients(MANY),), "-h", "{listen} {A} {B} {C} {D}"),
    Scenario(
        "hash with ports",
        (clients(PORTS),),
        "-hr",
    ),
    Scenario("hash of IPv6", (clients("::1 ::1"),), "-h", "::1:{port} {A} {B} {C}"),
    Scenario(
        "hash when servers are out, and after",
        (
            clients("1 2"),
            ctl("server 2 blacklist 9", "server 1 blacklist 9"),
            clients("1 2 3 4"),
            ctl("server 2 blacklist 0", "server 1 blacklist 0"),
            clients("1 2 3 4 5"),
        ),
        "-h",
    ),
    Scenario("hash meets a server that is down", (clients(MANY),), "-P -h", down="A"),
    Scenario(
        "hash meets an unused slot",
        (
            clients("3"),
            ctl("server 1 address 0.0.0.0"),
            clients("1 2"),
            differs("Address 0.0.0.0", clients("3 6"),
                    c="3 gets B\n6 gets B", ours="3 gets C\n6 gets C"),
        ),
        "-h",
    ),
    Scenario(
        "weight",
        (
            come("1a 2a 3a 4a 5a 6a 7a 8a"),
            servers("conn", "weight"),
            leave("2a 4a"),
            come("1b 9a 10a 11a"),
            ctl("server 0 weight 20"),
            come("12a 13a 14a"),
            servers("conn", "weight"),
        ),
        "-W",
        "{listen} {A}:0:0:4 {B}:0:0:2 {C}:0:0:1",
    ),
    Scenario("weight without weights", (clients("1 2"),), "-W"),
    Scenario("weight without weights, emergency server", (clients("1 2"),), "-W -e {E}"),
    Scenario(
        "prio",
        (
            clients("1 2 3"),
            ctl("server 0 blacklist 20"),
            clients("1 2 4 5"),
            ctl("server 0 blacklist 0"),
            clients("1 4 6"),
            ctl("server 2 prio 0"),
            clients("1 7 8"),
        ),
        "-o prio",
        "{listen} {A}:0:0:0:2 {B}:0:0:0:3 {C}:0:0:0:4",
    ),
    Scenario("prio goes before weight", (clients("1 2 3"),), "-W -o prio",
             "{listen} {A}:0:0:1:5 {B}:0:0:9:6 {C}:0:0:9:5"),
    Scenario(
        "failover",
        (
            align(),
            clients("1 2 3 4 1 2"),
            start("B"),
            clients("2 5"),
            ctl("server 1 blacklist 0"),
            clients("2 5 6 7 8"),
        ),
        "-P",
        down="B",
    ),
    Scenario(
        "failover with epoll",
        (
            align(),
            stop("B"),
            differs("Refused connect, with epoll", clients("1 2 3"),
                    c="1 gets A\n2 gets closed\n3 gets C", ours="1 gets A\n2 gets C\n3 gets C"),
        ),
    ),
    Scenario(
        "failover goes to the next slot",
        (clients("1 2 3"), servers("sx")),
        "-P -o prio",
        "{listen} {A}:0:0:0:1 {B}:0:0:0:3 {C}:0:0:0:2",
        down="A",
    ),
    Scenario("connect times out", (clients("1 1"),), "-P -t 1", "{listen} {X} {A}"),
    Scenario(
        "a ban ends",
        (clients("1"), start("A"), comes_back("2", "A"), clients("2 1")),
        "-P -r -b 1 -o prio",
        "{listen} {A}:0:0:0:1 {B}:0:0:0:2",
        down="A",
    ),
    Scenario("stubborn", (align(), clients("1 2 3 1 2 3"),), "-P -s", down="B"),
    Scenario(
        "stubborn does without the emergency server",
        (clients("1 2"),),
        "-P -s -e {E}",
        down="A B C",
    ),
    Scenario(
        "emergency server",
        (
            align("B"),
            clients("1"),
            stop("A B"),
            clients("1 2 1"),
            start("A B"),
            ctl("server 0 blacklist 0"),
            clients("1 2"),
        ),
        "-P -e {E}",
        "{listen} {A} {B}",
    ),
    Scenario("all are full", (align("B"), come("1a 2a 3a 4a")), "-r -P -e {E}",
             "{listen} {A}:1 {B}:1"),
    Scenario("emergency server is down", (clients("1 2"),), "-P -e {E}", down="A B C E"),
    Scenario(
        "all are down, then come back",
        (
            clients("1 2"),
            start("A"),
            differs("All servers banned after failures, no emergency server", clients("1 2"),
                    c="1 gets closed\n2 gets closed", ours="1 gets A\n2 gets A"),
        ),
        "-P",
        "{listen} {A}",
        down="A",
    ),
    Scenario(
        "blacklist by hand",
        (
            align(),
            ctl("server 1 blacklist 100"),
            clients("1 1 1"),
            ctl("server 1 blacklist 0"),
            clients("1 1 1"),
        ),
        "-r",
    ),
    Scenario("the client table is full", (clients("1 2 3 4"), ctl("recent")), "-h -c 3"),
    Scenario(
        "abuse server",
        (
            ctl("hash", "acl 1 deny 127.0.0.2", "client_acl 1"),
            clients("1 2 3"),
            ctl("acl 2 permit 127.0.0.2", "client_acl 2"),
            clients("1 2 3"),
        ),
        "-B {F}",
    ),
    Scenario(
        "denied clients are closed",
        (ctl("hash", "acl 1 deny 127.0.0.2", "client_acl 1"), clients("1 2 3")),
    ),
    Scenario(
        "access list 0 is for all",
        (ctl("acl 0 deny 127.0.0.4 255.255.255.252"), clients("1 4 5 7 8")),
        "-h",
    ),
    Scenario(
        "a denied client and the emergency server",
        (
            ctl("acl 1 deny 127.0.0.2", "client_acl 1"),
            differs("A client that `client_acl` denies, with `-e` but no `-B`", clients("2"),
                    c="2 gets E", ours="2 gets closed"),
        ),
        "-e {E}",
    ),
    Scenario(
        "a server's own access list",
        (
            ctl("acl 3 permit 127.0.0.2", "server 0 acl 3"),
            clients("1 2 3 4 2"),
            ctl("server 1 acl 3", "server 2 acl 3"),
            clients("1 2 3"),
        ),
        "-P -o prio",
    ),
    Scenario(
        "soft limit",
        (come("1a 2a 3a 4a 5a"), servers("conn", "hard"), leave("1a"), come("6a 7a")),
        "-P -o prio",
        "{listen} {A}:1 {B}:2 {C}:5",
    ),
    Scenario(
        "hard limit",
        (
            come("1a 1b 1c"),
            servers("conn", "max", "hard"),
            differs("`max`", come("1d 1e"),
                    c="1d gets closed\n1e gets A", ours="1d gets closed\n1e gets closed"),
        ),
        "-P",
        "{listen} {A}:1:3",
    ),
    Scenario(
        "limits given later",
        (ctl("server 0 max 1 hard 2"), come("1a 1b 1c 2a"), servers("conn", "max", "hard")),
        "-P -o prio",
    ),
    Scenario(
        "servers changed while running",
        (
            ctl(
                "server 0 address 127.0.0.1 port {Dport}",
                "server 1 address 0.0.0.0",
                "server 3 address 127.0.0.1 port {Eport}",
            ),
            align("E"),
            clients("1 1 1 1 1 1 1"),
            servers("addr", "port"),
        ),
        "-r",
    ),
    Scenario(
        "a slot more",
        (
            align("B"),
            ctl("server 2 address 127.0.0.1 port {Cport}"),
            clients("1 1 1 1 1"),
            servers("port"),
        ),
        "-r",
        "{listen} {A} {B}",
    ),
    Scenario(
        "no more clients than connections",
        (align(), come("1a 2a"), waits("3", "1a"), clients("4")),
        "-x 2",
    ),
)  # fmt: skip
