"""The command line in this process, over a scene instead of real adapters."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import common, main, worlds
from reconciler.model import Policy
from reconciler.settings import Settings
from reconciler.world import Live, Tell, World, tell_nobody
from tests.support.scene import Scene, write_copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever JSON holds
        """Standard output, parsed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Standard output, line by line."""
        return self.out.splitlines()


class Cli:
    """Runs commands with the settings of a scene."""

    def __init__(
        self,
        scene: Scene,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.settings = scene.folder / "reconciler.yaml"
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        lines = [
            f"repository: {{url: {scene.folder / 'git'}}}",
            f"state: {scene.settings.state.path}",
            f"policy: {{adopt: {scene.world.policy.adopt.value}}}",
        ]
        self.settings.write_text("\n".join(lines))

    def __call__(self, *words: str) -> Said:
        """Run ``reconciler -c SETTINGS words…``."""
        return self.bare("-c", str(self.settings), *words)

    def bare(self, *words: str) -> Said:
        """Run ``reconciler words…``."""
        argv = ["reconciler", *words]
        self._monkeypatch.setattr(sys, "argv", argv)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        said = self._capsys.readouterr()
        return Said(status=int(code or 0), out=said.out, err=said.err)

    def narrow(self, columns: int) -> None:
        """Print as on a terminal with so many columns."""
        self._monkeypatch.setattr(common.out, "_width", columns)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    write_copy(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    scene = Scene(tmp_path)
    yield scene
    scene.close()


@pytest.fixture
def cli(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    @contextlib.contextmanager
    def open_scene(
        _settings: Settings, *, policy: Policy | None = None, tell: Tell = tell_nobody
    ) -> Iterator[World]:
        live = Live(scene.settings, policy or scene.world.policy)
        yield dataclasses.replace(scene.world, live=live, tell=tell)

    monkeypatch.setattr(worlds, "open_world", open_scene)
    return Cli(scene, monkeypatch, capsys)
