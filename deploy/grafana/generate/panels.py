"""The few kinds of panels that the dashboards are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    heatmap,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import prometheus as source
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import prometheus as sources

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
NUMBER, CHART = 4, 8  # width and height of panels, unless they say otherwise

Step = tuple[float | None, str]  # from this value on, this colour
Panel = Builder[model.Panel]
P = TypeVar(
    "P",
    bargauge.Panel,
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
)

PLAIN: tuple[Step, ...] = ((None, "text"),)
WELL_AT_0: tuple[Step, ...] = ((None, "green"), (1, "red"))
NOTED_AT_1: tuple[Step, ...] = ((None, "green"), (1, "blue"))
WARN_AT_1: tuple[Step, ...] = ((None, "green"), (1, "orange"))

NONE = "max(reconciler_build_info{HERE}) * 0"
"""0 while a reconciler is there to say so: that nobody is asked is no answer."""

OUTCOMES = {
    "succeeded": "green",
    "failed": "red",
    "rolled_back": "orange",
    "interrupted": "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """
    One query of a panel.

    ``HOSTS`` in *expr* stands for the matchers of the chosen reconcilers and hosts,
    ``HERE`` for those of the chosen reconcilers alone.
    """

    expr: str
    legend: str = ""
    kind: sources.PromQueryFormat = sources.PromQueryFormat.TIME_SERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What every panel has; sizes are in cells of the grid, 24 of which make a line."""

    title: str
    text: str  # what is seen here, and what to make of it
    queries: tuple[Query, ...]
    unit: str = units.Short
    decimals: int | None = None
    steps: tuple[Step, ...] = PLAIN
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # text, colour
    nothing: str = ""  # shown where the queries return nothing
    width: int = 0  # 0: as panels of its kind are
    height: int = 0
    link: str = ""  # for a click on a value


def one(
    expr: str,
    legend: str = "",
    kind: sources.PromQueryFormat = sources.PromQueryFormat.TIME_SERIES,
) -> tuple[Query, ...]:
    """Return the queries of a panel that has one."""
    return (Query(expr=expr, legend=legend, kind=kind),)


def counted(series: str, by: str) -> str:
    """Return how much the counters *series* rose in each interval, by label *by*."""
    return f"sum by ({by}) (increase({series}[$__rate_interval]))"


def named(expr: str, label: str, words: str) -> str:
    """Return *expr* with *words* where *label* is empty, so that a legend shows it."""
    return f'label_replace({expr}, "{label}", "{words}", "{label}", "")'


def how_many(expr: str) -> str:
    """Return how many series *expr* has, also where that is none."""
    return f"count({expr}) or {NONE}"


def some(expr: str, label: str, words: str) -> str:
    """
    Return the series of *expr* above 0, or one at 0 whose *label* is *words*.

    A legend then names what there is, and a panel is not empty where all is well.
    """
    nothing = f'label_replace({NONE}, "{label}", "{words}", "", "")'
    return f"({expr}) > 0 or ({nothing} unless on () ({expr}) > 0)"


def number(face: Face, *, name: bool = False) -> Panel:
    """Return one number of now; with *name* the name of the series instead of it."""
    panel = (
        stat.Panel()
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(
            common.BigValueTextMode.NAME if name else common.BigValueTextMode.VALUE
        )
        .reduce_options(parts.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    width, height = face.width or NUMBER, face.height or NUMBER
    return _dressed(panel, replace(face, width=width, height=height), now=True)


def lines(face: Face, *, stacked: bool = False, limits: bool = False) -> Panel:
    """Return lines over time; with *limits* the thresholds are drawn too."""
    panel = _over_time(face)
    if stacked:
        panel.stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL))
        panel.fill_opacity(40)
    if limits:
        style = parts.GraphThresholdsStyleConfig()
        panel.thresholds_style(style.mode(common.GraphTresholdsStyleMode.DASHED))
    return _dressed(panel, face)


def bars(face: Face, colours: Mapping[str, str] | None = None) -> Panel:
    """Return what happened in each interval as stacked bars; *colours* by name."""
    panel = (
        _over_time(face)
        .draw_style(common.GraphDrawStyle.BARS)
        .stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL))
        .fill_opacity(80)
        .interval("1m")
    )
    for name, colour in (colours or {}).items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        value = model.DynamicConfigValue(id_val="color", value=fixed)
        panel.override_by_name(name, [value])
    return _dressed(panel, face)


def timeline(face: Face) -> Panel:
    """Return one line of states for each series."""
    panel = (
        statetimeline.Panel()
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.9)
        .fill_opacity(80)
        .line_width(0)
        .merge_values(True)  # noqa: FBT003 -- the builder has no other way
        .color_scheme(board.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    )
    return _dressed(panel, face)


