"""How often one source may be wrong: a bucket of tokens for each, bounded in number."""

import ipaddress
import threading
from collections.abc import Callable
from dataclasses import dataclass

BURST = 100
"""Wrong requests of one source that are borne at once, and requests under way."""

PER_SECOND = 1.0
"""Wrong requests of one source a second that are borne for ever."""

SOURCES = 4096
"""Sources that are told apart; more than that share what is left."""

_NETWORK = 64  # bits of an IPv6 address that belong to one customer
_EVERYBODY_ELSE = "*"


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float  # seconds of the clock


class Limiter:
    """
    Lets sources that are right be as quick as they like, and those that are wrong not.

    A request takes a token and gives it back once it has proved right. Wrong ones
    cost it, and tokens come back slowly.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        burst: int = BURST,
        per_second: float = PER_SECOND,
        sources: int = SOURCES,
    ) -> None:
        """Take a *clock* that never goes back, in seconds."""
        self._clock = clock
        self._burst = float(burst)
        self._per_second = per_second
        self._sources = sources
        self._lock = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def take(self, source: str) -> float:
        """Take a token of *source*: 0.0, or the seconds after which there is one."""
        with self._lock:
            bucket = self._bucket(source)
            if bucket.left < 1:
                return (1 - bucket.left) / self._per_second
            bucket.left -= 1
            return 0.0

    def give_back(self, source: str) -> None:
        """Give back the token that *source* took last."""
        with self._lock:
            bucket = self._bucket(source)
            bucket.left = min(self._burst, bucket.left + 1)

    def _bucket(self, source: str) -> _Bucket:
        now = self._clock()
        known = self._buckets.get(source)
        if known is None:
            known = self._new(source, now)
        gained = (now - known.at) * self._per_second
        known.left, known.at = min(self._burst, known.left + gained), now
        return known

    def _new(self, source: str, now: float) -> _Bucket:
        """Make a bucket; never at the price of one that still counts."""
        if len(self._buckets) >= self._sources:
            self._drop_full(now)
        if len(self._buckets) >= self._sources:
            source = _EVERYBODY_ELSE
        return self._buckets.setdefault(source, _Bucket(self._burst, now))

    def _drop_full(self, now: float) -> None:
        full = [
            source
            for source, bucket in self._buckets.items()
            if bucket.left + (now - bucket.at) * self._per_second >= self._burst
        ]
        for source in full:
            del self._buckets[source]


def source_of(address: str) -> str:
    """Return whom requests from *address* are counted for."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "local"
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _NETWORK), strict=False))
