"""How: what one attempt does on one host, step by step, and how it is judged."""

from reconciler.attempt.guarded_switch import OutOfSightError, RolledBackError
from reconciler.attempt.key_steps import KeySteps
from reconciler.attempt.look import Look, Planned, look
from reconciler.attempt.reach import meet

__all__ = [
    "KeySteps",
    "Look",
    "OutOfSightError",
    "Planned",
    "RolledBackError",
    "look",
    "meet",
]
