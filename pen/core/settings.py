"""Every setting that options, the config file and control commands change.

One object, owned by the balancer and read by everyone; durations are in seconds.
"""

from dataclasses import dataclass
from enum import Enum


class FastClose(Enum):
    """Whose end of data closes both sides at once (`tcp_fastclose`)."""

    OFF = "off"
    UP = "up"
    DOWN = "down"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class ControlAddress:
    """Where control connections come in, and who may use a socket file there."""

    address: str
    """port, host:port or a socket path."""
    mode: int
    group: str | None = None
    """Name or number; None: that of the process."""


class LogFormat(Enum):
    """What the log tells (`log_format`)."""

    REQUESTS = "requests"
    """What clients ask for, as pen 0.34.1 does."""
    CONNECTIONS = "connections"
    """Which connections to servers there are, and whose."""
    BOTH = "both"


class Protocol(Enum):
    """What TLS is spoken (`ssl_protocol`); nothing before 1.2, see RFC 8996."""

    BEST = "ssl23"
    """C pen's name for the best both sides can."""
    TLS12 = "tls1.2"
    TLS13 = "tls1.3"


class SslOption(Enum):
    """What `ssl_option` may switch. Versions before TLS 1.2 are off whatever is asked for."""

    NO_SSLV2 = "no_sslv2"
    NO_SSLV3 = "no_sslv3"
    NO_TLSV1 = "no_tlsv1"
    NO_TLSV1_1 = "no_tlsv1.1"
    NO_TLSV1_2 = "no_tlsv1.2"
    NO_TLSV1_3 = "no_tlsv1.3"
    NO_TICKET = "no_ticket"
    CIPHER_SERVER_PREFERENCE = "cipher_server_preference"


@dataclass(slots=True)
class Settings:
    """The values a running pen goes by, with their defaults."""

    # Which server gets a client.
    roundrobin: bool = False
    """Take servers in turn and do not look up where a client was before."""
    hash: bool = False
    """Let the client's address choose."""
    hash_consistent: bool = False
    """Hash such that servers that come or go move only the clients they must."""
    hash_unsaved: bool = False
    """Hash each time, whatever server the client used before."""
    weight: bool = False
    """Lowest connections / weight first."""
    prio: bool = False
    """Lowest prio first."""
    stubborn: bool = False
    """Close the client rather than fail over."""
    client_acl: int = 0
    """The access list clients must pass."""

    # Time.
    blacklist: int = 30
    """How long a failed server is left alone."""
    timeout: int = 3
    """How long a connect to a server may take."""
    tracking: int = 0
    """How long a client is remembered; 0: for ever."""
    idle_timeout: int = 0
    """Close connections without traffic after this long; 0: never."""
    grace: int = 0
    """How long connections may go on once pen is told to end; 0: not at all."""

    # UDP.
    udp: bool = False
    """Serve UDP rather than TCP; it cannot change once pen runs."""
    udp_timeout: int = 60
    """End sessions without datagrams after this long; seconds."""
    udp_replies: int = 0
    """Replies to each datagram after which a session ends; 0: they do not end it."""
    udp_per_packet: bool = False
    """Choose a server for each datagram."""

    # Sizes.
    clients_max: int = 2048
    """Clients remembered; the least recently used goes."""
    conn_max: int = 500
    """Connections at once; more wait in the kernel's backlog."""
    pending_max: int = 100
    """Half-made connections to servers at once; more clients wait in the backlog."""
    workers: int = 1
    """Processes that serve clients; how many cannot change once pen runs."""
    backlog: int = 500
    """Connections the kernel may hold for us."""
    multi_accept: int = 100
    """Connections accepted per wake-up."""

    # Sockets.
    listen: str = ""
    """Where clients come in: port, host:port or a socket path."""
    dsr_if: str | None = None
    """The interface for direct server return; None: proxy. It cannot change once the loop runs."""
    tarpit_acl: int = -1
    """The access list of addresses that tarpit their clients (with `dsr_if`); -1: none."""
    poller: str = "epoll"
    """The event mechanism; it cannot change once the loop runs."""
    source: str | None = None
    """The address that servers are connected to from; None: the system's choice."""
    idlers: int = 0
    """Connections to servers to hold open for clients to come."""
    peek: bool = False
    """Give a client a server only once it has sent something."""
    dummy: bool = False
    """Answer clients ourselves, for tests of speed."""
    tcp_fastclose: FastClose = FastClose.OFF
    tcp_nodelay: bool = False
    """Send small segments at once (TCP_NODELAY)."""
    keepalive: bool = False
    """Probe silent connections (SO_KEEPALIVE)."""
    transparent: bool = False
    """Connect to servers from the client's own address."""

    # HTTP.
    http: bool = False
    """Add X-Forwarded-For and X-Forwarded-Proto to requests."""
    http_trust: int | None = None
    """The access list of clients whose own such headers are believed; None: all are."""

    # TLS. It is on when there is a certificate.
    ssl_certificate: str | None = None
    """File with the default certificate and its chain (-E)."""
    ssl_key: str | None = None
    """File with its key (-K); None: the certificate's file has it."""
    ssl_ca_file: str | None = None
    """File with certificates that complete the chain and that vouch for clients (-G)."""
    ssl_ca_dir: str | None = None
    """Directory of such certificates under their hashes (-A)."""
    ssl_require_certificate: bool = False
    """Take only clients that show a certificate one of those vouches for (-R)."""
    ssl_compatibility: bool = False
    """Work around the faults of old clients (-Z)."""
    ssl_protocol: Protocol = Protocol.BEST
    """The versions of TLS that are spoken (-L)."""
    ssl_ciphers: str | None = None
    """Names of OpenSSL's ciphers(1); None: OpenSSL's choice."""
    ssl_options: frozenset[SslOption] = frozenset()
    ssl_client_renegotiation_interval: int = 3600
    """Accepted for old config files: clients may never renegotiate."""
    ssl_ocsp_response: str | None = None
    """File with the OCSP response for the default certificate."""
    ssl_sni_path: str | None = None
    """Directory of certificates for names: NAME.crt NAME.key NAME.ca NAME.ocsp."""
    ssl_handshake_timeout: int = 10
    """How long a handshake may take."""

    # Seeing what goes on.
    debug: int = 0
    """How much is told: 1 what happens, 2 also why, 3 also what passes."""
    ascii: bool = False
    """Dumps as text rather than hex."""
    log: str | None = None
    """Where requests are logged: a file, or host:port of a penlogd."""
    log_format: LogFormat = LogFormat.REQUESTS
    web_stats: str | None = None
    """The file USR1 writes the status page to."""

    # Access.
    geoip_db: str | None = None
    """File of a MaxMind database that knows countries, for access lists that name some."""

    # Control.
    control_acl: int = 0
    """The access list control connections must pass."""
    control_readonly: ControlAddress | None = None
    """Where control connections come in that may only ask."""
    exit_enabled: bool = False
    """Whether the `exit` command works (-X)."""
    abort_on_error: bool = False
    """Dump core after a mistake of pen's own, rather than go on."""
    config_file: str | None = None
    """What HUP reads again and `write` without a name writes."""

    @property
    def protocol(self) -> str:
        """Udp or tcp."""
        return "udp" if self.udp else "tcp"
