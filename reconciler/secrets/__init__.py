"""
The contents of keys: where they come from, and how long they are in memory.

A content is `bytes` on its way from its source to the host, and nothing else: no value
of the model, no text of an error, no line of a log, no file of ours.
"""

from reconciler.secrets.closed import ClosedKeyring
from reconciler.secrets.keyring import Keyring
from reconciler.secrets.memory import protect
from reconciler.secrets.overlay import Overlays

__all__ = ["ClosedKeyring", "Keyring", "Overlays", "protect"]
