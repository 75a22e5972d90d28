"""The dashboard of one host."""

from collections.abc import Mapping

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generate.boards import Board, Section
from deploy.grafana.generate.fleet import (
    ALERT_AFTER,
    BY_KIND,
    DRIFT_AGE,
    SINCE_SUCCESS,
    STATE,
    STATES,
)
from deploy.grafana.generate.panels import (
    OUTCOMES,
    WARN_AT_1,
    WELL_AT_0,
    Column,
    Face,
    Panel,
    Query,
    bars,
    counted,
    lines,
    number,
    one,
    rows,
    some,
    timeline,
)

VERDICTS = {
    "0": ("no plan", "purple"),
    "1": ("converged", "green"),
    "2": ("deploy", "blue"),
    "3": ("heal", "yellow"),
    "4": ("reported", "orange"),
    "5": ("held", "text"),
    "6": ("quarantined", "dark-orange"),
    "7": ("blocked", "red"),
    "8": ("no-address", "dark-red"),
    "9": ("unadopted", "purple"),
    "10": ("silent", "text"),
}
"""What the numbers of `VERDICT` mean."""

BELLS = {
    "0": ("not known", "text"),
    "1": ("rings", "green"),
    "2": ("polled", "blue"),
    "3": ("flapping", "orange"),
}
"""What the numbers of `BELL` mean."""


def _which(series: str, label: str, words: Mapping[str, tuple[str, str]]) -> str:
    """Return the number of the state that a host is in, 0 if it is in none."""
    numbered = (
        f'{series}{{HOSTS,{label}="{name}"}} * {value}'
        for value, (name, _) in words.items()
        if value != "0"
    )
    none = "reconciler_host_up{HOSTS} * 0"
    return f"max by (instance, host) ({' or '.join((*numbered, none))})"


VERDICT = _which("reconciler_host_verdict", "verdict", VERDICTS)
BELL = _which("reconciler_host_bell", "state", BELLS)


def _now() -> tuple[Panel, ...]:
    return (
        number(
            Face(
                title="State",
                text="As the last pass found the host.",
                queries=one(STATE),
                words=STATES,
            )
        ),
        number(
            Face(
                title="Verdict",
                text="What the last pass decided: see `reconciler plan`.",
                queries=one(VERDICT),
                words=VERDICTS,
            )
        ),
        number(
            Face(
                title="Drifts for",
                text="How long the host has differed from its commit.",
                queries=one(DRIFT_AGE),
                unit=units.Seconds,
                decimals=0,
                steps=ALERT_AFTER,
            )
        ),
        number(
            Face(
                title="Units not running",
                text="Units that should be active and are not; of a host that does not"
                " answer, all.",
                queries=one(
                    "reconciler_units_desired{HOSTS} - reconciler_units_active{HOSTS}"
                ),
                steps=WELL_AT_0,
            )
        ),
        number(
            Face(
                title="Keys missing or wrong",
                text="Keys of the commit that are not on the host, or not as they"
                " should be.",
                queries=one(
                    "reconciler_keys_missing{HOSTS} + reconciler_keys_wrong{HOSTS}"
                ),
                steps=WELL_AT_0,
            )
        ),
        number(
            Face(
                title="Last in sync",
                text="How long ago a pass found nothing to do, since the reconciler"
                " was started.",
                queries=one(SINCE_SUCCESS),
                unit=units.Seconds,
                decimals=0,
                steps=ALERT_AFTER,
                nothing="not since the start",
            )
        ),
    )


def _orders() -> tuple[Panel, ...]:
    columns = (
        Column(name="commit", title="Commit"),
        Column(name="running", title="Runs"),
        Column(name="desired", title="Should run"),
        Column(name="address", title="Address"),
        Column(name="tags", title="Tags"),
        Column(name="instance", title="Reconciler"),
    )
    return (
        rows(
            Face(
                title="Systems",
                text="The last commit evaluated for the host, the system that it runs"
                " and the one it should run, as names in /nix/store.",
                queries=one(
                    "max by (instance, commit, running, desired, address, tags)"
                    " (reconciler_host_info{HOSTS})",
                    kind=PromQueryFormat.TABLE,
                ),
                width=16,
                height=4,
            ),
            columns,
        ),
        number(
            Face(
                title="Held for",
                text="How long somebody has said to leave the host alone.",
                queries=one(
                    "(time() - reconciler_held_since_timestamp_seconds{HOSTS})"
                    " * reconciler_held{HOSTS}"
                ),
                unit=units.Seconds,
                decimals=0,
                steps=((None, "green"), (1, "blue"), (86400, "orange")),
            )
        ),
        number(
            Face(
                title="Quarantined",
                text="Whether the system that the host should run failed there and is"
                " not tried again by itself.",
                queries=one("reconciler_quarantined{HOSTS}"),
                steps=WARN_AT_1,
                words={"0": ("no", "green"), "1": ("yes", "orange")},
            )
        ),
    )


