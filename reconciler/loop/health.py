"""
The health gate: whether a host may keep the system that it was switched to.

What should be up comes up within ``policy.confirm_timeout``, stays so for
``policy.settle``, and the declared checks pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reconciler.errors import ReconcilerError, StoppingError, TemporaryError
from reconciler.loop.look import Look
from reconciler.loop.recorded import Recorded
from reconciler.loop.world import World
from reconciler.model import Desired, HostName, Phase

PAUSE = 0.5  # seconds between two looks at what is still on its way


class UnhealthyError(TemporaryError):
    """Everything was carried out, and yet the host is not as it should be."""

    def __init__(self, host: HostName, wrong: Sequence[str]) -> None:
        self.wrong = tuple(wrong)
        super().__init__(f"{host}: after the change there is still: {', '.join(wrong)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthGate:
    """Judges one host after its switch; *look* looks at it again."""

    world: World
    desired: Desired
    recorded: Recorded
    look: Callable[[], Look]

    def give_up(self) -> float:
        """Return when what is not up by then is not healthy (`World.monotonic`)."""
        return self.world.monotonic() + self.world.settings.policy.confirm_timeout

    def first_look(self, give_up: float) -> Look:
        """
        Look at the host, over a new connection, as often as it takes.

        The switch may have restarted sshd or the network a moment ago. Raises what
        looking raises once it is time to *give_up*.
        """
        while True:
            try:
                return self.look()
            except StoppingError:
                raise
            except ReconcilerError:
                if self.world.monotonic() > give_up:
                    raise
            self.world.connections.reconnect(self.desired.host)
            self.world.pause(PAUSE)

    def settle(self) -> Look:
        """Let the host run on for a while, and look at it again."""
        seconds = self.world.settings.policy.settle
        pause = self.world.pause
        self.recorded.step("settle", Phase.SETTLE, lambda: pause(seconds))
        return self.look()
