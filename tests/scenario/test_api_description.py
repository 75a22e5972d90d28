"""Whatever may be sent by the description of the API, the server stands it."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.api import DEADLINE, TOKENS, Api, api_server
from tests.support.budget import examples
from tests.support.scene import Scene
from tests.support.wait import wait_until

EXAMPLES = examples(12)  # of each operation, right and wrong ones
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
TAKE_ANYTHING = [  # so nothing can be wrong
    *("GET /", "GET /healthz", "GET /metrics", "POST /hooks/{name}"),
]
OPERATIONS = [
    *("GET /api/v1/status", "GET /api/v1/hosts"),
    "GET /api/v1/commits/{commit}",
    "GET /api/v1/hosts/{host}",
    *("POST /api/v1/hosts/{host}/plan", "GET /api/v1/attempts"),
    *("GET /api/v1/attempts/{attempt}", "GET /api/v1/attempts/{attempt}/log"),
    *("GET /api/v1/events", "POST /api/v1/sync", "GET /api/v1/sync/{token}"),
    *("POST /api/v1/hosts/{host}/hold", "POST /api/v1/hosts/{host}/release"),
    *("POST /api/v1/hosts/{host}/retry", "POST /api/v1/hosts/{host}/rollback"),
    "POST /api/v1/hosts/{host}/adopt",
    *("POST /api/v1/hosts/{host}/approve", "POST /api/v1/commits/{commit}/approve"),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    scene = Scene(folder / "scene", interval=30.0)
    scene.push({"lufta": {"withinbot.service": "1"}})
    with api_server(scene, folder) as api:
        wait_until(
            lambda: api.get("/status").json()["in_sync"] == 1, DEADLINE, "the host"
        )
        yield api
    scene.close()


@pytest.fixture(scope="module")
def operations(api: Api) -> dict[str, Any]:
    description = api.client.get(f"{api.address}/openapi.json").json()
    schema = openapi.from_dict(description)
    found = [result.ok() for result in schema.get_all_operations()]
    return {one.label: one for one in found}


def test_every_operation_is_tried(operations: dict[str, Any]) -> None:
    assert sorted(operations) == sorted([*TAKE_ANYTHING, *OPERATIONS])


RIGHT, WRONG = GenerationMode.POSITIVE, GenerationMode.NEGATIVE


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        *((label, RIGHT) for label in [*TAKE_ANYTHING, *OPERATIONS]),
        *((label, WRONG) for label in OPERATIONS),
    ],
)
def test_nothing_makes_it_fail(
    api: Api, operations: dict[str, Any], label: str, mode: GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {TOKENS['operator']}"}

    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operations[label].as_strategy(mode))
    def send(case: Case) -> None:
        case.call_and_validate(base_url=api.address, headers=headers, checks=CHECKS)

    send()
