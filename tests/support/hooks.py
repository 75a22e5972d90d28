"""
Webhooks as forges send them, and a server that takes them.

    with hooks_server(tmp_path, {"push": "github"}) as hooks:
        assert hooks.post("push", github(b"{}")).status_code == 202
        assert hooks.rings == 1
"""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reconciler.history import History
from reconciler.metrics import Metrics
from reconciler.settings import Sender, WebhookSettings
from reconciler.web import Server, create_app
from reconciler.web.limiter import Limiter
from reconciler.web.webhooks import Doorbell, Receiver, Routes, Seen

SHARED = "It's a Secret to Everybody"
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SOURCEHUT = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
NOW = 1614265330.0  # seconds since the epoch; that of Standard Webhooks' own test
DEADLINE = 60.0  # seconds

Headers = dict[str, str]
Signed = tuple[bytes, Headers]  # a body and its headers


def hexmac(body: bytes, key: str = SHARED, algorithm: str = "sha256") -> str:
    """Return the HMAC of *body* in hexadecimal digits."""
    return hmac.new(key.encode(), body, algorithm).hexdigest()


def github(body: bytes, *, key: str = SHARED, event: str = "push") -> Signed:
    """Sign as GitHub does, all its headers with it."""
    return body, {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": DELIVERY,
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "79929171",
        "X-GitHub-Hook-Installation-Target-Type": "repository",
        "X-Hub-Signature": f"sha1={hexmac(body, key, 'sha1')}",
        "X-Hub-Signature-256": f"sha256={hexmac(body, key)}",
    }


def gogs(body: bytes, *, key: str = SHARED, event: str = "push") -> Signed:
    """Sign as Gogs does."""
    return body, {
        "Content-Type": "application/json",
        "X-Gogs-Delivery": DELIVERY,
        "X-Gogs-Event": event,
        "X-Gogs-Signature": hexmac(body, key),
    }


def gitea(body: bytes, *, key: str = SHARED, event: str = "push") -> Signed:
    """Sign as Gitea does, which also sends what Gogs and GitHub send."""
    return body, {
        **github(body, key=key, event=event)[1],
        **gogs(body, key=key, event=event)[1],
        "User-Agent": "Go-http-client/1.1",
        "X-Gitea-Delivery": DELIVERY,
        "X-Gitea-Event": event,
        "X-Gitea-Event-Type": event,
        "X-Gitea-Signature": hexmac(body, key),
    }


def forgejo(body: bytes, *, key: str = SHARED, event: str = "push") -> Signed:
    """Sign as Forgejo does, which also sends what Gitea sends."""
    return body, {
        **gitea(body, key=key, event=event)[1],
        "X-Forgejo-Delivery": DELIVERY,
        "X-Forgejo-Event": event,
        "X-Forgejo-Event-Type": event,
        "X-Forgejo-Signature": hexmac(body, key),
    }


def gitlab(body: bytes, *, key: str = SHARED, event: str = "Push Hook") -> Signed:
    """Send as GitLab does, the secret itself in a header."""
    return body, {
        "Content-Type": "application/json",
        "Idempotency-Key": DELIVERY,
        "User-Agent": "GitLab/17.5.0",
        "X-Gitlab-Event": event,
        "X-Gitlab-Event-UUID": "13792a34-cac6-4fda-95a8-c58e00a3954e",
        "X-Gitlab-Instance": "https://gitlab.example.org",
        "X-Gitlab-Token": key,
        "X-Gitlab-Webhook-UUID": "02affd2d-2cba-4033-917d-ec22d5dc4b38",
    }


def standard(
    body: bytes, *, key: str = SIGNING, at: float = NOW, name: str = DELIVERY
) -> Signed:
    """Sign by Standard Webhooks, as GitLab's signing tokens do."""
    raw = base64.b64decode(key.removeprefix("whsec_"))
    signed = b"%s.%d.%s" % (name.encode(), at, body)
    signature = base64.b64encode(hmac.digest(raw, signed, hashlib.sha256)).decode()
    return body, {
        "Content-Type": "application/json",
        "Webhook-Id": name,
        "Webhook-Signature": f"v1,{signature}",
        "Webhook-Timestamp": f"{at:.0f}",
        "X-Gitlab-Event": "Push Hook",
    }


def bitbucket(body: bytes, *, key: str = SHARED, event: str = "repo:push") -> Signed:
    """Sign as Bitbucket does, in the cloud."""
    return body, {
        "Content-Type": "application/json",
        "X-Attempt-Number": "1",
        "X-Event-Key": event,
        "X-Hub-Signature": f"sha256={hexmac(body, key)}",
        "X-Request-UUID": DELIVERY,
    }


def sourcehut(body: bytes, *, nonce: str = "2f3a9c0c5f3b4a1e") -> Signed:
    """Sign as sourcehut does, with a key of our own."""
    signature = SOURCEHUT.sign(body + nonce.encode())
    return body, {
        "Content-Type": "application/json",
        "X-Payload-Nonce": nonce,
        "X-Payload-Signature": base64.b64encode(signature).decode(),
        "X-Webhook-Delivery": DELIVERY,
        "X-Webhook-Event": "repo:post-update",
    }


