"""Health checks as Nix declares them, and what wrong ones are told."""

from typing import Any

import pytest

from reconciler.desired.checks import NAME_LIMIT, desired_checks
from reconciler.errors import EvaluationError
from reconciler.model import CheckKind, CheckSide, HealthCheck, HostName

KEANU = HostName("keanu")
COMMON = {"description": "", "from": "host", "period": 2, "timeout": 5, "within": 30}
ADDRESS = {**COMMON, "host": None, "port": 8080}


def http(**fields: object) -> dict[str, Any]:
    extra = {"scheme": "http", "path": "/", "headers": {}, "insecureSSL": False}
    return {**ADDRESS, **extra, "status": [], **fields}


def tcp(**fields: object) -> dict[str, Any]:
    return {**ADDRESS, **fields}


def command(*words: str, **fields: object) -> dict[str, Any]:
    return {**COMMON, "command": list(words), **fields}


def read(**facts: list[dict[str, Any]]) -> tuple[HealthCheck, ...]:
    return desired_checks(KEANU, {"http": [], "tcp": [], "command": [], **facts})


def problem(**facts: list[dict[str, Any]]) -> str:
    with pytest.raises(EvaluationError) as caught:
        read(**facts)
    assert caught.value.host == "keanu"
    return str(caught.value)


def test_each_kind_has_what_it_needs() -> None:
    checks = read(
        http=[
            http(
                **{"from": "reconciler"},
                description=" the web ",
                scheme="https",
                host="[::1]",
                path="/healthz?full",
                headers={"Host": "keanu"},
                insecureSSL=True,
                status=[204, 200, 200],
            )
        ],
        tcp=[tcp(period=0.5, timeout=0, within=60)],
        command=[command("/nix/store/x/bin/curl", "-f", "localhost")],
    )

    assert checks == (
        HealthCheck(
            kind=CheckKind.HTTP,
            side=CheckSide.RECONCILER,
            name="the web",
            host="::1",
            port=8080,
            scheme="https",
            path="/healthz?full",
            headers={"Host": "keanu"},
            insecure=True,
            status=(200, 204),
        ),
        HealthCheck(
            kind=CheckKind.TCP,
            side=CheckSide.HOST,
            name="tcp port 8080",
            period=0.5,
            timeout=0,
            within=60,
            port=8080,
        ),
        HealthCheck(
            kind=CheckKind.COMMAND,
            side=CheckSide.HOST,
            name="command curl -f localhost",
            command=("/nix/store/x/bin/curl", "-f", "localhost"),
        ),
    )


def test_a_header_is_not_shown_with_its_check() -> None:
    (check,) = read(http=[http(headers={"Authorization": "hunter2"})])

    assert "hunter2" not in repr(check)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"http": [http(path="/up")]}, "http :8080/up"),
        ({"http": [http(host="a.example")]}, "http a.example:8080/"),
        ({"http": [http(host="fd00::1")]}, "http [fd00::1]:8080/"),
        ({"tcp": [tcp(host="fd00::1")]}, "tcp [fd00::1]:8080"),
        ({"tcp": [tcp(description="mail\nin")]}, "mail in"),
        ({"command": [command("/bin/")]}, "command /bin/"),
        ({"command": [command("x" * 999)]}, ("command " + "x" * 999)[:NAME_LIMIT]),
    ],
)
def test_a_check_has_a_name_in_any_case(
    facts: dict[str, list[dict[str, Any]]], name: str
) -> None:
    (check,) = read(**facts)

    assert check.name == name


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"port": 0}, "port 0 is not 1 to 65535"),
        ({"port": 70000}, "port 70000 is not"),
        ({"host": "a b"}, "host 'a b' is no name"),
        ({"host": "a/b@c"}, "host 'a/b@c' is no name"),
        ({"host": "-a"}, "host '-a' is no name"),
        ({"host": "fe80::1%eth0"}, "is no name and no address"),
        ({"path": "up"}, "path 'up' must begin with a slash"),
        ({"path": "/a b"}, "path '/a b' must"),
        ({"path": "/ü"}, "write those as %20"),
        ({"headers": {"a b": "c"}}, "headers 'a b' is no name"),
        ({"headers": {"X": "secret\r\nY: z"}}, "headers X holds other than ASCII"),
        ({"status": [99]}, "status 99 is not 100 to 599"),
        ({"period": 0}, "period is 0, not 0.1 to 3600 seconds"),
        ({"timeout": -1}, "timeout is -1, not 0 to 3600 seconds"),
        ({"within": 1e9}, "within is 1e+09, not"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    fields: dict[str, object], said: str
) -> None:
    told = problem(http=[http(), http(**fields, description="the web")])

    assert told.startswith("deployment.healthChecks.http (number 2, 'the web'): ")
    assert said in told
    assert "secret" not in told


@pytest.mark.parametrize("words", [(), ("",), ("a", "b\0")])
def test_a_command_must_be_one(words: tuple[str, ...]) -> None:
    told = problem(command=[command(*words)])

    assert told.startswith("deployment.healthChecks.command (number 1): command ")
