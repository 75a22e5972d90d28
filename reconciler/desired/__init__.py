"""
What the hosts of a commit should be: layouts, evaluation, build.

Everything is asked of Nix; nothing here reads Nix's language.
"""

from reconciler.desired.build import still_valid
from reconciler.desired.codec import from_json, to_json
from reconciler.desired.evaluator import Evaluator
from reconciler.desired.nix import Heard
from reconciler.desired.pushing import push, tool_of
from reconciler.desired.trace import problem as trace_problem

__all__ = [
    "Evaluator",
    "Heard",
    "from_json",
    "push",
    "still_valid",
    "to_json",
    "tool_of",
    "trace_problem",
]
