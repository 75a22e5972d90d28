"""
The daemon, with one thing about it changed: for the tests of the checker, and clocks.

    python -m tests.support.faults.daemon "wrong=no guardian" -c settings.yaml run
    python -m tests.support.faults.daemon clock=/tmp/offset -c settings.yaml run
    python -m tests.support.faults.daemon boot-seconds=5 -c settings.yaml run
"""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reconciler import app
from reconciler.__main__ import main
from reconciler.apply import guardian
from reconciler.attempt import guarded_switch
from reconciler.attempt.guarded_switch import GuardedSwitch
from reconciler.attempt.run import AttemptRun
from reconciler.world import World

PROFILE = "/nix/var/nix/profiles/system"


def confirm_before_health() -> None:
    """Confirm whatever was switched to."""

    def believe(_self: AttemptRun) -> None:
        pass

    _replace(AttemptRun, "become_healthy", believe)


def boot_default_first() -> None:
    """Set what the host boots before it is switched, as ``nixos-rebuild switch``."""
    rightly = GuardedSwitch.switch

    def switch(self: GuardedSwitch) -> None:
        new = self.order.new
        script = f"nix-env -p {PROFILE} --set {new}"
        script += f" && {new}/bin/switch-to-configuration boot"
        writer = self.world.connections.writer(self.desired.host, self.desired.target)
        writer.run(("sh", "-c", script), what="too early", deadline=60)
        rightly(self)

    _replace(GuardedSwitch, "switch", switch)


def no_guardian() -> None:
    """Have the host do nothing by itself."""
    rightly = guardian.script

    def script(name: str) -> str:
        text = rightly(name)
        if name == "guardian":
            wait = 'wait_for decision "$(cat confirm)" || decide expired'
            assert wait in text
            text = text.replace(wait, "until [ -L decision ]; do sleep 0.1; done")
            text = text.replace("    [ -e result ] && exit 0\n", "    exit 0\n")
        return text

    _replace(guardian, "script", script)


WRONG: dict[str, Callable[[], None]] = {
    "confirm before health": confirm_before_health,
    "boot default first": boot_default_first,
    "no guardian": no_guardian,
}


def jump(offset: str) -> None:
    """Add to every time of day what is in the file *offset*, in seconds."""

    def now() -> float:
        return time.time() + float(Path(offset).read_text())  # noqa: TID251

    _replace(app, "World", functools.partial(World, now=now))


def _replace(where: object, name: str, by: Any) -> None:  # noqa: ANN401
    assert hasattr(where, name), f"{where} has no {name}: this test is out of date"
    setattr(where, name, by)


def change(what: str) -> None:
    """Change the program as the first argument says."""
    kind, _, value = what.partition("=")
    if kind == "wrong":
        WRONG[value]()
    elif kind == "boot-seconds":
        _replace(guarded_switch, "BOOT_SECONDS", float(value))
    else:
        jump(value)


if __name__ == "__main__":
    change(sys.argv.pop(1))
    sys.exit(main())
