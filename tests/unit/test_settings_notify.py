"""Settings of who is told: what is wrong with them, and that no secret is shown."""

from pathlib import Path

import pytest

from tests.unit.test_settings import loaded, problem

TARGETS = "repository: {url: /r}\nnotify: {targets: ["
GIT = "repository: {url: /r}\nstatuses: "
FORGE = "provider: github, repository: me/x, token_file: /t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TARGETS + "{name: a}]}", "notify.targets[0]: needs either `url` or"),
        (
            TARGETS + "{name: a, url: 'json://x', url_file: /f}]}",
            "notify.targets[0]: needs either `url` or `url_file`",
        ),
        (
            TARGETS + "{name: a, url: 'json://x', title: $hots}]}",
            "notify.targets[0].title: $hots is no field; there are: $summary",
        ),
        (
            TARGETS + "{name: a, url: 'json://x', body: [$details, 5 $]}]}",
            "notify.targets[0].body[1]: what stands there has a $ that begins no field",
        ),
        (
            TARGETS + "{name: a, url: 'json://x', events: [drfit]}]}",
            "notify.targets[0].events[0]: should be deployed, healed,",
        ),
        (
            TARGETS + "{name: a, url: 'json://x', evnts: [drift]}]}",
            "notify.targets[0].evnts: is no setting; did you mean events?",
        ),
        (
            TARGETS + "{name: a, url: 'json://x'}, {name: a, url: 'json://y'}]}",
            "notify: has two targets of the same name: a",
        ),
        (
            TARGETS + "{name: a, url: 'json://x', hosts: ['@']}]}",
            "notify.targets[0].hosts[0]: '' is no host name",
        ),
        ("repository: {url: /r}\nnotify: {flap: {changes: 1}}", "should be at least 2"),
        (
            "repository: {url: /r}\nnotify: {flap: {chnages: 3}}",
            "notify.flap.chnages: is no setting; did you mean changes?",
        ),
        (
            GIT + "{provider: gitea, repository: me/x, token_file: /t}",
            "statuses[0]: needs `url`",
        ),
        (
            "repository: {url: /r}\nstatuses: {" + FORGE + ", link: 'x://$commit'}",
            "statuses[0].link: what stands there is no link",
        ),
        (
            "repository: {url: /r}\nstatuses: {" + FORGE + ", link: 'https://x/$id'}",
            "statuses[0].link: $id is no field; there are: $commit, $host, $attempt",
        ),
        (
            "repository: {url: /r}\nstatuses: {" + FORGE + ", url: 'https://u:p@x'}",
            "statuses[0].url: is more than an address",
        ),
        (
            "repository: {url: /r}\nstatuses: [{" + FORGE + "}, {" + FORGE + "}]",
            "has two targets of the same name: github me/x reconciler",
        ),
        (
            GIT + "{provider: github, repository: x/.., token_file: /t}",
            "statuses[0].repository: what stands there is no repository",
        ),
    ],
)
def test_what_is_wrong_with_a_target_is_said(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert expected in problem(tmp_path, text)


@pytest.mark.parametrize(
    "value", ["S3cr3tToken", "'json: S3cr3tToken'", "'json://a b/S3cr3tToken'"]
)
def test_a_url_is_not_quoted_in_an_error(tmp_path: Path, value: str) -> None:
    told = problem(tmp_path, TARGETS + "{name: a, url: " + value + "}]}")

    assert "is no URL as Apprise takes them" in told
    assert "S3cr3t" not in told


def test_settings_do_not_show_a_url(tmp_path: Path) -> None:
    settings = loaded(tmp_path, TARGETS + "{name: a, url: 'json://x/S3cr3tToken'}]}")

    assert "S3cr3t" not in repr(settings)
    assert "S3cr3t" not in str(settings.model_dump(mode="json"))
