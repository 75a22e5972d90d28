"""What the cage adds to an evaluation: the same host, in turn with and without it."""

import time
from pathlib import Path

from reconciler.desired import Evaluator
from reconciler.model import HostName
from reconciler.settings import (
    Cage,
    NixSettings,
    RepositorySettings,
    Settings,
)
from tests.bench.report import Row, Section, Target
from tests.support.rig import NIX_OPTIONS, NIXPKGS

HOST = HostName("web")
LIMIT = 0.05  # seconds


def measure(folder: Path, rounds: int) -> Section:
    """Evaluate the smallest NixOS that there is *rounds* times each way."""
    module = folder / "hosts/web/configuration.nix"
    module.parent.mkdir(parents=True)
    module.write_text('{ boot.isContainer = true; system.stateVersion = "25.05"; }')
    took: dict[Cage, list[float]] = {Cage.OFF: [], Cage.REQUIRED: []}
    for cage in took:
        _evaluate(folder, cage)  # what is written to the store is there afterwards
    for _ in range(rounds):
        for cage, seconds in took.items():
            seconds.append(_evaluate(folder, cage))
    bare, caged = (
        Row(name=name, values=tuple(took[cage]))
        for name, cage in (("without", Cage.OFF), ("in a cage", Cage.REQUIRED))
    )
    added = caged.median - bare.median
    return Section(
        title="One evaluation, in a cage and without",
        unit="s",
        rows=(bare, caged),
        targets=(Target(name="the cage adds", value=added, limit=LIMIT, unit="s"),),
    )


def _evaluate(folder: Path, cage: Cage) -> float:
    options = NixSettings.model_validate(
        {"path": [f"nixpkgs={NIXPKGS}"], "options": NIX_OPTIONS, "cage": cage}
    )
    repository = RepositorySettings(url=str(folder))
    settings = Settings(repository=repository, nix=options, state=folder)
    evaluator = Evaluator(settings)
    evaluator.hosts(folder)
    began = time.monotonic()
    evaluator.evaluate(folder, HOST)
    return time.monotonic() - began
