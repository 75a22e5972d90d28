"""
Compare what a host should be with what it is, and decide what to do about it.

Pure: values in, values out; no clock, no network, no file.

| module | answers |
|---|---|
| `places` | where does the file of a unit come from, and who put it there? |
| `effects` | what does a switch do to a changed unit? |
| `loaded` | what is a unit, by what systemd says of it? |
| `units` | what differs in one unit? |
| `keys` | what differs in one key? |
| `states` | does a unit do what it should? |
| `jobs` | what has a running job stopped on purpose? |
| `rules` | what is left alone although it differs? |
| `specialisation` | does a host run a specialisation of its system? |
| `steps` | what closes a drift, and in which order? |
| `ssh` | would a system still let us in? |
| `secrets` | can a host decrypt what it needs? |
| `guards` | what is not done without asking, or not just now? |
| `diff` | what differs on a host? |
| `policy` | what is done about it? |
| `baseline` | what was up before a switch, and what was broken? |
| `health` | may a host keep the system that it was switched to? |
| `render` | how is it told to people and machines? |
| `packages` | which packages do two closures have in other versions? |
| `path` | does a commit change the path of a system alone? |
| `takeover` | what does a first deployment change of what somebody else put there? |
| `arrival` | how far has a commit come? |
| `file_diff` | how does the text of a file differ? |
| `restarts` | which units were restarted, and how long were they down? |
| `brought`, `attempt_brought` | how is all that told to people and machines? |
| `shapes` | what does a machine find in that? |
"""

from reconciler.plan.arrival import Arrival, Standing, arrival, arrival_as_dict
from reconciler.plan.attempt_brought import (
    brought_record,
    brought_told,
    down,
    packages_told,
)
from reconciler.plan.baseline import Baseline
from reconciler.plan.brought import brought_as_dict, brought_lines, brought_sums
from reconciler.plan.diff import drifts, needs_reboot
from reconciler.plan.file_diff import FileDiff, file_as_dict, file_diff
from reconciler.plan.guards import hosts_gone, services_of, told_gone, told_shared
from reconciler.plan.health import (
    Problem,
    ProblemKind,
    in_restart,
    judge,
    still_broken,
    still_moving,
    to_ask_about,
)
from reconciler.plan.keys import present_keys, restart_steps
from reconciler.plan.policy import plan, stranger, unaddressed, unreachable
from reconciler.plan.render import (
    Line,
    as_dict,
    as_text,
    attempt_as_dict,
    bell_as_dict,
    no_plan_as_dict,
    no_status_as_dict,
    one_attempt_as_dict,
    status_as_dict,
    summary_lines,
)
from reconciler.plan.restarts import restarts
from reconciler.plan.secrets import cannot_decrypt, not_judged
from reconciler.plan.shapes import (
    AttemptShape,
    BellShape,
    BringsShape,
    HostShape,
    OneAttemptShape,
    OneHostShape,
    PackagesShape,
    PlanShape,
    PreviewShape,
)
from reconciler.plan.specialisation import runs
from reconciler.plan.ssh import ssh_warnings
from reconciler.plan.states import active_units
from reconciler.plan.takeover import takeover

__all__ = [
    "Arrival",
    "AttemptShape",
    "Baseline",
    "BellShape",
    "BringsShape",
    "FileDiff",
    "HostShape",
    "Line",
    "OneAttemptShape",
    "OneHostShape",
    "PackagesShape",
    "PlanShape",
    "PreviewShape",
    "Problem",
    "ProblemKind",
    "Standing",
    "active_units",
    "arrival",
    "arrival_as_dict",
    "as_dict",
    "as_text",
    "attempt_as_dict",
    "bell_as_dict",
    "brought_as_dict",
    "brought_lines",
    "brought_record",
    "brought_sums",
    "brought_told",
    "cannot_decrypt",
    "down",
    "drifts",
    "file_as_dict",
    "file_diff",
    "hosts_gone",
    "in_restart",
    "judge",
    "needs_reboot",
    "no_plan_as_dict",
    "no_status_as_dict",
    "not_judged",
    "one_attempt_as_dict",
    "packages_told",
    "plan",
    "present_keys",
    "restart_steps",
    "restarts",
    "runs",
    "services_of",
    "ssh_warnings",
    "status_as_dict",
    "still_broken",
    "still_moving",
    "stranger",
    "summary_lines",
    "takeover",
    "to_ask_about",
    "told_gone",
    "told_shared",
    "unaddressed",
    "unreachable",
]
