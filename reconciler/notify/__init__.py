"""
Tells people what happens, and forges how far each commit has come.

| module | answers |
|---|---|
| `conditions` | which bad states does a status show? |
| `told` | what was told of a host so far? |
| `telling` | what is news, and what only flaps? |
| `addressing` | who is to hear of it? |
| `groups` | what goes into one delivery? |
| `words` | how does it read? |
| `commits` | how far has a commit come? |
| `forges` | how is a forge told of it? |
| `channel`, `deliver`, `post` | how does it get there? |
| `senders` | what is delivered when, and what if it is not accepted? |
| `notifier` | `Notify`, which the loop talks to |

All but the last three rows are pure. Nothing else imports Apprise. It and httpx are
imported only by the processes that `channel` starts for each delivery.
"""

from reconciler.notify.channel import Channel
from reconciler.notify.notifier import Notify
from reconciler.notify.words import text_to_try

__all__ = ["Channel", "Notify", "text_to_try"]