def _drift() -> tuple[Panel, ...]:
    return (
        timeline(
            Face(
                title="State",
                text="Green: as its commit says. Orange: differs. Red: unreachable.",
                queries=one(STATE, "{{host}}"),
                words=STATES,
                width=24,
                height=4,
            )
        ),
        timeline(
            Face(
                title="Verdict",
                text="What each pass decided to do about the differences.",
                queries=one(VERDICT, "{{host}}"),
                words=VERDICTS,
                width=24,
                height=4,
            )
        ),
        timeline(
            Face(
                title="Bell",
                text="Whether the host says when to look again, or is polled. Orange:"
                " it rings without end.",
                queries=one(BELL, "{{host}}"),
                words=BELLS,
                width=24,
                height=4,
            )
        ),
        lines(
            Face(
                title="Differences by kind",
                text="What differs. `reconciler status` names the units and keys.",
                queries=one(some(BY_KIND, "kind", "no difference"), "{{kind}}"),
                decimals=0,
                width=12,
            ),
            stacked=True,
        ),
        lines(
            Face(
                title="How long it has drifted",
                text="At the dashed line ReconcilerHostDrift fires.",
                queries=one(DRIFT_AGE, "{{host}}"),
                unit=units.Seconds,
                steps=ALERT_AFTER,
                width=12,
            ),
            limits=True,
        ),
    )


def _parts() -> tuple[Panel, ...]:
    units_of = {"should be active": "desired", "are active": "active"}
    keys_of = {
        "declared": "desired",
        "there": "present",
        "missing": "missing",
        "wrong": "wrong",
    }
    return (
        lines(
            Face(
                title="Units",
                text="Units that should be active, and those that are.",
                queries=tuple(
                    Query(expr=f"reconciler_units_{name}{{HOSTS}}", legend=legend)
                    for legend, name in units_of.items()
                ),
                decimals=0,
            )
        ),
        lines(
            Face(
                title="Keys",
                text="Keys that the commit declares, and what is on the host.",
                queries=tuple(
                    Query(expr=f"reconciler_keys_{name}{{HOSTS}}", legend=legend)
                    for legend, name in keys_of.items()
                ),
                decimals=0,
            )
        ),
        lines(
            Face(
                title="Rings",
                text="How often the host said that something has changed.",
                queries=one(
                    "rate(reconciler_bell_rings_total{HOSTS}[$__rate_interval]) * 60",
                    "rings",
                ),
                unit=units.CountsPerMinute,
            )
        ),
    )


def _work() -> tuple[Panel, ...]:
    return (
        bars(
            Face(
                title="Attempts by outcome",
                text="What was done to the host: `reconciler history` tells each.",
                queries=one(
                    counted("reconciler_attempts_total{HOSTS}", "outcome"),
                    "{{outcome}}",
                ),
                decimals=0,
            ),
            OUTCOMES,
        ),
        bars(
            Face(
                title="Rollbacks",
                text="Attempts after which the host went back to the system before,"
                " but for those that somebody asked for.",
                queries=one(
                    counted("reconciler_rollbacks_total{HOSTS}", "host"),
                    "rollbacks",
                ),
                decimals=0,
            )
        ),
        lines(
            Face(
                title="Passes by result",
                text="Looks at the host. `requeue`: something was under way; `error`:"
                " it did not answer, or did not evaluate.",
                queries=one(
                    "sum by (result)"
                    " (rate(reconciler_passes_total{HOSTS}[$__rate_interval])) * 60",
                    "{{result}}",
                ),
                unit=units.CountsPerMinute,
            )
        ),
    )


def host() -> Board:
    """Return the dashboard of one host."""
    return Board(
        uid="reconciler-host",
        title="Reconciler / Host",
        text="One host: what it is, what it should be, and what was done about it.",
        hosts="one",
        sections=(
            Section(title="Now", panels=(*_now(), *_orders())),
            Section(title="Drift", panels=_drift()),
            Section(title="Units and keys", panels=_parts()),
            Section(title="Work", panels=_work()),
        ),
    )
