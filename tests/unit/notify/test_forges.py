"""What an answer of a forge means; the requests themselves are tested over HTTP."""

import pytest

from reconciler.messages import Mark, MarkState
from reconciler.model import CommitId, HostName
from reconciler.notify.forges import AT_MOST, Answer, Result, fitted, request_of
from reconciler.notify.forges import result_of as forge_result
from reconciler.settings import StatusTarget

TOKEN = "tok-5eb63bbbe01eeed0"  # noqa: S105 -- of nothing
NOW = 1_700_000_000.0


def result(status: int, text: str = "", **headers: str) -> Result:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Answer(status=status, headers=named, text=text)
    return forge_result(answer, token=TOKEN, now=NOW)


def test_any_2xx_is_acceptance() -> None:
    assert result(201).accepted
    assert result(200).accepted


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 422])
def test_a_refusal_lasts_and_is_explained(status: int) -> None:
    refused = result(status, '{"message": "Bad credentials"}')

    assert refused.lasting
    assert not refused.accepted
    assert f"HTTP status {status}: Bad credentials" in refused.error


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_trouble_passes(status: int) -> None:
    assert not result(status).lasting
    assert not result(status).accepted


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"retry_after": "7"}, 7.0),
        (503, {"retry_after": "120"}, 120.0),
        (503, {}, 0.0),
        (429, {}, 60.0),
        (429, {"retry_after": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60.0),
        (429, {"retry_after": "soon"}, 60.0),
        (429, {"retry_after": "-5"}, 0.0),
        (429, {"retry_after": "1e999"}, 60.0),
        (429, {"retry_after": "999999999"}, AT_MOST),
        (
            403,
            {"x_ratelimit_remaining": "0", "x_ratelimit_reset": str(int(NOW) + 30)},
            30.0,
        ),
        (403, {"retry_after": "11"}, 11.0),
    ],
)
def test_a_forge_that_asks_us_to_wait(
    status: int, headers: dict[str, str], wait: float
) -> None:
    found = result(status, **headers)

    assert found.wait == wait
    assert not found.lasting


def test_githubs_secondary_limit_comes_as_403_without_headers() -> None:
    found = result(403, '{"message": "You have exceeded a secondary rate limit."}')

    assert (found.lasting, found.wait) == (False, 60.0)


def test_gitlab_refuses_a_state_that_it_has_already() -> None:
    text = """{"message": "Cannot transition status via :enqueue from :pending"}"""

    assert result(400, text).accepted
    assert result(400, '{"message": "name is invalid"}').lasting


@pytest.mark.parametrize(
    "text", ["", "<html>no</html>", "[1]", '{"message": {"name": ["is bad"]}}', "{}"]
)
def test_answers_of_any_shape_are_survived(text: str) -> None:
    assert "HTTP status 422" in result(422, text).error


def test_a_forge_that_repeats_the_token_does_not_bring_it_into_an_error() -> None:
    error = result(401, f'{{"message": "bad token {TOKEN}"}}').error

    assert TOKEN not in error
    assert "bad token …" in error


def test_long_texts_are_cut_to_what_the_forge_takes() -> None:
    assert fitted("x" * 140, 140) == "x" * 140
    assert fitted("x" * 141, 140) == "x" * 139 + "…"


def test_a_link_is_safe_whatever_a_host_is_called() -> None:
    target = StatusTarget.model_validate(
        {
            "provider": "github",
            "repository": "me/nixos-configs",
            "token_file": "/token",
            "link": "https://r.example.org/$host/$attempt?c=$commit",
        }
    )
    mark = Mark(
        commit=CommitId("a" * 40),
        state=MarkState.FAILURE,
        text="x",
        hosts=(HostName("lu/fta?"),),
    )

    found = request_of(target, mark, TOKEN).body["target_url"]

    assert found == f"https://r.example.org/lu%2Ffta%3F/?c={'a' * 40}"


@pytest.mark.parametrize(
    ("provider", "states"),
    [
        ("github", ["pending", "success", "failure", "error", "pending"]),
        ("forgejo", ["pending", "success", "failure", "error", "pending"]),
        ("gitlab", ["pending", "success", "failed", "failed", "canceled"]),
    ],
)
def test_each_forge_has_its_own_words(provider: str, states: list[str]) -> None:
    target = StatusTarget.model_validate(
        {
            "provider": provider,
            "url": "https://git.example.org",
            "repository": "me/nixos-configs",
            "token_file": "/token",
        }
    )
    marks = [
        Mark(commit=CommitId("a" * 40), state=state, text="x") for state in MarkState
    ]

    sent = [request_of(target, mark, TOKEN).body["state"] for mark in marks]

    assert sent == states
