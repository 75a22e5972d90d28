"""The dashboard of deployments: how often, how fast, how well."""

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generate.boards import Board, Section
from deploy.grafana.generate.panels import (
    OUTCOMES,
    WARN_AT_1,
    WELL_AT_0,
    Column,
    Face,
    Panel,
    Query,
    Step,
    bars,
    counted,
    heat_map,
    lengths,
    lines,
    number,
    one,
    rows,
)

LEAD = "reconciler_commit_to_converged_seconds"
SLOW_AFTER: tuple[Step, ...] = (
    (None, "green"),
    (300, "orange"),
    (1800, "red"),
)  # …DeploymentsSlow
SUCCESS: tuple[Step, ...] = ((None, "red"), (0.9, "orange"), (0.99, "green"))
QUIET = "none in this time"


def quantile(
    share: float, name: str, by: str = "", span: str = "__rate_interval"
) -> str:
    """Return the quantile *share* of a histogram over *span*, by *by* if given."""
    labels = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share},"
        f" sum by ({labels}) (increase({name}_bucket{{HERE}}[${span}])))"
    )


def _ended(matcher: str, span: str = "__range") -> str:
    series = f"reconciler_attempts_total{{HOSTS,outcome{matcher}}}"
    return f"sum(increase({series}[${span}]))"


def _figures() -> tuple[Panel, ...]:
    finished, succeeded = _ended('!="interrupted"'), _ended('="succeeded"')
    return (
        number(
            Face(
                title="Attempts",
                text="Attempts to change a host, for a commit or to heal it.",
                queries=one(finished),
                decimals=0,
            )
        ),
        number(
            Face(
                title="Success rate",
                text="The share of attempts that succeeded; those that a newer commit"
                " cut short are left out.",
                queries=one(f"{succeeded} / ({finished} > 0)"),
                unit=units.PercentUnit,
                decimals=1,
                steps=SUCCESS,
                nothing=QUIET,
            )
        ),
        number(
            Face(
                title="Failed",
                text="Attempts that failed: `reconciler history --log ATTEMPT` tells"
                " why.",
                queries=one(_ended('="failed"')),
                decimals=0,
                steps=WELL_AT_0,
            )
        ),
        number(
            Face(
                title="Rolled back",
                text="Attempts after which the host went back to the system before,"
                " but for those that somebody asked for.",
                queries=one(
                    "sum(increase(reconciler_rollbacks_total{HOSTS}[$__range]))"
                ),
                decimals=0,
                steps=WARN_AT_1,
            )
        ),
        *(
            number(
                Face(
                    title=f"Lead time, {name}",
                    text="From seeing a commit until a host that it changes is in sync:"
                    f" {words} took at most this long.",
                    queries=one(quantile(share, LEAD, span="__range") + " >= 0"),
                    unit=units.Seconds,
                    decimals=1,
                    steps=SLOW_AFTER,
                    nothing=QUIET,
                )
            )
            for share, name, words in (
                (0.5, "median", "one in two"),
                (0.9, "p90", "nine in ten"),
            )
        ),
    )


def _attempts() -> tuple[Panel, ...]:
    return (
        bars(
            Face(
                title="Attempts by outcome",
                text="`interrupted`: a newer commit or a shutdown came first.",
                queries=one(
                    counted("reconciler_attempts_total{HOSTS}", "outcome"),
                    "{{outcome}}",
                ),
                decimals=0,
                width=12,
            ),
            OUTCOMES,
        ),
        bars(
            Face(
                title="Rollbacks by reason",
                text="Why hosts, of all that there are, went back to the system"
                " before.",
                queries=one(
                    counted("reconciler_rollback_reasons_total{HERE}", "reason"),
                    "{{reason}}",
                ),
                decimals=0,
                width=12,
            )
        ),
        _by_host(),
    )


def _by_host() -> Panel:
    outcomes = ("succeeded", "failed", "rolled_back", "interrupted")
    columns = (
        Column(name="host", title="Host", link="${__value.raw}"),
        *(
            Column(
                name=f"Value #{letter}",
                title=outcome.replace("_", " "),
                decimals=0,
                steps=((None, "text"), (1, OUTCOMES[outcome])),
            )
            for letter, outcome in zip("ABCD", outcomes, strict=True)
        ),
        Column(name="commit", title="Commit"),
    )
    counted = (
        "sum by (host) (increase(reconciler_attempts_total"
        '{{HOSTS,outcome="{}"}}[$__range]))'
    )
    told = (
        'max by (host, commit) (label_replace(reconciler_host_info{HOSTS}, "commit",'
        ' "$1", "commit", "(.{8}).*"))'
    )
    exprs = (*(counted.format(outcome) for outcome in outcomes), told)
    return rows(
        Face(
            title="Attempts by host",
            text="How often each host was changed in this time, and the commit that it"
            " is kept at.",
            queries=tuple(
                Query(expr=expr, kind=PromQueryFormat.TABLE) for expr in exprs
            ),
            width=24,
            height=9,
        ),
        columns,
    )


