"""
What a host that deploys itself tells a central reconciler, signed with its host key.

| module | answers |
|---|---|
| `codec` | how is a report written, and what is refused? |
| `signatures` | who has signed it? |
| `keys` | whose signature counts for a host? |
| `sending`, `post` | how does it get there? |
"""

from reconciler.reports.codec import LIMIT, ReportError, decode, encode
from reconciler.reports.keys import keys_of, known_as
from reconciler.reports.sending import HEADER, Refusal, send
from reconciler.reports.signatures import flaw, sign

__all__ = [
    "HEADER",
    "LIMIT",
    "Refusal",
    "ReportError",
    "decode",
    "encode",
    "flaw",
    "keys_of",
    "known_as",
    "send",
    "sign",
]
