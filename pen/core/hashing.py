"""The two hashes of a client's address that choose its server. Both are pure.

`address_hash` is C pen's, the contract of paired balancers: it gives a slot.

`score` is rendezvous hashing (highest random weight; Thaler and Ravishankar, IEEE/ACM
Transactions on Networking 6(1), 1998): client and server are mixed, and the server with
the highest score wins. One that comes or goes moves only the clients that it wins or had
won, and those of a lost server spread over all the others. A ring of points does the
same with a table to be rebuilt at each change and shares that differ by several per
cent; jump hashing knows servers by number, so that one taken from the middle moves
clients of all the others. The price is a look at each server, half a microsecond, for
clients that are not remembered.

Nothing here depends on the process, the machine or the version of Python.
"""

import socket
from hashlib import blake2b
from typing import Final

from pen.core.address import unmapped

_64_BITS: Final = (1 << 64) - 1


def address_hash(address: str, port: int = 0) -> int:
    """The hash that paired balancers must agree on, C pen's included.

    IPv4: the four bytes read as a little-endian integer, exclusive-or'd with the two
    bytes of the port in network order, read little-endian. IPv6: the last byte.
    A client on a Unix socket (no address) hashes to 0.
    """
    packed = _packed(address)
    if len(packed) != 4:
        return packed[-1] if packed else 0
    return int.from_bytes(packed, "little") ^ int.from_bytes(port.to_bytes(2, "big"), "little")


def client_identity(address: str, port: int = 0) -> int:
    """Who a client is to `score`: its address and, unless it is 0, its port."""
    return identity(_packed(address) + (port.to_bytes(2, "big") if port else b""))


def identity(name: bytes) -> int:
    """64 bits in which every byte of `name` has had its say (BLAKE2b, RFC 7693)."""
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little")


def score(client: int, server: int) -> int:
    """How much this client is for this server: two identities, mixed into 64 bits.

    The mixing is the last step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    value = client ^ server
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return value ^ (value >> 31)


def _packed(address: str) -> bytes:
    """An address as the network has it; mapped IPv4 is IPv4, a Unix socket's is empty."""
    if not address:
        return b""
    address = unmapped(address)
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return socket.inet_aton(address)
