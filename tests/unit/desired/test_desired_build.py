"""What is said of a build that a host does itself, and that goes wrong there."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from reconciler.desired.build import CollectedError, realise_there
from reconciler.errors import BuildError, CommandError
from reconciler.model import Desired
from tests.unit.plan.samples import desired

BAD = f"/nix/store/{'0' * 32}-bad.drv"


@dataclass
class Failing:
    """A host whose Nix says *stderr*."""

    stderr: str

    def build(
        self,
        _desired: Desired,
        *,
        root: str,
        deadline: float,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Fail."""
        del root, deadline, on_line
        raise CommandError(["ssh"], status=100, stderr=self.stderr)

    def read_log(self, _desired: Desired, derivation: str, *, deadline: float) -> str:
        """Return a log that only the host has."""
        del deadline
        return f"log of {derivation}"


def failure(stderr: str) -> BuildError:
    """Return what becomes of that; our own copy of the derivation is gone by now."""
    with pytest.raises(BuildError) as caught:
        realise_there(Failing(stderr), desired(), root="r", deadline=1, on_line=None)
    return caught.value


def test_what_failed_there_is_told_whatever_became_of_our_derivation() -> None:
    """A build may take hours there, and garbage is collected here meanwhile."""
    error = failure(f"error: builder for '{BAD}' failed with exit code 3")

    assert not isinstance(error, CollectedError)
    assert "bad failed to build on the host" in str(error)
    assert error.log == f"log of {BAD}"


def test_a_derivation_that_the_host_has_collected_is_told() -> None:
    error = failure(f"error: path '{BAD}' is not valid")

    assert isinstance(error, CollectedError)
    assert "garbage-collected on the host" in str(error)
