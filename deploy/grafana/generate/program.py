"""The dashboard of the reconciler itself."""

from grafana_foundation_sdk.models import units

from deploy.grafana.generate.boards import Board, Section
from deploy.grafana.generate.deployments import quantile
from deploy.grafana.generate.panels import (
    Face,
    Panel,
    Query,
    Step,
    bars,
    counted,
    lengths,
    lines,
    named,
    number,
    one,
)

QUEUE = "reconciler_workqueue"
OLDEST = "reconciler_notifications_oldest_pending_timestamp_seconds"
SILENT_AFTER: tuple[Step, ...] = ((None, "green"), (60, "orange"), (900, "red"))
STALE_AFTER: tuple[Step, ...] = ((None, "green"), (300, "orange"), (1200, "red"))
WAITS_AFTER: tuple[Step, ...] = ((None, "green"), (60, "orange"), (900, "red"))
RUNS_AFTER: tuple[Step, ...] = ((None, "green"), (3600, "orange"), (7200, "red"))
LATE_AFTER: tuple[Step, ...] = ((None, "green"), (300, "orange"), (1800, "red"))
ACCEPTED = {"accepted": "green", "ignored": "text", "duplicate": "blue"}


def _ago(title: str, text: str, expr: str, steps: tuple[Step, ...]) -> Panel:
    """Return a panel that says how long ago something was."""
    return number(
        Face(
            title=title,
            text=text,
            queries=one(expr),
            unit=units.Seconds,
            decimals=0,
            steps=steps,
            nothing="not yet",
        )
    )


def _now() -> tuple[Panel, ...]:
    answers = {"1": ("yes", "green"), "0": ("no", "red")}
    used = {"1": ("in use", "green"), "0": ("refused", "red")}
    return (
        number(
            Face(
                title="Answers",
                text="Whether Prometheus could scrape it.",
                queries=one('min(up{job="reconciler",HERE})'),
                words=answers,
            )
        ),
        _ago(
            "Sign of life",
            "How long ago the loop last showed that it runs; it does so every few"
            " seconds, but not during a fetch or while Nix lists the hosts.",
            "time() - min(reconciler_heartbeat_timestamp_seconds{HERE})",
            SILENT_AFTER,
        ),
        _ago(
            "Repository read",
            "How long ago the repository was last read with success.",
            "time() - min(reconciler_last_fetch_timestamp_seconds{HERE} > 0)",
            STALE_AFTER,
        ),
        number(
            Face(
                title="Newest settings",
                text="Whether the settings file, as it is now, is used or was refused.",
                queries=one("min(reconciler_settings_reload_success{HERE})"),
                words=used,
            )
        ),
        _ago(
            "Up for",
            "How long ago it was started.",
            "time() - max(process_start_time_seconds{HERE})",
            ((None, "text"),),
        ),
        number(
            Face(
                title="Version",
                text="Of the reconciler.",
                queries=one("reconciler_build_info{HERE}", "{{version}}"),
            ),
            name=True,
        ),
    )


def _queue() -> tuple[Panel, ...]:
    times = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    waited, worked = (f"{QUEUE}_{kind}_duration_seconds" for kind in ("queue", "work"))
    return (
        lines(
            Face(
                title="Queue",
                text="Hosts that wait for a worker, and those whose next look is due"
                " later.",
                queries=(
                    Query(expr=f"sum({QUEUE}_depth{{HERE}})", legend="waiting"),
                    Query(expr=f"sum({QUEUE}_delayed{{HERE}})", legend="due later"),
                ),
                decimals=0,
            )
        ),
        lines(
            Face(
                title="Longest wait",
                text="How long the first in the queue has waited. At the red line"
                " ReconcilerQueueStuck fires.",
                queries=one(f"max({QUEUE}_oldest_waiting_seconds{{HERE}})", "waits"),
                unit=units.Seconds,
                steps=WAITS_AFTER,
            ),
            limits=True,
        ),
        lines(
            Face(
                title="Longest pass",
                text="How long the longest of the passes that run has taken so far. At"
                " the red line ReconcilerPassStuck fires.",
                queries=one(
                    f"max({QUEUE}_longest_running_processor_seconds{{HERE}})", "runs"
                ),
                unit=units.Seconds,
                steps=RUNS_AFTER,
            ),
            limits=True,
        ),
        *(
            lines(
                Face(
                    title=title,
                    text=text,
                    queries=tuple(
                        Query(expr=quantile(share, name), legend=legend)
                        for legend, share in times.items()
                    ),
                    unit=units.Seconds,
                )
            )
            for title, text, name in (
                (
                    "Wait for a worker",
                    "More than a moment: policy.parallel is too low.",
                    waited,
                ),
                ("Length of a pass", "From the probe to the status.", worked),
            )
        ),
        lines(
            Face(
                title="Passes by result",
                text="Looks at hosts. `error`: one did not answer or did not evaluate.",
                queries=one(
                    "sum by (result)"
                    " (rate(reconciler_passes_total{HERE}[$__rate_interval])) * 60",
                    "{{result}}",
                ),
                unit=units.CountsPerMinute,
            ),
            stacked=True,
        ),
    )


