"""From a push until the changed service is active on its host."""

import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from tests.bench import trace
from tests.bench.report import Row, Section, Target
from tests.bench.setting import (
    DEADLINE,
    FILE,
    GREETING,
    HOST,
    SERVICE,
    TracedRig,
    deploy_all,
)
from tests.bench.trace import Event, LogFile, Span
from tests.support.fleet import Fleet
from tests.support.rig import NIX_OPTIONS, NIXPKGS, Repository, Rig

TOTAL_LIMIT = 3.0  # seconds
OWN_LIMIT = 0.5
PROTOCOL_LIMIT = 0.5  # seconds
TRIPS_LIMIT = 4
BARE_TRIPS = 3  # of any deployment: switch, look, set what is booted
NOT_PROTOCOL = ("build", "copy", "settle", "deliver keys")
COPY = "nix-copy-closure"
ACTIVATION = "reconciler-activation.service"

# What a person would do, or a script: deploy the work tree that was just pushed.
BY_HAND = """
now() { date +%s.%N; }
now
system=$(nix-build --no-out-link "$@" '<nixpkgs/nixos>' -A system \\
    --arg configuration "{ lib, ... }: {
        imports = [ $WORK/hosts/$HOST/configuration.nix ];
        options.deployment = lib.mkOption { type = lib.types.attrs; };
    }" 2>/dev/null)
now
NIX_SSHOPTS="-F $CONFIG" nix-copy-closure --to "$HOST" "$system" 2>/dev/null
now
ssh -F "$CONFIG" "$HOST" "nix-env -p /nix/var/nix/profiles/system --set $system &&
    $system/bin/switch-to-configuration switch" >/dev/null 2>&1
now
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One push; seconds. Parts of the total are those up to the service's start."""

    total: float  # from the start of `git push` until the service is active
    git_push: float  # until the branch's head has moved
    nix: float  # evaluation and build
    copy: float
    systemd: float  # from the start of the activation's unit until the service's
    own: float  # the rest, which is:
    own_notice: float  # until we began to look at the repository
    own_source: float  # until the commit was checked out and its hosts known
    own_look: float  # until an attempt was begun: probe, plan, waits for a core
    own_steps: float  # until the activation's unit began, without what Nix did
    in_sync: float  # from the start of `git push` until judged, booted, recorded
    protocol: float  # of the attempt, all but building, copying, switching, settling
    trips: int  # round trips of the attempt, without that which protects the copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Manual:
    """The same by hand; seconds."""

    total: float
    git_push: float
    nix: float
    copy: float
    switch: float  # until the service is active


def measure(folder: Path, fleet: Fleet, rounds: int) -> Section:
    """Push, and deploy by hand, in turn; *rounds* times."""
    hand = Repository(_made(folder / "by-hand"), NIXPKGS.parent / "repo")
    key = hand.work / "common/services/secrets/withinbot.env"  # git does not see it
    key.parent.mkdir(exist_ok=True)
    key.write_text("WITHINBOT_TOKEN='by hand'\n")
    # Else the store of this machine has the build already, from an earlier run.
    run = folder.parent.name
    pushed: list[Round] = []
    manual: list[Manual] = []
    # So long an interval that nothing but the push makes the daemon look.
    with TracedRig(folder, fleet, policy={"interval": "1h"}) as rig:
        rig.run_daemon()
        log = LogFile(rig.log)
        deploy_all(rig, log)
        for number in range(rounds):
            change(rig.repository, f"pushed for the time {number} by {run}.")
            pushed.append(push_once(rig, log))
            change(hand, f"deployed for the time {number} by {run}.")
            manual.append(by_hand_once(rig, hand))
    return section(pushed, manual)


def section(pushed: list[Round], manual: list[Manual]) -> Section:
    """Sum up."""
    rows = [_row(name, text, pushed) for name, text in ROUND_ROWS.items()]
    rows += [_row(name, text, manual) for name, text in MANUAL_ROWS.items()]
    total, own = rows[0], next(row for row in rows if row.name.startswith("own part"))
    return Section(
        title="git push until the service is active",
        unit="s",
        rows=tuple(rows),
        targets=(
            Target(
                name="push to active", value=total.median, limit=TOTAL_LIMIT, unit="s"
            ),
            Target(name="own part of it", value=own.median, limit=OWN_LIMIT, unit="s"),
            Target(
                name="what the activation protocol takes",
                value=median(one.protocol for one in pushed),
                limit=PROTOCOL_LIMIT,
                unit="s",
            ),
            Target(
                name="round trips that the protocol adds",
                value=median(one.trips - BARE_TRIPS for one in pushed),
                limit=TRIPS_LIMIT,
                unit="",
            ),
        ),
        notes=(
            f"three hosts; {SERVICE} of {HOST} changed; targets are held to medians",
        ),
    )


ROUND_ROWS = {
    "total": "reconciler: push to active",
    "git_push": "  git push itself",
    "nix": "  nix: evaluate, build",
    "copy": "  nix-copy-closure",
    "systemd": "  switch-to-configuration, systemd",
    "own": "own part",
    "own_notice": "  the push noticed",
    "own_source": "  git: fetch, check out",
    "own_look": "  probe, plan, waiting",
    "own_steps": "  between the steps",
    "in_sync": "reconciler: push to in sync",
    "protocol": "of that, the activation protocol",
}
MANUAL_ROWS = {
    "total": "by hand: push to active",
    "git_push": "  git push itself",
    "nix": "  nix-build",
    "copy": "  nix-copy-closure",
    "switch": "  ssh, switch-to-configuration",
}


