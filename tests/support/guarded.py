"""
The guardian on a real host, without a daemon: between systems of a test's own making.

A toplevel is a folder with ``nixos-version`` and a ``switch-to-configuration`` of two
lines; more the guardian does not ask of one.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.apply import guardian
from reconciler.apply.guardian import Decision, Guarded, Limits, Order
from reconciler.errors import RemoteError, RemoteTimeoutError
from reconciler.model import HostName, StorePath
from reconciler.remote import OnLine, RemoteResult
from tests.support.fleet import FleetHost
from tests.support.wait import wait_until

LIMITS = Limits(arm=20, switch=10, confirm=60, roll_back=5)
UNIT = "reconciler-activation"
LINK = "/run/current-system"
PROFILE = "/nix/var/nix/profiles/system"
ACTIVATE = f"ln -sfn $top {LINK}"


@dataclass(frozen=True, slots=True)
class ExecWriter:
    """A HostWriter that gets into the host without SSH."""

    inside: FleetHost

    @property
    def host(self) -> HostName:
        """Its name."""
        return HostName(self.inside.name)

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """Run a script."""
        return self.run(("sh", "-c", script), what=what, deadline=deadline).stdout

    def run(
        self,
        argv: Sequence[str],
        *,
        what: str,
        deadline: float,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
    ) -> RemoteResult:
        """Run *argv*; nobody asks for lines as they come."""
        assert on_line is None
        done = subprocess.run(
            self.inside.exec_argv("timeout", "-k", "1", f"{deadline:.3f}", *argv),
            input=(stdin or b"").decode(),
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline + 10,
        )
        if check and done.returncode == 124:
            raise RemoteTimeoutError(what, host=self.host, seconds=deadline)
        if check and done.returncode:
            raise RemoteError(
                what, host=self.host, status=done.returncode, stderr=done.stderr
            )
        return RemoteResult(
            status=done.returncode, stdout=done.stdout, stderr=done.stderr, seconds=0.0
        )


class GuardedHost:
    """A host that is switched between toplevels which a test writes."""

    def __init__(self, inside: FleetHost) -> None:
        self.inside = inside
        self.writer = ExecWriter(inside)
        self._first = inside.running_toplevel

    def sh(self, script: str) -> str:
        """Run a shell script on it; return what it printed."""
        return self.inside.exec("sh", "-c", script)

    def reset(self) -> None:
        """Have it run the system that it was installed with."""
        self.sh(f"systemctl stop {UNIT}; ln -sfn {self._first} {LINK}; rm -rf /tmp/*")
        self.sh("rm -rf /run/reconciler /run/keys/.reconciler-*")

    def toplevel(
        self, name: str, test: str = ACTIVATE, *, boot: str = "", check: str = ""
    ) -> StorePath:
        """Make a toplevel in the store; what it does is sh, in which $top is itself."""
        script = f"""#!/bin/sh
top=${{0%/bin/*}}
case $1 in
check) {check or "echo Usage: $0 >&2; exit 1"} ;;
boot) {boot or ":"} ;;
test) {test} ;;
esac
"""
        make = f"""set -e
rm -rf /tmp/{name}; mkdir -p /tmp/{name}/bin /tmp/{name}/etc/systemd/system
echo 24.11 >/tmp/{name}/nixos-version
cat >/tmp/{name}/bin/switch-to-configuration
chmod +x /tmp/{name}/bin/switch-to-configuration
nix-store --add /tmp/{name}
"""
        return StorePath(self.inside.exec("sh", "-c", make, stdin=script).strip())

    def order(self, name: str, new: StorePath, old: StorePath) -> Order:
        """Return the order to switch from *old* to *new*."""
        return Order(attempt=name, new=new, old=old, limits=LIMITS)

    def begin(self, name: str, new: StorePath, old: StorePath) -> Guarded:
        """Have it switched, and wait until that is over."""
        return guardian.start(self.writer, self.order(name, new, old), wait=15)

    def end(self, name: str, decision: Decision) -> Guarded:
        """Decide, and wait for the end."""
        return guardian.decide(self.writer, name, decision, wait=30)

    def state(self, name: str, known: int = 0) -> Guarded:
        """Ask how it stands."""
        return guardian.state(self.writer, name, known=known)

    def wait_result(self, name: str) -> Guarded:
        """Wait for the end of an attempt, which comes by itself."""

        def ended() -> Guarded | None:
            found = self.state(name)
            return found if found.result is not None else None

        found = wait_until(ended, 60, f"{name} to end")
        assert found is not None
        return found

    @property
    def running(self) -> str:
        """The system that runs."""
        return self.inside.running_toplevel

    @property
    def boots(self) -> tuple[str, str]:
        """The system profile, and what the boot loader starts."""
        told = self.sh(f"readlink -f {PROFILE}; readlink -f /boot/default")
        profile, default = told.split()
        return profile, default
