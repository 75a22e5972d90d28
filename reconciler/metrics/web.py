"""What webhooks and the API tell of themselves."""

import enum
import threading
from collections.abc import Collection

from prometheus_client import Counter


class WebhookResult(enum.Enum):
    """What became of a delivery."""

    ACCEPTED = "accepted"  # the repository is read
    IGNORED = "ignored"  # verified, and about no push
    DUPLICATE = "duplicate"  # verified, and seen before
    BAD_SIGNATURE = "bad-signature"
    STALE = "stale"  # signed, too long ago or in the future
    NO_ROUTE = "no-route"
    NO_SECRET = "no-secret"  # noqa: S105 -- its file has become empty or unreadable
    BAD_METHOD = "bad-method"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    ABORTED = "aborted"  # the sender hung up
    RATE_LIMITED = "rate-limited"
    BUSY = "busy"
    ERROR = "error"  # a bug


class WebhookMetrics:
    """Counts deliveries by provider, "" for no route of ours, and by result."""

    def __init__(self, requests: Counter) -> None:
        self._requests = requests
        self._lock = threading.Lock()
        self._providers: set[str] = set()
        self.known([""])

    def known(self, providers: Collection[str]) -> None:
        """Show *providers*, at zero where they are new."""
        with self._lock:
            for provider in set(providers) - self._providers:
                self._providers.add(provider)
                for result in WebhookResult:
                    self._requests.labels(provider, result.value)

    def count(self, provider: str, result: WebhookResult) -> None:
        """Count a delivery."""
        self._requests.labels(provider, result.value).inc()


class ApiResult(enum.Enum):
    """What became of a request to the API."""

    ANSWERED = "answered"
    REFUSED = "refused"  # it asked for something that there is not, or wrongly
    FAILED = "failed"  # a bug, or no database
    UNKNOWN = "unknown-caller"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    TOO_LARGE = "too-large"


class ApiMetrics:
    """Counts requests by role, "" for those who were not let in, and by result."""

    def __init__(self, requests: Counter) -> None:
        self._requests = requests
        for role in ("", "operator", "viewer"):
            for result in ApiResult:
                requests.labels(role, result.value)

    def count(self, role: str, result: ApiResult) -> None:
        """Count a request."""
        self._requests.labels(role, result.value).inc()
