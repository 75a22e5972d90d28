"""What the dashboards have in common: variables, links, events and the grid."""

from dataclasses import dataclass, replace

from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from typing_extensions import override

from deploy.grafana.generate.panels import DATASOURCE, Panel, scoped

TAG = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A row and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard; its file is named like its *uid*."""

    uid: str
    title: str
    text: str
    sections: tuple[Section, ...]
    hosts: str = "many"  # how many can be chosen: "many", "one" or "none"
    span: str = "now-24h"


class PrometheusEvents(model.AnnotationQuery):
    """Events from Prometheus; the SDK's class lacks what they are shown as."""

    def __init__(self, *, name: str, expr: str, colour: str, shown: bool) -> None:
        super().__init__(
            name=name,
            datasource=DATASOURCE,
            enable=shown,
            icon_color=colour,
            expr=scoped(expr),
        )
        self.title = ""
        self.text = ""

    @override
    def to_json(self) -> dict[str, object]:
        shown = {"titleFormat": self.title, "textFormat": self.text}
        return {**super().to_json(), **shown, "step": "30s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(Builder[model.AnnotationQuery]):
    """A kind of events; *title* and *text* name labels as ``{{label}}``."""

    name: str
    expr: str
    colour: str
    title: str
    text: str
    shown: bool = True

    @override
    def build(self) -> model.AnnotationQuery:
        made = PrometheusEvents(
            name=self.name, expr=self.expr, colour=self.colour, shown=self.shown
        )
        made.title, made.text = self.title, self.text
        return made


def _attempts(outcomes: str) -> str:
    """Return attempts with these outcomes, with the commit that each carried."""
    return f"""
(sum by (instance, host, outcome) (
  increase(reconciler_attempts_total{{HOSTS,outcome=~"{outcomes}"}}[$__rate_interval])
) > 0)
* on (instance, host) group_left (commit) reconciler_host_info{{HOSTS}}
""".strip()


EVENTS = (
    Events(
        name="Commits",
        # The one that was not there one step before.
        expr='reconciler_commit_info{HERE,commit!=""}'
        " unless reconciler_commit_info{HERE} offset $__interval",
        colour="blue",
        title="commit {{commit}}",
        text="on {{branch}}",
    ),
    Events(
        name="Deployments",
        expr=_attempts("succeeded"),
        colour="green",
        title="{{host}}: {{outcome}}",
        text="commit {{commit}}",
    ),
    Events(
        name="Failed deployments",
        expr=_attempts("failed|rolled_back"),
        colour="red",
        title="{{host}}: {{outcome}}",
        text="commit {{commit}}",
    ),
    Events(
        name="Alerts",
        expr='ALERTS{alertname=~"Reconciler.+",alertstate="firing"}',
        colour="orange",
        title="{{alertname}}",
        text="{{host}} {{instance}}",
        shown=False,
    ),
)


def dashboard(described: Board) -> model.Dashboard:
    """Return the dashboard that is described."""
    made = (
        board.Dashboard(described.title)
        .uid(described.uid)
        .description(described.text)
        .tags([TAG])
        .time(described.span, "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_links())
        .variables(_variables(described.hosts))
        .annotations(_events(described.hosts))
    )
    for section in described.sections:
        made.with_row(board.Row(section.title))
        for panel in section.panels:
            made.with_panel(panel)
    return _numbered(made.build())


def _numbered(made: model.Dashboard) -> model.Dashboard:
    """Give each panel the number that links to it use."""
    for number, panel in enumerate(made.panels or (), start=1):
        panel.id_val = number
    return made


def _links() -> board.DashboardLink:
    return (
        board.DashboardLink("Reconciler")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)  # noqa: FBT003 -- the builder has no other way
        .keep_time(True)  # noqa: FBT003 -- the builder has no other way
    )


def _variables(hosts: str) -> list[Builder[model.VariableModel]]:
    found: list[Builder[model.VariableModel]] = [
        board.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _asked("instance", "Reconciler", "reconciler_build_info", many=True),
    ]
    series = 'reconciler_host_up{instance=~"$instance"}'
    if hosts != "none":
        found.append(_asked("host", "Host", series, many=hosts == "many"))
    return found


def _asked(name: str, label: str, series: str, *, many: bool) -> board.QueryVariable:
    query: dict[str, object] = {"query": f"label_values({series}, {name})"}
    query["refId"] = name
    made = board.QueryVariable(name).label(label).datasource(DATASOURCE).query(query)
    made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(model.VariableSort.ALPHABETICAL_ASC)
    if many:
        everything = model.VariableOption(text=["All"], value=["$__all"])
        made.multi(many).include_all(many).current(everything)
    return made


def _events(hosts: str) -> list[Builder[model.AnnotationQuery]]:
    if hosts != "none":
        return list(EVENTS)
    # No variable of hosts: all of them.
    return [replace(one, expr=one.expr.replace("HOSTS", "HERE")) for one in EVENTS]
