"""The files for other systems, as far as no host is needed; see tests/fleet too."""

import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.settings import load
from tests.deploy.conftest import DEPLOY
from tests.support.rig import ROOT

SYSTEMD = DEPLOY / "systemd"
INSTALL = (ROOT / "docs" / "install.md").read_text()


def test_the_example_settings_are_accepted() -> None:
    settings = load(SYSTEMD / "reconciler.yaml")

    assert settings.ssh.identity == Path(
        "/run/credentials/reconciler.service/id_ed25519"
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path) -> None:
    """The program is elsewhere here, and the unit would be refused without it."""
    text = (SYSTEMD / "reconciler.service").read_text()
    unit = tmp_path / "reconciler.service"
    unit.write_text(text.replace("/opt/reconciler/bin/reconciler", "/bin/true"))

    argv = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    told = [line for line in done.stderr.splitlines() if "reconciler" in line]
    assert (told, done.returncode) == ([], 0)


def test_every_file_is_installed_by_the_documentation() -> None:
    for file in SYSTEMD.iterdir():
        assert f"deploy/systemd/{file.name} " in INSTALL
