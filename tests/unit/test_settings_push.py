"""What is refused of where metrics are pushed to."""

from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.settings import PushSettings, load
from reconciler.settings.private import private_paths

MINIMAL = "repository: {url: /srv/repo.git}\n"
URL = "url: 'https://push.example.org/'"


def read(folder: Path, push: str) -> PushSettings:
    file = folder / "x.yaml"
    file.write_text(f"{MINIMAL}metrics: {{push: {{{push}}}}}\n")
    settings = load(file)
    if secret := settings.metrics.push.secret_file:
        assert secret in private_paths(settings)
    return settings.metrics.push


def test_a_pushgateway_and_a_login(tmp_path: Path) -> None:
    push = read(tmp_path, f"{URL}, interval: 2m, user: me, secret_file: pass")

    assert push.url == "https://push.example.org"
    assert push.interval == 120
    assert push.secret_file == tmp_path / "pass"


@pytest.mark.parametrize(
    ("push", "told"),
    [
        ("url: 'push.example.org:9091'", "push.url: is no address of a Pushgateway"),
        ("url: 'ftp://push.example.org'", "push.url: is no address of a Pushgateway"),
        ("url: 'https://me:no@push.example.org'", "push.url: is more than an address"),
        ("url: 'https://push.example.org/?a=b'", "push.url: is more than an address"),
        ("url: 'http://host/metrics/job/x'", "push.url: goes on with /metrics"),
        (f"{URL}, interval: 0", "push.interval: "),
        (f"{URL}, job: ' '", "push.job: must have at least one character"),
        (f"{URL}, user: me", "push: `secret_file` is missing"),
        ("secret_file: /pass", "push: `url` is missing"),
        ("instance: laptop", "push: `url` is missing"),
    ],
)
def test_what_is_no_place_to_push_to(tmp_path: Path, push: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, push)

    assert f"metrics.{told}" in str(refused.value)
    assert "me:no" not in str(refused.value)
