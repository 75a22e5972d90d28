"""Keys as Nix declares them, and what wrong ones are told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.keys import NAME_LIMIT, desired_keys
from reconciler.errors import EvaluationError
from reconciler.model import DesiredKey, HostName, KeyOrigin

KEANU = HostName("keanu")
CHECKOUT = Path("/state/checkouts/c/source")


def fact(path: str = "/run/keys/bot", **fields: object) -> dict[str, Any]:
    return {
        "path": path,
        "source": "text",
        "keyFile": None,
        "keyCommand": None,
        "user": "root",
        "group": "root",
        "permissions": "0600",
        "uploadAt": "pre-activation",
        "restartUnits": [],
        **fields,
    }


def read(**facts: dict[str, Any]) -> dict[str, DesiredKey]:
    return desired_keys(KEANU, facts, (CHECKOUT,))


def problem(**facts: dict[str, Any]) -> str:
    with pytest.raises(EvaluationError) as caught:
        read(**facts)
    assert caught.value.host == "keanu"
    return str(caught.value)


@pytest.mark.parametrize(
    ("declared", "file"),
    [
        (f"{CHECKOUT}/common/bot.age", "common/bot.age"),
        ("/var/lib/bot", "/var/lib/bot"),
        ("/state/checkouts/c/source-2/bot", "/state/checkouts/c/source-2/bot"),
    ],
)
def test_a_file_of_the_repository_is_the_same_in_every_checkout(
    declared: str, file: str
) -> None:
    (key,) = read(bot=fact(source="keyFile", keyFile=declared)).values()

    assert (key.origin, key.file) == (KeyOrigin.FILE, file)


@pytest.mark.parametrize(
    ("text", "mode"), [("0600", 0o600), ("440", 0o440), ("000", 0)]
)
def test_permissions_are_octal(text: str, mode: int) -> None:
    assert read(bot=fact(permissions=text))["bot"].mode == mode


@pytest.mark.parametrize(
    "text", ["", "u=r", "0800", "00600", "6", "\u0660600", "0600\n"]
)
def test_other_permissions_are_refused(text: str) -> None:
    assert "deployment.keys.bot: permissions" in problem(bot=fact(permissions=text))


@pytest.mark.parametrize("field", ["user", "group"])
@pytest.mark.parametrize("text", ["", "-x", "a:b", "a b", "a\nb", "a/b", "x" * 99])
def test_what_chown_would_misread_is_refused(field: str, text: str) -> None:
    assert f"deployment.keys.bot: {field} " in problem(bot=fact(**{field: text}))


def test_units_get_the_suffix_that_people_leave_out() -> None:
    key = read(bot=fact(restartUnits=["bot", "a.socket", "v1.2"]))["bot"]

    assert key.restart_units == ("bot.service", "a.socket", "v1.2.service")
    assert "restartUnits" in problem(bot=fact(restartUnits=["a; reboot"]))


@pytest.mark.parametrize(
    "path",
    [
        "/run/keys/",
        "/run/keys/.",
        "/run/keys/..",
        "/run/../keys/a",
        "run/keys/a",
        "/run/keys/a\nb",
        "/run/keys/a\0b",
        f"/run/keys/{'ü' * NAME_LIMIT}",
        "/",
    ],
)
def test_a_path_that_is_none_is_refused_on_one_line(path: str) -> None:
    said = problem(bot=fact(path))

    assert said.startswith("deployment.keys.bot: the path ")
    assert said.isprintable()


@given(st.text())
def test_a_path_that_is_taken_is_plain(path: str) -> None:
    try:
        (key,) = read(bot=fact(f"/{path}")).values()
    except EvaluationError:
        return

    assert key.path.startswith("/")
    assert not {"", ".", ".."} & set(key.path.split("/")[1:])
    assert "\n" not in key.path


def test_two_keys_with_one_path_are_both_named() -> None:
    said = problem(a=fact("/run/keys/x"), b=fact("/run/keys//./x"))

    assert said == "deployment.keys.b: /run/keys/x is also the path of a"


def test_a_key_inside_another_is_refused() -> None:
    said = problem(a=fact("/run/keys/x/y"), b=fact("/run/keys/x"))

    assert "/run/keys/x/y is inside /run/keys/x, the path of b" in said
