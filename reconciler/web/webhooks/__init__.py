"""
Webhooks: a forge says that somebody pushed, and the repository is read at once.

| module | answers |
|---|---|
| `providers` | which headers does each forge send? |
| `verify` | did somebody who knows our secret sign this? |
| `routes` | which routes are there, and what are their secrets? |
| `intake` | how much of a body is read, and for how long? |
| `seen` | did this delivery come before? |
| `doorbell` | when is the repository read? |
| `receiver` | what becomes of one delivery? |
| `route` | how is that said in HTTP? |

Nothing that a body says is used, or even parsed: the poll would find the same commit a
little later. FastAPI is imported by `route` only.
"""

from reconciler.web.webhooks.doorbell import Doorbell
from reconciler.web.webhooks.receiver import Receiver
from reconciler.web.webhooks.routes import Routes
from reconciler.web.webhooks.seen import Seen

__all__ = ["Doorbell", "Receiver", "Routes", "Seen"]
