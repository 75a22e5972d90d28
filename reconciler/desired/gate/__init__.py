"""
The one way out of a cage of an evaluation, for what it fetches.

The cage has a network of its own, which leads nowhere. A program of ours begins to
listen there, hands what it listens with to the reconciler, and becomes Nix. So whoever
connects inside speaks to the reconciler, as to a SOCKS proxy, which curl, git and ssh
know what to do with. The reconciler resolves the name, looks whether the address may be
reached (`reach`), and connects: what was looked at is what is connected to.
"""

from reconciler.desired.gate.reach import Reach, Refused, told
from reconciler.desired.gate.server import Gate, opened

__all__ = ["Gate", "Reach", "Refused", "opened", "told"]
