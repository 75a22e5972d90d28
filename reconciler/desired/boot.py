"""
Which units the boot targets pull in (pure).

systemd starts ``default.target`` and everything that it pulls in: through the links
in ``.wants``, ``.requires`` and ``.upholds`` folders (``wantedBy`` and its like) and
through Wants=, Requires=, BindsTo= and Upholds= of what is pulled in. A masked unit is
never started and pulls in nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.desired.names import Names, is_template, template_of

Links = dict[str, set[str]]  # unit -> units that are linked into its folders

DEFAULT_TARGET = "default.target"

# What systemd's own unit files pull in (bootup(7), systemd.special(7)). Only targets,
# and what a module may declare without naming its parent: systemd's services are not
# here, since a host may have them or not.
UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "graphical.target": ("multi-user.target", "display-manager.service"),
    "multi-user.target": ("basic.target", "getty.target", "remote-fs.target"),
    "basic.target": (
        "sysinit.target",
        "sockets.target",
        "timers.target",
        "paths.target",
        "slices.target",
    ),
    "sysinit.target": (
        "local-fs.target",
        "swap.target",
        "cryptsetup.target",
        "integritysetup.target",
        "veritysetup.target",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What starts what."""

    names: Names
    links: Mapping[str, set[str]]
    pulls: Callable[[str], set[str]]  # a unit's own directives; canonical names
    masked: Callable[[str], bool]


def pulled_in(graph: Graph, *, default_unit: str) -> frozenset[str]:
    """
    Return every unit that starting *default_unit* starts, declared or not.

    Every service and target but the earliest depends on sysinit.target and
    basic.target (DefaultDependencies=), so these are always among them.
    """
    found: set[str] = set()
    default = graph.names.canonical(default_unit)
    # A link into default.target.wants counts for the target that it stands for.
    waiting = [default, "basic.target", *graph.links.get(DEFAULT_TARGET, ())]
    while waiting:
        name = waiting.pop()
        if name in found or is_template(name) or graph.masked(name):
            continue
        found.add(name)
        waiting.extend(_children(graph, name))
    return frozenset(found)


def _children(graph: Graph, name: str) -> set[str]:
    linked = graph.links.get(name, set()) | graph.links.get(template_of(name), set())
    upstream = {graph.names.canonical(child) for child in UPSTREAM.get(name, ())}
    return linked | graph.pulls(name) | upstream
