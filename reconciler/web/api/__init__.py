"""
The API: how hosts stand, what was done, and orders, below ``/api/v1``.

| module | answers |
|---|---|
| `access` | who asks, and what may that one do? |
| `door` | who is let in? |
| `gate` | … before anything of a request's body is read |
| `parts` | what do the routes look at? |
| `reading` | what can be read? |
| `ordering` | what can be ordered? |
| `shapes` | what do answers look like? |
| `routes` | where is all that, and which error is which answer? |

FastAPI is imported by `gate`, `reading`, `ordering` and `routes` only.
"""

from reconciler.web.api.access import Access, Caller
from reconciler.web.api.door import Door
from reconciler.web.api.parts import Parts

__all__ = ["Access", "Caller", "Door", "Parts"]
