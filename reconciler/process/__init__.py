"""
The only place that starts local commands.

Every command gets a deadline and a session of its own, so that it ends together with
its children and cannot ask for a password on our terminal.
"""

from reconciler.process.box import (
    Box,
    box_problem,
    folders_of_program,
    leads_into,
    limits,
)
from reconciler.process.cage import Cage, as_nobody, cage_problem
from reconciler.process.commands import (
    become,
    follow,
    foreground,
    run,
    secret,
)
from reconciler.process.environment import (
    environment_seen,
    with_little_environment,
    with_steady_environment,
)
from reconciler.process.listening import listen
from reconciler.process.output import STDERR_LIMIT, STDOUT_LIMIT, Completed
from reconciler.process.running import kill_all
from reconciler.process.scratch import scratch, sweep
from reconciler.process.scripts import run_script
from reconciler.process.served import served

__all__ = [
    "STDERR_LIMIT",
    "STDOUT_LIMIT",
    "Box",
    "Cage",
    "Completed",
    "as_nobody",
    "become",
    "box_problem",
    "cage_problem",
    "environment_seen",
    "folders_of_program",
    "follow",
    "foreground",
    "kill_all",
    "leads_into",
    "limits",
    "listen",
    "run",
    "run_script",
    "scratch",
    "secret",
    "served",
    "sweep",
    "with_little_environment",
    "with_steady_environment",
]
