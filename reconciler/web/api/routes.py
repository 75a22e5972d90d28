"""``/api/v1``: the routes together, and which error is which answer."""

from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer

from reconciler.errors import (
    ReconcilerError,
    StateError,
    StoppingError,
    UnknownAttemptError,
    UnknownCommitError,
    UnknownGenerationError,
    UnknownHostError,
)
from reconciler.web.api import ordering, reading
from reconciler.web.api.door import Door
from reconciler.web.api.gate import PREFIX, Gate
from reconciler.web.api.parts import Parts
from reconciler.web.api.shapes import ProblemShape

_PROBLEM = {"model": ProblemShape}
_RESPONSES: dict[int | str, dict[str, object]] = {
    400: {**_PROBLEM, "description": "a body that cannot be read"},
    401: {**_PROBLEM, "description": "no token that we know"},
    403: {**_PROBLEM, "description": "a viewer may look only"},
    404: {**_PROBLEM, "description": "no such host, attempt, commit or token"},
    409: {**_PROBLEM, "description": "not possible just now; says why"},
    413: {**_PROBLEM, "description": "the body is too large"},
    429: {**_PROBLEM, "description": "too much; see Retry-After"},
    503: {**_PROBLEM, "description": "the database cannot be used; see Retry-After"},
}


def install(app: FastAPI, parts: Parts, door: Door) -> None:
    """Add the API to *app*, for those whom *door* lets in."""
    # For the description only: the gate has looked at the token long before.
    described = [Security(HTTPBearer(auto_error=False))]
    routes = APIRouter(
        prefix=f"{PREFIX}v1",
        tags=["api"],
        dependencies=described,
        responses=_RESPONSES,
    )
    # Not routers of their own: FastAPI works out each route anew where one is included.
    reading.add_to(routes, parts)
    ordering.add_to(routes, parts)
    app.include_router(routes)
    app.add_exception_handler(ReconcilerError, _answer)
    app.add_exception_handler(RequestValidationError, _explain)
    app.add_middleware(Gate, door=door)


async def _answer(_request: Request, error: Exception) -> JSONResponse:
    """Tell a known error; none of them quotes a secret."""
    headers: dict[str, str] = {}
    match error:
        case (
            UnknownHostError()
            | UnknownAttemptError()
            | UnknownGenerationError()
            | UnknownCommitError()
        ):
            status = HTTPStatus.NOT_FOUND
        case StateError() | StoppingError():
            status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}
        case _:
            status = HTTPStatus.CONFLICT
    return JSONResponse({"detail": str(error)}, status, headers)


async def _explain(_request: Request, error: Exception) -> JSONResponse:
    """Tell what is wrong with a request, without repeating what it said."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    detail = [{key: each[key] for key in ("type", "loc", "msg")} for each in found]
    content = {"detail": detail}
    return JSONResponse(content, HTTPStatus.UNPROCESSABLE_ENTITY)
