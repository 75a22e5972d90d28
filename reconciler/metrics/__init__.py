"""What Prometheus sees. Nothing else imports prometheus-client."""

from reconciler.metrics.push import Pusher
from reconciler.metrics.recorder import Metrics
from reconciler.metrics.results import KeyResult, PassResult
from reconciler.metrics.web import (
    ApiMetrics,
    ApiResult,
    WebhookMetrics,
    WebhookResult,
)

__all__ = [
    "ApiMetrics",
    "ApiResult",
    "KeyResult",
    "Metrics",
    "PassResult",
    "Pusher",
    "WebhookMetrics",
    "WebhookResult",
]
