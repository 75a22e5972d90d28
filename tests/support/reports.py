"""Reports as a host would make them, signed by the real ssh-keygen."""

import base64
import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from reconciler import reports
from reconciler.model import (
    Attempt,
    CommitId,
    Drift,
    DriftKind,
    HostName,
    HostStatus,
    Outcome,
    Report,
    StorePath,
    Verdict,
)
from tests.support.program import Program
from tests.support.wait import patience

COMMIT = CommitId("1a2b3c4d" * 5)
SYSTEM = StorePath("/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-laptop")
NOWHERE = f"/nix/store/{'0' * 32}-nixos-system-x-25.05"
STOPPED = Drift(kind=DriftKind.UNIT_STOPPED, subject="bot.service", observed="inactive")


def now() -> float:
    """Return the time, as hosts know it."""
    return time.time()  # noqa: TID251 -- they have clocks


def make_key(file: Path) -> Path:
    """Make a key pair as sshd has it; return the private one."""
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "root@x", "-f", file]
    subprocess.run(make, check=True, timeout=patience(60))
    return file


def public(key: Path) -> str:
    """Return what is in the .pub file of *key*."""
    return key.with_suffix(".pub").read_text()


def status_of(host: str, *drifts: Drift) -> HostStatus:
    """Return what a host shows of itself."""
    return HostStatus(
        host=HostName(host),
        commit=COMMIT,
        updated_at=1.0,
        verdict=Verdict.REPORTED if drifts else Verdict.CONVERGED,
        reachable=True,
        target=SYSTEM,
        running=SYSTEM,
        drifts=drifts,
        drift_since=1.0 if drifts else None,
        units_desired=7,
        units_active=max(0, 7 - len(drifts)),
        tags=("home",),
    )


def attempt_of(host: str, outcome: Outcome = Outcome.SUCCEEDED) -> Attempt:
    """Return an attempt that has ended."""
    return Attempt(
        id=f"a-{outcome.value}",
        host=HostName(host),
        commit=COMMIT,
        verdict=Verdict.DEPLOY,
        source=None,
        target=SYSTEM,
        owner="laptop:1",
        began_at=1.0,
        ended_at=2.0,
        outcome=outcome,
        message="" if outcome is Outcome.SUCCEEDED else "it is \x1b[31mill",
    )


def report_of(status: HostStatus, at: float, attempt: Attempt | None = None) -> bytes:
    """Return a report made *at* that time, not yet signed."""
    report = Report(
        number=int(at * 1000), at=at, every=300.0, status=status, attempt=attempt
    )
    return reports.encode(status.host, report)


def signed(body: bytes, key: Path, namespace: str = "reconciler-report") -> str:
    """Return the signature, as it goes into the header."""
    made = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", namespace],
        input=body,
        capture_output=True,
        check=True,
        timeout=patience(60),
    )
    return base64.b64encode(made.stdout).decode()


def read_paths(program: Program, names: Iterable[str], **sections: object) -> None:
    """Have *program* follow a repository of paths, for which nobody asks Nix."""
    paths = json.dumps(dict.fromkeys(names, NOWHERE))
    (program.repository.work / "paths.json").write_text(paths)
    program.repository.push("Hosts by their paths")
    repository = {"url": program.forge.url, "poll": "1h", "layout": "paths"}
    program.write_settings(repository=repository, **sections)
