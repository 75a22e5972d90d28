"""What Prometheus sees. Nothing else imports prometheus-client."""

from reconciler.metrics.families import KeyResult, PassResult
from reconciler.metrics.recorder import Metrics

__all__ = ["KeyResult", "Metrics", "PassResult"]
