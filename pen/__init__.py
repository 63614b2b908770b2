"""pen: a load balancer for TCP.

The nouns, in the order in which a reader meets them:

client      whoever connects to pen; known by its address (`core.clients`).
server      what pen connects to; known by its *slot*, from 0 (`core.servers`).
upstream    towards the server; *downstream* is towards the client.
session     one client's connection and the server it gets (`core.session`).
relay       the session's bytes (`net.relay`).

Read `cli` (options), `balancer` (how everything is wired), `core.selection`
(which server), `core.session` (what happens to a session), and then `net.reactor`
and `net.relay`, the only code that is written for speed first.
"""

__version__ = "0.1.0"
