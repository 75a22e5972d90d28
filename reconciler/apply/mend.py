"""Put right what differs in single units of a host that runs its system already."""

import shlex
from collections.abc import Iterable

from reconciler.errors import PermanentError
from reconciler.model import Step, StepKind
from reconciler.remote import HostWriter, OnLine

MEND_STEPS = frozenset(
    {
        StepKind.UNMASK,
        StepKind.REVERT,
        StepKind.STOP,
        StepKind.RELOAD,
        StepKind.RESTART,
        StepKind.START,
    }
)
"""The kinds of step that `mend` carries out."""

_OVERRIDES = (StepKind.UNMASK, StepKind.REVERT)

REMOVABLE = ("/run/systemd/", "/etc/systemd/")
"""Only files below these may be removed; the Nix store is never touched."""


def mend(
    writer: HostWriter, steps: Iterable[Step], *, deadline: float, on_line: OnLine
) -> None:
    """
    Carry out the steps of `MEND_STEPS` in one round trip; *deadline* in seconds.

    A unit that does not come up is no error here: the probe that follows judges.
    Raises RemoteError, RemoteTimeoutError, ConnectError.
    """
    script = mend_script(steps, wait=deadline)
    writer.run(
        ("sh", "-s"),
        what="mending units",
        deadline=deadline + 5.0,
        stdin=script.encode(),
        on_line=on_line,
        check=False,
    )


def mend_script(steps: Iterable[Step], *, wait: float) -> str:
    """
    Return a POSIX sh script that carries out *steps*, in the order of their kinds.

    Every word from outside is quoted. Starts wait at most *wait* seconds for the jobs.
    """
    chosen = sorted(steps, key=lambda step: list(StepKind).index(step.kind))
    lines = [line for step in chosen for line in _file_lines(step)]
    # Also without a file to remove: then one changed that systemd has not read yet.
    if any(step.kind in _OVERRIDES for step in chosen):
        lines.append("patiently systemctl daemon-reload")
    stop = _units(chosen, StepKind.STOP)
    reload_ = _units(chosen, StepKind.RELOAD)
    restart = _units(chosen, StepKind.RESTART)
    start = _units(chosen, StepKind.START)
    if stop:
        lines.append(f"patiently timeout {wait:g} systemctl stop -- {stop}")
    if reload_:
        lines.append(f"patiently timeout {wait:g} systemctl reload -- {reload_}")
    if restart or start:
        # A unit that hit its start limit refuses every start until this.
        lines.append(f"systemctl reset-failed -- {restart} {start} 2>/dev/null")
    if restart:
        lines.append(f"patiently timeout {wait:g} systemctl restart -- {restart}")
    if start:
        lines.append(f"patiently timeout {wait:g} systemctl start -- {start}")
    return "\n".join([PREAMBLE, *lines, "exit 0", ""])


PREAMBLE = """\
PATH=/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
# systemd that is executed anew hears nobody: what it may not have heard is said again.
patiently() {
    for try in 1 2 3 4 5 6; do
        said=$("$@" 2>&1)
        [ -z "$said" ] || printf '%s\\n' "$said"
        case $said in
        *'Connection re'[sf]* | *'onnection terminated'* | *'Transport endpoint'* | \\
            *'message bus'* | *'to connect to bus'*) ;;
        *) return ;;
        esac
        sleep 0.5
    done
}
"""


def _units(steps: Iterable[Step], kind: StepKind) -> str:
    return shlex.join(s.unit for s in steps if s.kind is kind and s.unit is not None)


def _file_lines(step: Step) -> Iterable[str]:
    if step.kind not in _OVERRIDES:
        return
    for file in step.files:
        if not file.startswith(REMOVABLE) or ".." in file.split("/"):
            msg = f"refusing to remove {file}: not below {' or '.join(REMOVABLE)}"
            raise PermanentError(msg)
        yield f"rm -f -- {shlex.quote(file)}"
        if file.rpartition("/")[0].endswith(".d"):
            yield f"rmdir -- {shlex.quote(file.rpartition('/')[0])} 2>/dev/null"
