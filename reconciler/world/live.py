"""The settings in force, which a change of their file replaces as a whole."""

from reconciler.model import Policy, UnitName
from reconciler.settings import Settings


class Live:
    """
    Settings and policy of now; any thread may read them.

    Whoever wants several values that belong together takes `now` once. What a part of
    the program was made with stays as it was: `reconciler.settings.changes` knows what
    those settings are, and never changes them here.
    """

    __slots__ = ("_now",)

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self._now = (settings, policy)

    @property
    def now(self) -> tuple[Settings, Policy]:
        """Settings and policy, of one moment."""
        return self._now

    def use(self, settings: Settings, policy: Policy) -> None:
        """Go by these from now on."""
        self._now = (settings, policy)


def policy_of(settings: Settings) -> Policy:
    """Return what *settings* allow."""
    policy = settings.policy
    return Policy(
        mode=policy.mode,
        heal=policy.heal,
        removal_limit=policy.removal_limit,
        reboot=policy.reboot,
        specialisation=policy.specialisation,
        units={UnitName(name): unit.heal for name, unit in policy.units.items()},
    )