def heat_map(face: Face) -> Panel:
    """Return how many fell into each bucket of a histogram over time."""
    colours = (
        heatmap.HeatmapColorOptions()
        .mode(heat.HeatmapColorMode.SCHEME)
        .scheme("Oranges")
        .steps(64)
    )
    panel = (
        heatmap.Panel()
        .calculate(False)  # noqa: FBT003 -- the builder has no other way
        .color(colours)
        .y_axis(heatmap.YAxisConfig().unit(face.unit))
        .show_tooltip()
        .scale_distribution(
            parts.ScaleDistributionConfig().type(common.ScaleDistribution.LINEAR)
        )
        .interval("1m")
    )
    return _dressed(panel, face)


def lengths(face: Face) -> Panel:
    """Return one bar of now for each series."""
    panel = (
        bargauge.Panel()
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .reduce_options(parts.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return _dressed(panel, face, now=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table: a label, or ``Value #A`` for what query A tells."""

    name: str
    title: str
    unit: str = ""
    decimals: int | None = None
    steps: tuple[Step, ...] = ()
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    link: str = ""


def rows(face: Face, columns: tuple[Column, ...]) -> Panel:
    """Return a table of now: rows with the same labels are put together."""
    names = [column.name for column in columns]
    values = ["Value", *(f"Value #{_ref(at)}" for at in range(len(face.queries)))]
    organized = {
        "excludeByName": {n: True for n in ("Time", *values) if n not in names},
        "indexByName": {name: at for at, name in enumerate(names)},
        "renameByName": {column.name: column.title for column in columns},
    }
    panel = (
        table.Panel()
        .show_header(True)  # noqa: FBT003 -- the builder has no other way
        .cell_height(common.TableCellHeight.SM)
        .sort_by([parts.TableSortByFieldState().display_name(columns[0].title)])
        .with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            model.DataTransformerConfig(id_val="organize", options=organized)
        )
    )
    for column in columns:
        if properties := _properties(column):
            panel.override_by_name(column.title, properties)
    return _dressed(panel, face, now=True)


def _over_time(face: Face) -> timeseries.Panel:
    legend = (
        parts.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)  # noqa: FBT003 -- the builder has no other way
    )
    tooltip = (
        parts.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )
    panel = timeseries.Panel().legend(legend).tooltip(tooltip).fill_opacity(10)
    panel.line_width(2).show_points(common.VisibilityMode.NEVER).min(0)
    if face.unit == units.PercentUnit:
        panel.max(1)
    return panel


def _dressed(panel: P, face: Face, *, now: bool = False) -> P:
    """Give *panel* what every panel has; with *now* it asks for one moment only."""
    panel.title(face.title).description(face.text).datasource(DATASOURCE)
    panel.unit(face.unit).span(face.width or CHART).height(face.height or CHART)
    panel.thresholds(thresholds(face.steps))
    panel.mappings([mapping(face.words)] if face.words else [])
    for at, query in enumerate(face.queries):
        panel.with_target(_target(query, _ref(at), now=now))
    if face.decimals is not None:
        panel.decimals(face.decimals)
    if face.nothing:
        panel.no_value(face.nothing)
    if face.link:
        panel.data_links([host_link(face.link)])
    return panel


def thresholds(steps: tuple[Step, ...]) -> board.ThresholdsConfig:
    """Return *steps* as thresholds."""
    made = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return board.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def mapping(words: Mapping[str, tuple[str, str]]) -> model.ValueMap:
    """Return the texts and colours that values are shown as."""
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(words.items())
        }
    )


def host_link(host: str) -> board.DashboardLink:
    """Return a link to the page of a host, which *host* tells in Grafana's terms."""
    query = "${datasource:queryparam}&${instance:queryparam}&${__url_time_range}"
    url = f"/d/reconciler-host?var-host={host}&{query}"
    return board.DashboardLink("Show this host").url(url)


def _ref(at: int) -> str:
    """Return the name of the query at this place of a panel."""
    return chr(ord("A") + at)


def _target(query: Query, name: str, *, now: bool) -> source.Dataquery:
    made = source.Dataquery().expr(scoped(query.expr)).ref_id(name)
    made.datasource(DATASOURCE).format(query.kind)
    if query.legend:
        made.legend_format(query.legend)
    return made.instant() if now else made.range()


def scoped(expr: str) -> str:
    """Return *expr* with the matchers that its words stand for."""
    here = 'instance=~"$instance"'
    return expr.replace("HOSTS", f'{here},host=~"$host"').replace("HERE", here)


def _properties(column: Column) -> list[model.DynamicConfigValue]:
    found: list[tuple[str, object]] = []
    if column.unit:
        found.append(("unit", column.unit))
    if column.decimals is not None:
        found.append(("decimals", column.decimals))
    if column.steps:
        found.append(("thresholds", thresholds(column.steps).build()))
    if column.words:
        found.append(("mappings", [mapping(column.words)]))
    if column.steps or column.words:
        found.append(("custom.cellOptions", {"type": "color-text"}))
    if column.link:
        found.append(("links", [host_link(column.link).build()]))
    return [model.DynamicConfigValue(id_val=name, value=what) for name, what in found]
