"""
What hosts that deploy themselves report, posted to ``/reports/<host>``.

| module | answers |
|---|---|
| `reception` | is a report genuine, new and of now? |
| `route` | how does it come in? |

FastAPI is imported by `route` only.
"""

from reconciler.web.reports.reception import Reception

__all__ = ["Reception"]
