"""What a host is: one script run on it, and pure parsers of its answer."""

from reconciler.observed.bell import bell
from reconciler.observed.checks import checks_seconds, run_checks
from reconciler.observed.closures import System, requisites, system
from reconciler.observed.etc_files import etc_files, etc_texts
from reconciler.observed.generations import Generation, generations, previous
from reconciler.observed.ground import ground
from reconciler.observed.journal import read_journal
from reconciler.observed.probe import deadline_for, probe
from reconciler.observed.rounds import rounds_end_well

__all__ = [
    "Generation",
    "System",
    "bell",
    "checks_seconds",
    "deadline_for",
    "etc_files",
    "etc_texts",
    "generations",
    "ground",
    "previous",
    "probe",
    "read_journal",
    "requisites",
    "rounds_end_well",
    "run_checks",
    "system",
]
