"""
The API over a scene: a daemon that runs, over TCP and over its own socket.

    with api_server(scene, tmp_path) as api:
        assert api.get("/status", by="viewer").json()["healthy"]
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from reconciler.loop.daemon import Daemon
from reconciler.settings import ApiSettings
from reconciler.web import Server, create_app
from reconciler.web.api import Access, Door, Parts
from reconciler.web.limiter import Limiter
from reconciler.web.webhooks import Doorbell, Receiver, Routes, Seen
from tests.support.hooks import web_settings
from tests.support.scene import Scene

DEADLINE = 60.0  # seconds
TOKENS = {"viewer": "v" * 32, "operator": "o" * 32}


@dataclass(kw_only=True)
class Api:
    """Asks the API, as somebody whom it knows or does not."""

    server: Server
    scene: Scene
    daemon: Daemon
    door: Door
    socket: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=DEADLINE))

    @property
    def address(self) -> str:
        """Where it is served over TCP."""
        host, port = self.server.address
        return f"http://{host}:{port}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        by: str | None = None,
        **options: Any,  # noqa: ANN401 -- of httpx
    ) -> httpx.Response:
        """Ask with the token of the role *by*, or *by* itself, or none."""
        headers = dict(options.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {TOKENS.get(by, by)}"
        url = f"{self.address}/api/v1{path}"
        return self.client.request(method, url, headers=headers, **options)

    def get(self, path: str, *, by: str | None = "viewer") -> httpx.Response:
        """Look at *path*."""
        return self.ask("GET", path, by=by)

    def post(
        self, path: str, json: object = None, *, by: str | None = "operator"
    ) -> httpx.Response:
        """Order something."""
        return self.ask("POST", path, by=by, json=json)

    def local(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 -- of httpx
        """Ask over the socket, without a token."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        with httpx.Client(transport=transport, timeout=DEADLINE) as client:
            return client.request(method, f"http://local/api/v1{path}", **options)

    def events(self) -> list[tuple[str, str | None, str, str]]:
        """Return kind, host, actor and text of all events, oldest first."""
        return [
            (event.kind, event.host, event.actor, event.text)
            for event in reversed(self.scene.history.events(limit=1000))
        ]


def api_settings(folder: Path, **more: object) -> ApiSettings:
    """Return settings with a token for each role."""
    for role, token in TOKENS.items():
        file = folder / f"{role}-token"
        file.write_text(f"{token}\n")
        file.chmod(0o600)
    tokens = [
        {"name": f"the-{role}", "role": role, "file": str(folder / f"{role}-token")}
        for role in TOKENS
    ]
    return ApiSettings.model_validate({"tokens": tokens, **more})


@contextlib.contextmanager
def api_server(
    scene: Scene, folder: Path, *, start: bool = True, **settings: object
) -> Iterator[Api]:
    """Run a daemon over *scene*, and serve its API; *settings* of the section `api`."""
    daemon = Daemon(scene.world)
    metrics = scene.metrics
    access = Access(api_settings(folder, **settings))
    # A clock that stands still: what is limited stays so, on a slow machine too.
    door = Door(access, Limiter(lambda: 0.0), metrics.api)
    parts = Parts(daemon=daemon, history=scene.history, now=scene.world.now)
    app = create_app(
        metrics,
        daemon.problem,
        webhooks=_webhooks(scene, daemon, folder),
        api=(parts, door),
    )
    socket = folder / "api.sock"
    server = Server(app, listen="127.0.0.1:0", local=socket)
    server.start()
    if start:
        daemon.start()
    api = Api(server=server, scene=scene, daemon=daemon, door=door, socket=socket)
    try:
        yield api
    finally:
        api.client.close()
        daemon.shut()
        assert daemon.join(DEADLINE)
        server.stop()


def _webhooks(scene: Scene, daemon: Daemon, folder: Path) -> Receiver:
    secret = folder / "hook-secret"
    secret.write_text("a secret of webhooks\n")
    secret.chmod(0o600)
    routes = {"push": {"provider": "github", "secret_file": str(secret)}}
    return Receiver(
        routes=Routes(web_settings(routes)),
        limiter=Limiter(lambda: 0.0, burst=10**9),
        seen=Seen(scene.history.deliveries),
        bell=Doorbell(daemon.look_again),
        metrics=scene.metrics.webhooks,
        now=scene.world.now,
    )
