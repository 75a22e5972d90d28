"""
A host that somebody booted into a specialisation of its system, or switched to one.

That is no drift: the commit declares it along with the system. Its units are its own,
and are not compared with those of the system.
"""

from reconciler.model import Desired, Observed


def is_specialised(desired: Desired, observed: Observed) -> bool:
    """Return whether a host runs a specialisation of the desired system."""
    return bool(observed.specialisation) and observed.profile == desired.toplevel


def runs(desired: Desired, observed: Observed) -> bool:
    """Return whether a host runs the desired system, or a specialisation of it."""
    return observed.running == desired.toplevel or is_specialised(desired, observed)


def told_specialisation(observed: Observed) -> str:
    """Name the specialisation that runs."""
    return f"specialisation {observed.specialisation} of what it boots by default"
