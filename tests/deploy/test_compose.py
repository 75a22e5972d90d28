"""
The containers, as far as tools without an engine can tell.

The files are laid out as the containers would see them, and checked there by the
programs that would read them.
"""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.settings import load
from tests.deploy.conftest import DEPLOY
from tests.support.promtool import promtool
from tests.support.rig import ROOT

COMPOSE = DEPLOY / "compose"
CONTAINERFILE = COMPOSE / "Containerfile"
PROGRAMS = Path(sys.executable).parent
SERVICES = ["alertmanager", "grafana", "prometheus", "reconciler"]


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Return what Compose understands: every default filled in, every path whole."""
    command = (PROGRAMS / "docker-compose", "--file", COMPOSE / "compose.yaml")
    done = run(*command, "config", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_compose_understands_it(project: dict[str, Any]) -> None:
    assert sorted(project["services"]) == SERVICES


def test_nothing_is_reached_from_elsewhere(project: dict[str, Any]) -> None:
    ports = [port for one in project["services"].values() for port in one["ports"]]

    assert len(ports) == len(SERVICES)
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_has_a_privilege(project: dict[str, Any], name: str) -> None:
    service = project["services"][name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


def mounted(project: dict[str, Any], name: str) -> dict[str, Path]:
    """Return what a container sees of this repository: path inside, path here."""
    return {
        mount["target"]: Path(mount["source"])
        for mount in project["services"][name]["volumes"]
        if mount["type"] == "bind"
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_mount_is_there_and_cannot_be_written_to(
    project: dict[str, Any], name: str
) -> None:
    for mount in project["services"][name]["volumes"]:
        if mount["type"] == "bind":
            assert Path(mount["source"]).exists(), mount
            assert mount["read_only"], mount
        else:
            assert mount["source"] in project["volumes"]


def laid_out(project: dict[str, Any], name: str, root: Path) -> Path:
    """Copy what a container sees of this repository below *root*; return that."""
    for target, source in mounted(project, name).items():
        place = root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, place)
    return root


def test_prometheus_finds_its_rules_and_its_targets(
    project: dict[str, Any], tmp_path: Path
) -> None:
    root = laid_out(project, "prometheus", tmp_path)
    file = root / "etc/prometheus/prometheus.yml"

    checked = promtool(["check", "config", str(file)])

    assert checked.returncode == 0, checked.stdout
    config = yaml.safe_load(file.read_text())
    for pattern in config["rule_files"]:
        assert list(file.parent.glob(pattern)), pattern
    for target, port in (("reconciler", 9876), ("alertmanager", 9093)):
        found = yaml.safe_load((file.parent / f"targets/{target}.yml").read_text())
        assert found == [{"targets": [f"{target}:{port}"]}]
        ports = project["services"][target]["ports"]
        assert [one["target"] for one in ports] == [port]


def test_the_targets_are_those_that_prometheus_asks_for(
    project: dict[str, Any],
) -> None:
    """Its own folder of them names other places; each of its files has one here."""
    own = {file.name for file in (DEPLOY / "prometheus" / "targets").iterdir()}

    assert {file.name for file in (COMPOSE / "targets").iterdir()} == own
    assert mounted(project, "prometheus")["/etc/prometheus/targets"].name == "targets"


def test_alertmanager_accepts_its_configuration(
    project: dict[str, Any], tmp_path: Path
) -> None:
    root = laid_out(project, "alertmanager", tmp_path)

    amtool = shutil.which("amtool") or PROGRAMS / "amtool"
    done = run(amtool, "check-config", root / "etc/alertmanager/alertmanager.yml")

    assert done.returncode == 0, done.stderr


def test_grafana_finds_its_dashboards_and_prometheus(
    project: dict[str, Any], tmp_path: Path
) -> None:
    root = laid_out(project, "grafana", tmp_path)
    provisioning = root / "etc/grafana/provisioning"

    for file in (provisioning / "dashboards").glob("*.yml"):
        for provider in yaml.safe_load(file.read_text())["providers"]:
            folder = root / provider["options"]["path"].lstrip("/")
            assert list(folder.glob("*.json")), provider
    environment = project["services"]["grafana"]["environment"]
    for file in (provisioning / "datasources").glob("*.yml"):
        for source in yaml.safe_load(file.read_text())["datasources"]:
            assert source["url"].lstrip("$").strip("{}") in environment
    assert environment["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_the_reconciler_accepts_its_settings(
    project: dict[str, Any], tmp_path: Path
) -> None:
    root = laid_out(project, "reconciler", tmp_path)

    settings = load(root / "etc/reconciler/reconciler.yaml")

    assert settings.http.listen == "0.0.0.0:9876"
    secrets = [one["source"] for one in project["services"]["reconciler"]["secrets"]]
    assert settings.ssh.identity == Path("/run/secrets", *secrets)
    volumes = project["services"]["reconciler"]["volumes"]
    assert str(settings.state.path) in {mount["target"] for mount in volumes}


# --- the image -------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    done = run(PROGRAMS / "hadolint", CONTAINERFILE)

    assert (done.stdout, done.returncode) == ("", 0)


def test_hadolint_would_have_something_to_say(tmp_path: Path) -> None:
    bad = tmp_path / "Containerfile"
    bad.write_text("FROM debian\nRUN cd /tmp\n")

    assert run(PROGRAMS / "hadolint", bad).returncode != 0


def test_what_the_image_is_made_of_is_in_its_context(project: dict[str, Any]) -> None:
    build = project["services"]["reconciler"]["build"]
    assert Path(build["context"]) == ROOT
    assert ROOT / build["dockerfile"] == CONTAINERFILE
    copied = re.findall(
        r"^COPY (?!--)(.+) \S+$", CONTAINERFILE.read_text(), re.MULTILINE
    )
    names = " ".join(copied).split()
    ignored = (COMPOSE / "Containerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}

    assert ignored[0] == "*", "nothing gets in that is not named"
    for name in (one.removeprefix("./") for one in names):
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in allowed), name