def generic(body: bytes, *, key: str = SHARED, algorithm: str = "sha256") -> Signed:
    """Sign as our post-receive hook does."""
    signature = hexmac(body, key, algorithm)
    return body, {"X-Signature": f"{algorithm}={signature}"}


SENDERS = {
    Sender.GITHUB: github,
    Sender.GITEA: gitea,
    Sender.FORGEJO: forgejo,
    Sender.GOGS: gogs,
    Sender.GITLAB: gitlab,
    Sender.BITBUCKET: bitbucket,
    Sender.SOURCEHUT: sourcehut,
    Sender.GENERIC: generic,
}
"""How each forge sends a push; GitLab's other way is `standard`."""


@dataclass(kw_only=True)
class Hooks:
    """A server with routes, each named after its provider unless a test says else."""

    server: Server
    receiver: Receiver
    metrics: Metrics
    history: History
    secret: Path  # the file of `SHARED`
    clock: list[float] = field(default_factory=lambda: [NOW])
    rung: list[float] = field(default_factory=list)  # by the monotonic clock
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=DEADLINE))

    @property
    def rings(self) -> int:
        """How often the repository would have been looked at."""
        return len(self.rung)

    def url(self, path: str) -> str:
        """Return the address of *path*."""
        host, port = self.server.address
        return f"http://{host}:{port}{path}"

    def post(self, name: str, signed: Signed, **headers: str) -> httpx.Response:
        """Deliver to the route *name*; more *headers* replace those of that name."""
        body, sent = signed
        more = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.client.post(
            self.url(f"/hooks/{name}"), content=body, headers={**sent, **more}
        )

    def count(self, provider: str, result: str) -> float:
        """Return how many deliveries are counted so."""
        label = f'{{provider="{provider}",result="{result}"}}'
        return metric(self.metrics, f"reconciler_webhook_requests_total{label}")

    def counted(self) -> dict[str, float]:
        """Return how many deliveries ended how, of all providers together."""
        found: dict[str, float] = {}
        for line in _lines(self.metrics):
            if line.startswith("reconciler_webhook_requests_total{"):
                series, _, value = line.rpartition(" ")
                result = series.split('result="')[1].removesuffix('"}')
                found[result] = found.get(result, 0.0) + float(value)
        return {result: value for result, value in found.items() if value}


def metric(metrics: Metrics, series: str) -> float:
    """Return the value of *series*, which must be there."""
    for line in _lines(metrics):
        name, _, value = line.rpartition(" ")
        if name == series:
            return float(value)
    msg = f"there is no series {series}"
    raise AssertionError(msg)


def _lines(metrics: Metrics) -> list[str]:
    return metrics.render()[0].decode().splitlines()


def all_routes(folder: Path) -> dict[str, dict[str, Any]]:
    """Return settings with a route for each provider, under its name."""
    secret, signing = folder / "secret", folder / "signing-secret"
    secret.write_text(f"{SHARED}\n")
    signing.write_text(SIGNING)
    for file in (secret, signing):
        file.chmod(0o600)
    routes: dict[str, dict[str, Any]] = {
        each.value: {"provider": each.value, "secret_file": str(secret)}
        for each in Sender
    }
    public = base64.b64encode(SOURCEHUT.public_key().public_bytes_raw()).decode()
    routes["sourcehut"] = {"provider": "sourcehut", "public_key": public}
    routes["standard"] = {"provider": "gitlab", "secret_file": str(signing)}
    return routes


def web_settings(routes: Mapping[str, object]) -> dict[str, WebhookSettings]:
    """Return *routes* as the settings have them."""
    return {name: WebhookSettings.model_validate(each) for name, each in routes.items()}


@contextlib.contextmanager
def hooks_server(
    folder: Path,
    routes: Mapping[str, object] | None = None,
    *,
    proxies: Sequence[str] = (),
) -> Iterator[Hooks]:
    """
    Serve webhooks on a free port, over a history in *folder*.

    Each ring counts, however soon it follows another one; who is limited stays so.
    """
    history, metrics = History.open(folder / "history.sqlite"), Metrics()
    clock, rung = [NOW], list[float]()
    receiver = Receiver(
        routes=Routes(web_settings(routes or all_routes(folder))),
        limiter=Limiter(lambda: 0.0),
        seen=Seen(history.deliveries),
        bell=Doorbell(lambda: rung.append(time.monotonic()), quiet=0.0),
        metrics=metrics.webhooks,
        now=lambda: clock[0],
    )
    app = create_app(metrics, str, webhooks=receiver)
    server = Server(app, listen="127.0.0.1:0", proxies=proxies)
    server.start()
    hooks = Hooks(
        server=server,
        receiver=receiver,
        metrics=metrics,
        history=history,
        secret=folder / "secret",
        clock=clock,
        rung=rung,
    )
    try:
        yield hooks
    finally:
        hooks.client.close()
        server.stop()
        receiver.close()
        history.close()


def in_threads(count: int, act: Any) -> None:  # noqa: ANN401 -- takes its number
    """Run *act* in *count* threads at once, each with its number; wait for all."""
    threads = [threading.Thread(target=act, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def dumps(payload: object) -> bytes:
    """Return *payload* as JSON."""
    return json.dumps(payload).encode()
