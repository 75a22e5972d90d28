"""The dashboard of all hosts: is anything wrong, and where."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generate.boards import Board, Section
from deploy.grafana.generate.panels import (
    NOTED_AT_1,
    WARN_AT_1,
    WELL_AT_0,
    Column,
    Face,
    Panel,
    Query,
    Step,
    how_many,
    lines,
    number,
    one,
    rows,
    some,
    timeline,
)

TABLE = PromQueryFormat.TABLE
STATES = {
    "1": ("in sync", "green"),
    "0": ("differs", "orange"),
    "-1": ("unreachable", "red"),
}
# A kind of difference has a series only while there is one.
STATE = (
    'max by (instance, host) (-1 * reconciler_drift_items{HOSTS,kind="unreachable"}'
    " or ignoring (kind) reconciler_host_in_sync{HOSTS})"
)
NONE = "max by (instance, host) (reconciler_host_up{HOSTS} * 0)"
DRIFT_AGE = (
    "(time() - reconciler_drift_since_timestamp_seconds{HOSTS})"
    " * (reconciler_drift_since_timestamp_seconds{HOSTS} > bool 0)"
)
BY_KIND = "sum by (kind) (reconciler_drift_items{HOSTS})"
SHORT_COMMIT = (
    'label_replace(reconciler_commit_info{HERE,commit!=""},'
    ' "short", "$1", "commit", "(.{8}).*")'
)
SINCE_SUCCESS = "time() - (reconciler_last_success_timestamp_seconds{HOSTS} > 0)"
ALERT_AFTER: tuple[Step, ...] = (
    (None, "green"),
    (900, "orange"),
)  # ReconcilerHostDrift


def _now() -> tuple[Panel, ...]:
    return (
        number(
            Face(
                title="Hosts",
                text="How many hosts the newest commit declares.",
                queries=one("count(reconciler_host_up{HOSTS})"),
            )
        ),
        number(
            Face(
                title="In sync",
                text="The share of hosts that are what their commit says.",
                queries=one("avg(reconciler_host_in_sync{HOSTS})"),
                unit=units.PercentUnit,
                decimals=1,
                steps=((None, "red"), (0.8, "orange"), (1, "green")),
            )
        ),
        number(
            Face(
                title="Drifting",
                text="Hosts that differ from their commit, or do not answer.",
                queries=one(
                    "sum(reconciler_drift_since_timestamp_seconds{HOSTS} > bool 0)"
                ),
                steps=WARN_AT_1,
            )
        ),
        number(
            Face(
                title="Unreachable",
                text="Hosts that do not answer over SSH.",
                queries=one(
                    how_many('reconciler_drift_items{HOSTS,kind="unreachable"} > 0')
                ),
                steps=WELL_AT_0,
            )
        ),
        number(
            Face(
                title="Units not running",
                text="Units that should be active and are not, on hosts that answer.",
                queries=one(
                    "sum((reconciler_units_desired{HOSTS}"
                    " - reconciler_units_active{HOSTS}) * reconciler_host_up{HOSTS})"
                ),
                steps=WELL_AT_0,
            )
        ),
        number(
            Face(
                title="Keys missing",
                text="Keys of the commit that are not on their hosts.",
                queries=one("sum(reconciler_keys_missing{HOSTS})"),
                steps=WELL_AT_0,
            )
        ),
        *_waiting(),
    )


def _waiting() -> tuple[Panel, ...]:
    return (
        number(
            Face(
                title="Held",
                text="Hosts that somebody said to leave alone.",
                queries=one("sum(reconciler_held{HOSTS})"),
                steps=NOTED_AT_1,
            )
        ),
        number(
            Face(
                title="Quarantined",
                text="Hosts whose newest system failed there; they run the one before.",
                queries=one("sum(reconciler_quarantined{HOSTS})"),
                steps=WARN_AT_1,
            )
        ),
        number(
            Face(
                title="Reboot needed",
                text="Hosts that run an older kernel, initrd or systemd than is there.",
                queries=one(
                    how_many('reconciler_drift_items{HOSTS,kind="reboot-needed"} > 0')
                ),
                steps=NOTED_AT_1,
            )
        ),
        number(
            Face(
                title="Alerts firing",
                text="Alerts of deploy/prometheus/rules that fire now.",
                queries=one(
                    'count(ALERTS{alertname=~"Reconciler.+",alertstate="firing"})'
                    " or vector(0)"
                ),
                steps=WELL_AT_0,
            )
        ),
        number(
            Face(
                title="Commit",
                text="The commit that hosts are brought to.",
                queries=one(SHORT_COMMIT, "{{short}}"),
                nothing="none yet",
            ),
            name=True,
        ),
        number(
            Face(
                title="Newest commit",
                text="Whether the newest commit of the branch is the one that hosts are"
                " brought to, or what keeps it from that.",
                queries=one(
                    "8 * max(reconciler_commit_untrusted{HERE})"
                    " + 4 * max(reconciler_fetch_failing{HERE})"
                    " + 2 * max(reconciler_commit_withheld{HERE})"
                    " + max(reconciler_evaluation_failing{HERE})"
                ),
                words={
                    "0": ("taken up", "green"),
                    "1": ("does not evaluate", "orange"),
                    **dict.fromkeys("23", ("waits to be approved", "orange")),
                    **dict.fromkeys("4567", ("cannot be read", "orange")),
                    **dict.fromkeys(map(str, range(8, 16)), ("is not trusted", "red")),
                },
            )
        ),
    )


def _table() -> Panel:
    told = (
        "max by (instance, host, commit, address, tags)"
        " (label_replace(label_replace(reconciler_host_info{HOSTS},"
        ' "commit", "$1", "commit", "(.{8}).*"), "tags", "$1", "tags", ",(.*),"))'
    )
    asked = (
        told,
        "max by (instance, host, verdict) (reconciler_host_verdict{HOSTS} == 1)",
        STATE,
        f"max by (instance, host) ({DRIFT_AGE})",
        f"sum by (instance, host) (reconciler_drift_items{{HOSTS}}) or {NONE}",
        "max by (instance, host) (reconciler_units_active{HOSTS})",
        "max by (instance, host) (reconciler_units_desired{HOSTS})",
        "max by (instance, host) (reconciler_keys_missing{HOSTS})",
        "max by (instance, host) (reconciler_held{HOSTS})",
        "max by (instance, host) (reconciler_quarantined{HOSTS})",
        f"max by (instance, host) ({SINCE_SUCCESS})",
    )
    face = Face(
        title="Hosts",
        text="Each host as its last pass found it. Click a host to see more of it.",
        queries=tuple(Query(expr=expr, kind=TABLE) for expr in asked),
        width=24,
        height=10,
    )
    yes = {"0": ("", "text"), "1": ("yes", "orange")}
    columns = (
        Column(name="host", title="Host", link="${__value.raw}"),
        Column(name="Value #C", title="State", words=STATES),
        Column(name="verdict", title="Verdict"),
        Column(
            name="Value #D",
            title="Drifts for",
            unit=units.Seconds,
            decimals=0,
            steps=ALERT_AFTER,
        ),
        Column(name="Value #E", title="Differences", steps=WARN_AT_1),
        Column(name="Value #F", title="Units active"),
        Column(name="Value #G", title="of"),
        Column(name="Value #H", title="Keys missing", steps=WELL_AT_0),
        Column(name="Value #I", title="Held", words=yes),
        Column(name="Value #J", title="Quarantined", words=yes),
        Column(name="Value #K", title="Last in sync", unit=units.Seconds, decimals=0),
        Column(name="commit", title="Commit"),
        Column(name="address", title="Address"),
        Column(name="tags", title="Tags"),
        Column(name="instance", title="Reconciler"),
    )
    return rows(face, columns)


def _over_time() -> tuple[Panel, ...]:
    return (
        timeline(
            Face(
                title="State of each host",
                text="Green: as its commit says. Orange: differs. Red: unreachable.",
                queries=one(STATE, "{{host}}"),
                words=STATES,
                width=24,
                height=9,
                link="${__field.labels.host}",
            )
        ),
        lines(
            Face(
                title="Differences by kind",
                text="What differs on all hosts. The kinds are explained in"
                " docs/how-it-works.md; those that are legitimate and last are left"
                " out.",
                queries=one(some(BY_KIND, "kind", "no difference"), "{{kind}}"),
                decimals=0,
                width=12,
                height=9,
            ),
            stacked=True,
        ),
        lines(
            Face(
                title="How long hosts have drifted",
                text="Hosts that differ from their commit. At the dashed line"
                " ReconcilerHostDrift fires.",
                queries=one(some(DRIFT_AGE, "host", "no host"), "{{host}}"),
                unit=units.Seconds,
                steps=ALERT_AFTER,
                width=12,
                height=9,
                link="${__field.labels.host}",
            ),
            limits=True,
        ),
        lines(
            Face(
                title="Hosts in sync",
                text="The share of hosts that are what their commit says, and of those"
                " that answer.",
                queries=(
                    Query(expr="avg(reconciler_host_in_sync{HOSTS})", legend="in sync"),
                    Query(expr="avg(reconciler_host_up{HOSTS})", legend="answer"),
                ),
                unit=units.PercentUnit,
                width=12,
            )
        ),
        lines(
            Face(
                title="Units",
                text="Units that should be active, and those that are.",
                queries=(
                    Query(
                        expr="sum(reconciler_units_desired{HOSTS})",
                        legend="should be active",
                    ),
                    Query(
                        expr="sum(reconciler_units_active{HOSTS})", legend="are active"
                    ),
                ),
                decimals=0,
                width=12,
            )
        ),
    )


def fleet() -> Board:
    """Return the dashboard of all hosts."""
    return Board(
        uid="reconciler-fleet",
        title="Reconciler / Fleet",
        text="All hosts: what differs from its commit, where, and since when.",
        sections=(
            Section(title="Now", panels=_now()),
            Section(title="Hosts", panels=(_table(),)),
            Section(title="Over time", panels=_over_time()),
        ),
    )