def _row(name: str, text: str, rounds: list[Round] | list[Manual]) -> Row:
    values = tuple(float(asdict(one)[name]) for one in rounds)
    return Row(name=text.strip(), values=values, detail=text.startswith(" "))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def change(repository: Repository, greeting: str) -> None:
    """Change one setting of one service in the clone."""
    path = repository.work / FILE
    original = NIXPKGS.parent / "repo" / FILE
    path.write_text(original.read_text().replace(GREETING, greeting))


# --- by the reconciler -----------------------------------------------------------


def push_once(rig: Rig, log: LogFile) -> Round:
    """Push what was changed; return where the time went."""
    log.skip()
    rig.repository.git("commit", "-qam", "change a greeting")
    began = trace.now()
    rig.repository.git("push", "-q", "origin", "HEAD:main")
    events = log.wait_for(_is_end, deadline=DEADLINE)
    moved = (rig.repository.bare / "refs/heads/main").stat().st_mtime
    unit = unit_started(rig, after=trace.steps(events, HOST)["activate"].begin)
    parts = taken_apart(
        events,
        began=began,
        moved=moved,
        unit=unit,
        active=active_since(rig, after=began),
    )
    return replace(parts, protocol=parts.protocol - (switch_ended(rig) - unit))


def _is_end(event: Event) -> bool:
    return (event["event"], event.get("host")) == ("attempt ended", HOST)


def taken_apart(
    events: list[Event], *, began: float, moved: float, unit: float, active: float
) -> Round:
    """Return the parts of the way from *began* to *active*, times by the wall clock."""
    commands = trace.commands(events, HOST)
    nix = [span for span in commands if span.name.startswith("nix-")]
    building = sum(span.seconds for span in nix if span.name != COPY)
    copying = sum(span.seconds for span in nix if span.name == COPY)
    looked = min(span.begin for span in commands)
    commit = trace.time_of(trace.first(events, "commit"))
    attempt = trace.time_of(trace.first(events, "attempt", host=HOST))

    ended = trace.time_of(events[-1])
    trips = trace.remote(events, HOST, after=attempt)
    spent = trace.steps(events, HOST)
    others = sum(spent[name].seconds for name in NOT_PROTOCOL if name in spent)

    def own(begin: float, end: float) -> float:
        return end - begin - sum(_overlap(span, begin, end) for span in nix)

    return Round(
        total=active - began,
        git_push=moved - began,
        nix=building,
        copy=copying,
        systemd=active - unit,
        own=own(moved, unit),
        own_notice=looked - moved,
        own_source=own(looked, commit),
        own_look=own(commit, attempt),
        own_steps=own(attempt, unit),
        in_sync=ended - began,
        protocol=ended - attempt - others,
        trips=sum(not trip.startswith(("protecting", "keys")) for trip in trips),
    )


def switch_ended(rig: Rig) -> float:
    """Return when the guardian of the last attempt noted that the switch was over."""
    script = "ls -t -d /run/reconciler/*/status | head -n 1 | xargs stat -c %.9Y"
    return float(rig.host(HOST).exec("sh", "-c", script))


def _overlap(span: Span, begin: float, end: float) -> float:
    return max(0.0, min(span.end, end) - max(span.begin, begin))


def active_since(rig: Rig, *, after: float) -> float:
    """Return when the service became active; raises if that was not *after* it."""
    argv = ("systemctl", "show", "--value", "-p", "ActiveEnterTimestampMonotonic")
    microseconds = int(rig.host(HOST).exec(*argv, SERVICE))
    # Hosts share the clock of the machine that they run on.
    since = microseconds / 1e6 + trace.now() - time.monotonic()
    if since < after:
        message = f"{SERVICE} was not started again by what was deployed"
        raise RuntimeError(message)
    return since


def unit_started(rig: Rig, *, after: float) -> float:
    """Return when the unit of the activation began on the host."""
    argv = ("journalctl", "-o", "json", "--no-pager", f"--since=@{after:.6f}")
    lines = rig.host(HOST).exec(*argv, f"UNIT={ACTIVATION}", "JOB_TYPE=start")
    entries = [json.loads(line) for line in lines.splitlines()]
    times = [int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 for entry in entries]
    return min(time for time in times if time > after)


# --- by hand ---------------------------------------------------------------------


def by_hand_once(rig: Rig, repository: Repository) -> Manual:
    """Push what was changed, and deploy it with plain commands."""
    repository.git("add", "-A")
    repository.git("commit", "-q", "-m", "change a greeting")
    began = trace.now()
    repository.git("push", "-q", "origin", "HEAD:main")
    start, built, copied, _switched = run_by_hand(rig, repository)
    active = active_since(rig, after=began)
    return Manual(
        total=active - began,
        git_push=start - began,
        nix=built - start,
        copy=copied - built,
        switch=active - copied,
    )


def run_by_hand(rig: Rig, repository: Repository) -> tuple[float, ...]:
    """Run the script; return the times that it printed."""
    options = [w for pair in NIX_OPTIONS.items() for w in ("--option", *pair)]
    argv = ["sh", "-euc", BY_HAND, "sh", "-I", f"nixpkgs={NIXPKGS}", *options]
    done = subprocess.run(
        argv,
        env={
            **os.environ,
            "WORK": str(repository.work),
            "HOST": HOST,
            "CONFIG": str(rig.fleet.path / "ssh_config"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    return tuple(float(line) for line in done.stdout.split())
