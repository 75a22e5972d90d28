"""
What happens to a unit, by the rules of NixOS's switch-to-configuration.

The two implementations (in Perl and in Rust) agree on them. They compare the text of
two unit files; we compare store paths, so a change that they pass over (Description=)
or answer with a mere reload (X-Reload-Triggers=, ExecReload=, Options= of a mount)
is announced here as what a change of the unit's substance would bring.
"""

from collections.abc import Mapping

from reconciler.model import DesiredUnit, Effect, ObservedUnit, UnitName
from reconciler.plan.places import SYSTEM, kind_of

RUNNING = frozenset({"active", "reloading", "refreshing"})
"""Active states in which a unit does its work (``refreshing``: systemd 257)."""

MOVING = frozenset({"activating", "deactivating", "maintenance"})
"""Active states that pass by themselves: nothing to judge yet."""

# Reached as dependencies of others, or told of changes by daemon-reload.
_LEFT_ALONE = frozenset({"path", "slice", "socket", "device", "scope"})
_LEFT_ALONE_TARGETS = frozenset(
    {
        "basic.target",
        "graphical.target",
        "hibernate.target",
        "hybrid-sleep.target",
        "multi-user.target",
        "suspend.target",
        "sysinit.target",
    }
)
_NEVER_UNMOUNTED = frozenset({"-.mount", "nix.mount", "nix-store.mount"})


def effect_of_switch(
    want: DesiredUnit,
    have: ObservedUnit,
    declared: Mapping[UnitName, DesiredUnit],
) -> Effect:
    """
    Return what switching does to a unit whose file changes.

    A switch looks at units that are active or on their way and stem from
    /etc/systemd/system. Any other starts if a target pulls it in.
    """
    if want.path is None:
        return Effect.STOP if is_up(have) else Effect.NONE
    if not is_up(have):
        return Effect.START if want.wanted else Effect.NONE
    if not have.fragment_path.startswith(SYSTEM):
        return Effect.NONE
    effect = effect_of_change(want)
    if effect is Effect.RESTART and _its_socket_starts_it(want, declared):
        return Effect.STOP
    return effect


def effect_of_change(want: DesiredUnit) -> Effect:
    """Return what a change means for the unit while it is active."""
    match kind_of(want.name):
        case "target":
            quiet = want.only_manual or want.name in _LEFT_ALONE_TARGETS
            return Effect.NONE if quiet else Effect.START
        case "mount":
            held = want.name in _NEVER_UNMOUNTED
            return Effect.RELOAD if held else Effect.RESTART
        case kind if kind in _LEFT_ALONE:
            return Effect.NONE
        case _:
            return _effect_by_options(want)


def is_up(have: ObservedUnit) -> bool:
    """Return whether the unit is active or on its way there."""
    return have.active_state in RUNNING or have.active_state == "activating"


def _effect_by_options(want: DesiredUnit) -> Effect:
    if want.reload_if_changed:
        return Effect.RELOAD
    if not want.restart_if_changed or want.only_manual:
        return Effect.SKIP
    return Effect.RESTART  # in place, or stopped before and started after


def _its_socket_starts_it(
    want: DesiredUnit, declared: Mapping[UnitName, DesiredUnit]
) -> bool:
    """
    Return whether the service is stopped and then left to its socket.

    Only where it would be stopped at all (``stopIfChanged``), and no target starts it.
    Sockets= and X-NotSocketActivated= are not known here.
    """
    if kind_of(want.name) != "service" or want.wanted or not want.stop_if_changed:
        return False
    base = want.name.removesuffix(".service").removesuffix("@")
    socket = declared.get(UnitName(f"{base}.socket"))
    return socket is not None and socket.path is not None