def _lead_time() -> tuple[Panel, ...]:
    return (
        heat_map(
            Face(
                title="Lead time",
                text="From seeing a commit until a host that it changes is in sync.",
                queries=one(
                    f"sum by (le) (increase({LEAD}_bucket{{HERE}}[$__rate_interval]))",
                    "{{le}}",
                    PromQueryFormat.HEATMAP,
                ),
                unit=units.Seconds,
                width=12,
                height=9,
            )
        ),
        heat_map(
            Face(
                title="Health gate",
                text="From the end of a switch until the new system was found healthy"
                " or not; policy.settle is part of it.",
                queries=one(
                    counted("reconciler_health_gate_seconds_bucket{HERE}", "le"),
                    "{{le}}",
                    PromQueryFormat.HEATMAP,
                ),
                unit=units.Seconds,
                width=12,
                height=9,
            )
        ),
    )


def _phases() -> tuple[Panel, ...]:
    name = "reconciler_phase_duration_seconds"
    mean = (
        f"sum by (phase) (increase({name}_sum{{HERE}}[$__range]))"
        f" / (sum by (phase) (increase({name}_count{{HERE}}[$__range])) > 0)"
    )
    return (
        lengths(
            Face(
                title="Mean time of each phase",
                text="Which part of a pass takes the time. `probe` is part of every"
                " pass, the others of those that have something to do.",
                queries=one(mean, "{{phase}}"),
                unit=units.Seconds,
                steps=((None, "blue"),),
                nothing=QUIET,
                width=8,
                height=9,
            )
        ),
        lines(
            Face(
                title="Phases, p90",
                text="Nine in ten took at most this long, in the last hour.",
                queries=one(
                    "histogram_quantile(0.9, sum by (le, phase)"
                    f" (increase({name}_bucket{{HERE}}[1h])))",
                    "{{phase}}",
                ),
                unit=units.Seconds,
                width=16,
                height=9,
            )
        ),
    )


def _afterwards() -> tuple[Panel, ...]:
    reboot = "reconciler_reboot_to_active_seconds"
    return (
        bars(
            Face(
                title="Keys delivered",
                text="Keys by what became of them. `permitted`: only owner or mode"
                " were set.",
                queries=one(
                    counted("reconciler_key_uploads_total{HERE}", "result"),
                    "{{result}}",
                ),
                decimals=0,
                width=12,
            ),
            {"written": "green", "permitted": "blue", "failed": "red"},
        ),
        lines(
            Face(
                title="From a reboot to all units active",
                text="From the first answer over SSH, in the last day; keys are"
                " delivered in this time.",
                queries=tuple(
                    Query(
                        expr=f"histogram_quantile({share}, sum by (le)"
                        f" (increase({reboot}_bucket{{HERE}}[1d])))",
                        legend=legend,
                    )
                    for share, legend in ((0.5, "median"), (0.9, "p90"))
                ),
                unit=units.Seconds,
                width=12,
            )
        ),
    )


def _weeks() -> tuple[Panel, ...]:
    """Return what the recording rules have computed beforehand."""
    lead = f"instance:{LEAD}"
    return (
        lines(
            Face(
                title="Success rate by day",
                text="Of the attempts of the day before each moment.",
                queries=one(
                    "instance:reconciler_attempts:success_ratio1d{HERE}",
                    "{{instance}}",
                ),
                unit=units.PercentUnit,
            )
        ),
        lines(
            Face(
                title="Lead time by day",
                text="Of the deployments of the day before each moment.",
                queries=(
                    Query(expr=f"{lead}:p50_1d{{HERE}}", legend="median {{instance}}"),
                    Query(expr=f"{lead}:p90_1d{{HERE}}", legend="p90 {{instance}}"),
                ),
                unit=units.Seconds,
                steps=SLOW_AFTER,
            ),
        ),
        lines(
            Face(
                title="Hosts in sync",
                text="The share of hosts that are what their commit says.",
                queries=one(
                    "instance:reconciler_host_in_sync:ratio{HERE}", "{{instance}}"
                ),
                unit=units.PercentUnit,
            )
        ),
        lines(
            Face(
                title="Phases by day, p90",
                text="Nine in ten of the day before took at most this long.",
                queries=one(
                    "phase:reconciler_phase_duration_seconds:p90_1d{HERE}",
                    "{{phase}} {{instance}}",
                ),
                unit=units.Seconds,
                width=12,
            )
        ),
        lines(
            Face(
                title="Hosts that answer",
                text="The share of hosts that could be reached.",
                queries=one("instance:reconciler_host_up:ratio{HERE}", "{{instance}}"),
                unit=units.PercentUnit,
                width=12,
            )
        ),
    )


def deployments() -> Board:
    """Return the dashboard of deployments."""
    return Board(
        uid="reconciler-deployments",
        title="Reconciler / Deployments",
        text="From commits to hosts: lead time, success, rollbacks, phases.",
        span="now-7d",
        sections=(
            Section(title="In this time", panels=_figures()),
            Section(title="Attempts", panels=_attempts()),
            Section(title="Lead time", panels=_lead_time()),
            Section(title="Phases", panels=_phases()),
            Section(title="Keys and reboots", panels=_afterwards()),
            Section(title="Over weeks, by the recording rules", panels=_weeks()),
        ),
    )
