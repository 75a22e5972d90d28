"""
When to strike: at a step of an attempt, as the daemon tells it, or as the host does.

    watch = Watch(rig)              # from here on
    push(rig, "2")
    watch.begins("activate")        # returns as soon as that step begins
    watch.phase("waiting")          # or as soon as a guardian has come so far
"""

import json

from tests.support.faults.releases import HOST
from tests.support.rig import DEADLINE, Json, Rig
from tests.support.wait import wait_until

STEPS = (
    "build",
    "copy",
    "guard",
    "deliver keys",
    "activate",
    "verify",
    "settle",
    "confirm",
)
"""What an attempt with a new key does, in order."""

PHASES = ("armed", "switching", "waiting", "confirming")
"""What a guardian goes through when all is well."""

_WAIT = """
for _ in $(seq 6000); do
  for dir in /run/reconciler/*/; do
    [ -e "$dir/result" ] && continue
    if [ "$(cat "$dir/phase" 2>&-)" = "$1" ]; then %s; exit 0; fi
  done
  sleep 0.01
done
exit 1
"""


class Watch:
    """The daemon's log, and its guardians, from a moment on."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._from = rig.log.stat().st_size if rig.log.exists() else 0

    def events(self) -> list[Json]:
        """Return what the daemon has logged since, but for a line that is not whole."""
        with self._rig.log.open("rb") as log:
            log.seek(self._from)
            lines = log.read().decode().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def begins(self, step: str) -> None:
        """Wait until *step* of an attempt begins."""
        self._wait("step begins", step)

    def ends(self, step: str) -> None:
        """Wait until *step* of an attempt is over."""
        self._wait("step", step)

    def phase(self, phase: str, then: str = ":") -> None:
        """Wait until a guardian is in *phase*; at once have the host do *then*."""
        argv = ("sh", "-c", _WAIT % then, "sh", phase)
        self._rig.host(HOST).exec(*argv, deadline_s=90)

    def _wait(self, event: str, step: str) -> None:
        wait_until(
            lambda: any(
                one["event"] == event and one.get("step") == step
                for one in self.events()
            ),
            DEADLINE,
            f"{event}: {step}",
        )
