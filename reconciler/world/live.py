"""The settings in force, which a change of their file replaces as a whole."""

from reconciler.history import UNSET_MODE_IS_AUTO, History
from reconciler.model import HostName, Mode, Policy, UnitName
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

    def pulls(self, host: HostName) -> bool:
        """Say whether *host* deploys itself, and is never reached from here."""
        settings = self._now[0].hosts.get(host)
        return settings is not None and settings.is_pulling

    def use(self, settings: Settings, policy: Policy) -> None:
        """Go by these from now on."""
        self._now = (settings, policy)


def unset_mode(history: History) -> Mode:
    """
    Return what settings mean that say nothing of the mode.

    Hosts that were kept as their commits say before there was another default are so
    still. Raises StateError.
    """
    return Mode.AUTO if history.is_approved(UNSET_MODE_IS_AUTO) else Mode.REPORT


def settle_mode(settings: Settings, history: History) -> None:
    """
    Note whether *settings* tell the mode: then unset means the default from now on.

    Raises StateError.
    """
    if settings.policy.mode is not None:
        history.withdraw(UNSET_MODE_IS_AUTO)


def told_unset(mode: Mode) -> str:
    """Say what *mode* is without a setting, and what to write."""
    if mode is Mode.AUTO:
        return (
            "auto, since hosts were deployed with this state directory before report"
            " became the default; write `policy: {mode: auto}`, so that it stays so"
        )
    return (
        "report, the default: hosts are looked at, and nothing is done by itself; write"
        " `policy: {mode: auto}` once `reconciler plan` is what you expect"
    )


def policy_of(settings: Settings, *, unset: Mode) -> Policy:
    """Return what *settings* allow, *unset* being the mode where they say nothing."""
    policy = settings.policy
    return Policy(
        mode=policy.mode or unset,
        adopt=policy.adopt,
        heal=policy.heal,
        removal_limit=policy.removal_limit,
        reboot=policy.reboot,
        specialisation=policy.specialisation,
        units={UnitName(name): unit.heal for name, unit in policy.units.items()},
    )
