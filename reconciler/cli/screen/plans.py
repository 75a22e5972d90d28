"""How plans and drifts look on a terminal."""

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from reconciler.cli.screen.listing import Paragraphs
from reconciler.cli.screen.words import STYLES
from reconciler.model import HostStatus, Plan, StorePath, Takeover, Verdict
from reconciler.plan import Line, summary_lines

SIGN_STYLES = {"+": "green", "-": "red", "~": "yellow", "!": "bold yellow"}


def plan_group(plan: Plan) -> Group:
    """Return one host's plan, a line for each drift."""
    title = Text(plan.host, "bold")
    title.append(f"  {plan.verdict.value}", STYLES[plan.verdict])
    if plan.reason:
        title.append(f"  {plan.reason}", "not bold")
    rows = [*map(_planned, summary_lines(plan)), *map(_warned, plan.warnings)]
    return Group(title, Paragraphs(rows=rows))


def first_group(found: Sequence[Takeover]) -> Group:
    """Return what the first deployment of a host changes of what it runs."""
    title = Text("  its first deployment, compared with what the host runs:", "bold")
    if not found:
        title.append(" nothing of that goes", "not bold")
    rows = [
        (Text("  !", "yellow"), Text(one.kind, "yellow"), one.text) for one in found
    ]
    return Group(title, Paragraphs(rows=rows))


def error_group(host: str, error: str) -> Group:
    """Return why there is no plan for a host."""
    title = Text(host, "bold").append("  error", "red")
    return Group(title, Paragraphs(rows=[("", Text(error, "red"))]))


def drift_lines(status: HostStatus) -> Paragraphs:
    """Return what differed when the host was last looked at, in the words of a plan."""
    seen = Plan(
        host=status.host,
        target=status.target or StorePath(""),
        verdict=status.verdict or Verdict.BLOCKED,
        drifts=status.drifts,
    )
    return Paragraphs(rows=[*map(_planned, summary_lines(seen))])


def _warned(warning: str) -> tuple[str | Text, ...]:
    return Text("  !", "yellow"), Text("ssh", "yellow"), Text(warning)


def _planned(line: Line) -> tuple[str | Text, ...]:
    style = SIGN_STYLES.get(line.sign, "")
    told = Text(line.what)
    if line.effect:
        told.append(f", {line.effect}" if line.what else line.effect, "dim")
    return Text(f"  {line.sign}", style), Text(line.subject, style), told