def _repository() -> tuple[Panel, ...]:
    worked = (
        "sum(increase(reconciler_fetches_total{HERE}[$__rate_interval]))"
        " - sum(increase(reconciler_fetch_failures_total{HERE}[$__rate_interval]))"
    )
    failed = "sum(increase(reconciler_fetch_failures_total{HERE}[$__rate_interval]))"
    return (
        bars(
            Face(
                title="Looks at the repository",
                text="Fetches that worked and those that did not.",
                queries=(
                    Query(expr=f"{worked} >= 0", legend="worked"),
                    Query(expr=failed, legend="failed"),
                ),
                decimals=0,
            ),
            {"worked": "green", "failed": "red"},
        ),
        bars(
            Face(
                title="Evaluations",
                text="Hosts that commits had evaluated, those that they spared, and for"
                " whom it failed; or whether Nix cannot list the hosts.",
                queries=(
                    Query(
                        expr=counted(
                            'reconciler_evaluations_total{HERE, result!="failed"}',
                            "result",
                        ),
                        legend="{{result}}",
                    ),
                    Query(
                        expr=named(
                            counted(
                                'reconciler_evaluations_total{HERE, result="failed"}',
                                "host",
                            ),
                            "host",
                            "the list of hosts",
                        ),
                        legend="failed: {{host}}",
                    ),
                ),
                decimals=0,
            )
        ),
        lines(
            Face(
                title="Does the newest commit evaluate?",
                text="How many hosts it does not evaluate for, or whether its list of"
                " hosts does not; these are kept as the last good commit says.",
                queries=one("sum(reconciler_evaluation_failing{HERE})", "failing"),
                decimals=0,
                steps=((None, "green"), (1, "orange")),
            )
        ),
        *_dearest(),
    )


def _dearest() -> tuple[Panel, ...]:
    told = (
        ("seconds", "takes longest", "evaluation_seconds", units.Seconds),
        ("memory", "takes most memory", "evaluation_memory_bytes", units.BytesIEC),
    )
    return tuple(
        lengths(
            Face(
                title=f"Whose evaluation {what}",
                text=f"The {of} that the last evaluation of a host took, for the ten"
                " that took most.",
                queries=one(
                    f"topk(10, max by (host) (reconciler_{name}{{HERE}}) > 0)",
                    "{{host}}",
                ),
                unit=unit,
                steps=((None, "blue"),),
                nothing="none yet",
                width=12,
            )
        )
        for of, what, name, unit in told
    )


def _outside() -> tuple[Panel, ...]:
    return (
        bars(
            Face(
                title="Webhook deliveries by result",
                text="What became of deliveries from forges, and of what else comes to"
                " their address.",
                queries=one(
                    counted("reconciler_webhook_requests_total{HERE}", "result"),
                    "{{result}}",
                ),
                decimals=0,
                width=6,
            ),
            ACCEPTED,
        ),
        bars(
            Face(
                title="Webhook deliveries by provider",
                text="What comes for no route that there is has no provider.",
                queries=one(
                    named(
                        counted("reconciler_webhook_requests_total{HERE}", "provider"),
                        "provider",
                        "no route",
                    ),
                    "{{provider}}",
                ),
                decimals=0,
                width=6,
            )
        ),
        bars(
            Face(
                title="Notifications by result",
                text="`failed` counts tries: the message waits for the next one.",
                queries=one(
                    counted("reconciler_notifications_total{HERE}", "result"),
                    "{{result}}",
                ),
                decimals=0,
                width=6,
            ),
            {"delivered": "green", "failed": "orange", "dropped": "red"},
        ),
        number(
            Face(
                title="Notifications waiting",
                text="Messages and commit statuses that are not delivered yet.",
                queries=one("sum(reconciler_notifications_pending{HERE})"),
                steps=((None, "green"), (10, "orange"), (100, "red")),
                width=3,
                height=8,
            )
        ),
        number(
            Face(
                title="Oldest of them",
                text="How long it has waited; after half an hour"
                " ReconcilerNotificationsStuck fires.",
                queries=one(
                    f"max((time() - {OLDEST}{{HERE}}) * ({OLDEST}{{HERE}} > bool 0))"
                ),
                unit=units.Seconds,
                decimals=0,
                steps=LATE_AFTER,
                width=3,
                height=8,
            )
        ),
    )


def _process() -> tuple[Panel, ...]:
    return (
        lines(
            Face(
                title="Memory",
                text="Resident memory of the daemon, without Nix, ssh and git, which"
                " are processes of their own.",
                queries=one(
                    'process_resident_memory_bytes{job="reconciler",HERE}',
                    "{{instance}}",
                ),
                unit=units.BytesIEC,
                width=6,
            )
        ),
        lines(
            Face(
                title="CPU",
                text="Processors used by the daemon alone.",
                queries=one(
                    'rate(process_cpu_seconds_total{job="reconciler",HERE}'
                    "[$__rate_interval])",
                    "{{instance}}",
                ),
                unit=units.Short,
                decimals=2,
                width=6,
            )
        ),
        lines(
            Face(
                title="Open files",
                text="Of those that it may open.",
                queries=one(
                    'process_open_fds{job="reconciler",HERE}'
                    ' / process_max_fds{job="reconciler",HERE}',
                    "{{instance}}",
                ),
                unit=units.PercentUnit,
                width=6,
            )
        ),
        lines(
            Face(
                title="Scrapes",
                text="How long Prometheus took to read its metrics.",
                queries=one(
                    'scrape_duration_seconds{job="reconciler",HERE}', "{{instance}}"
                ),
                unit=units.Seconds,
                width=6,
            )
        ),
    )


def program() -> Board:
    """Return the dashboard of the reconciler itself."""
    return Board(
        uid="reconciler-program",
        title="Reconciler / Program",
        text="The reconciler itself: is it alive, does it keep up, does it read the"
        " repository, are its messages delivered.",
        hosts="none",
        sections=(
            Section(title="Now", panels=_now()),
            Section(title="Queue", panels=_queue()),
            Section(title="Repository", panels=_repository()),
            Section(title="Webhooks and notifications", panels=_outside()),
            Section(title="Process", panels=_process()),
        ),
    )
