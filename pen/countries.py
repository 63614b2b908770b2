"""Which country an address is in, from a MaxMind database (`geoip_db`).

The file is read into memory whole, so that it may be overwritten while it is in use; a
lookup then takes about 20 microseconds, so answers are kept.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from pen.core.acl import AccessLists, CountryOf, unknown_country
from pen.core.applying import Prepared
from pen.core.errors import CommandError
from pen.core.settings import Settings
from pen.files import open_regular

logger = logging.getLogger("pen")

KEPT: Final = 65536
"""Addresses whose countries are remembered."""


class Countries:
    """The part that follows `geoip_db`; it tells the access lists whom to ask."""

    def __init__(self, acls: AccessLists) -> None:
        self._acls = acls
        self._path: str | None = None

    def follow(self, wanted: Settings, applied: Settings) -> Prepared | None:
        """See `core.applying.Part`. Access lists that name countries need a database."""
        path = wanted.geoip_db
        if path is None:
            for number in self._acls.naming_countries():
                raise CommandError(f"access list {number} names a country: give 'geoip_db FILE'")
        if path == applied.geoip_db:
            return None
        country_of = open_countries(path) if path is not None else unknown_country

        def commit() -> None:
            self._path, self._acls.country_of = path, country_of

        return Prepared(commit)

    def reopen(self) -> None:
        """Read the file again.

        Raises:
            CommandError: it cannot be read; the old database stays in use.
        """
        if self._path is not None:
            self._acls.country_of = open_countries(self._path)


def open_countries(path: str) -> CountryOf:
    """What finds an address's country in a database file.

    Raises:
        CommandError: the file cannot be read, or is no MaxMind database.
    """
    try:
        import maxminddb  # Only here: it takes 70 ms to import.
    except ImportError:
        raise CommandError("geoip_db needs the Python package 'maxminddb'") from None
    try:
        with open_regular(path) as file:
            database = maxminddb.open_database(file, maxminddb.MODE_FD)
    except OSError as error:
        raise CommandError(f"cannot read geoip_db '{path}': {error.strerror}") from None
    except Exception:
        # What a file of another kind raises is anything: UnicodeDecodeError, IndexError, ...
        raise CommandError(f"geoip_db '{path}' is not a MaxMind database") from None
    return lru_cache(KEPT)(_finder(database.get, path))


def _finder(get: Callable[[str], Any], path: str) -> CountryOf:
    def country_of(address: str) -> str | None:
        try:
            return _country(get(address.partition("%")[0]))
        except ValueError:
            return None  # an IPv6 address and a database of IPv4 addresses
        except Exception as error:
            # As above, where a damaged file is noticed only when this address is looked up.
            logger.error("geoip_db '%s' is damaged: %s at %s", path, type(error).__name__, address)
            return None

    return country_of


def _country(record: Any) -> str | None:
    """The country in a record: MaxMind's form, or a plain ``country`` or ``country_code``."""
    if not isinstance(record, dict):
        return None
    country = record.get("country")
    if isinstance(country, dict):
        country = country.get("iso_code")
    found = record.get("country_code") if country is None else country
    return found.upper() if isinstance(found, str) else None
