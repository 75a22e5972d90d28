"""
Which specialisation of a system a host runs, and which one it should run.

NixOS builds specialisations along with the system, and boots the system itself, the
*base*. Which one runs is told by its name; the base has none. The units of a
specialisation are its own, and are not compared with those of the system.
"""

from reconciler.model import Desired, Observed, Policy, Specialisation


def variant(desired: Desired, observed: Observed) -> str | None:
    """
    Return the specialisation of the desired system that a host runs.

    An empty name is the system itself; None: it runs another system, or none of which
    the host knows that it belongs to this one.
    """
    if observed.running == desired.toplevel:
        return ""
    if observed.profile == desired.toplevel and observed.specialisation:
        return observed.specialisation
    if observed.brought == desired.toplevel and observed.brought_specialisation:
        return observed.brought_specialisation
    return None


def wanted_variant(desired: Desired, observed: Observed, policy: Policy) -> str:
    """
    Return the specialisation that a host should run; an empty name is the base.

    The one that the commit names. Else, unless the policy wants the base, the one that
    somebody chose: by booting into it, or by switching to it; also of a system that is
    replaced, as long as the new one has one of that name.
    """
    if desired.specialisation:
        return desired.specialisation
    if policy.specialisation is Specialisation.BASE:
        return ""
    if (running := variant(desired, observed)) is not None:
        return running
    chosen = observed.specialisation
    return chosen if chosen in desired.specialisations else ""


def is_specialised(desired: Desired, observed: Observed) -> bool:
    """Return whether a host runs a specialisation of the desired system."""
    return bool(variant(desired, observed))


def runs(desired: Desired, observed: Observed) -> bool:
    """Return whether a host runs the desired system, or a specialisation of it."""
    return variant(desired, observed) is not None


def told_variant(desired: Desired, observed: Observed) -> str:
    """Name the specialisation that runs, in parentheses; nothing if none does."""
    if name := variant(desired, observed):
        return f" (specialisation {name} of what it boots by default)"
    if observed.specialisation:
        return f" (specialisation {observed.specialisation} of another system)"
    return ""


def variant_warnings(
    desired: Desired, observed: Observed, wanted: str
) -> tuple[str, ...]:
    """Say that a host leaves a specialisation, which the new system does not have."""
    chosen = observed.specialisation
    if not chosen or wanted or chosen in desired.specialisations:
        return ()
    if runs(desired, observed):
        return ()
    told = (
        f"{desired.host} runs the specialisation {chosen}, of which the new system has"
        f" none ({told_names(desired.specialisations)}): it is switched to the system"
        " itself"
    )
    return (told,)


def told_names(names: tuple[str, ...]) -> str:
    """Say which specialisations a system has."""
    return f"it has {', '.join(names)}" if names else "it has no specialisations"
