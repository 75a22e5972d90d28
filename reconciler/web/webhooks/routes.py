"""Which routes there are, and the secrets of each."""

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.settings import SOURCEHUT_KEY, Sender, WebhookSettings
from reconciler.web.secret_file import SecretFiles, accept_any
from reconciler.web.webhooks.verify import SIGNING_KEY, signing_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way in."""

    name: str
    provider: Sender
    secrets: Callable[[], list[bytes]]  # as the files have them now
    real: bool = True


class Routes:
    """
    The routes that the settings name.

    Whoever asks for another one gets a decoy, whose secret nobody has: it takes as
    long and answers the same as a real one with a wrong signature.
    """

    def __init__(self, settings: Mapping[str, WebhookSettings]) -> None:
        """Read every secret. Raises SettingsError naming the setting and the file."""
        self._routes = {name: _route(name, each) for name, each in settings.items()}
        nobody_has_it = secrets.token_bytes(32)
        self._decoy = Route(
            name="?",
            provider=Sender.GITHUB,
            secrets=lambda: [nobody_has_it],
            real=False,
        )

    def find(self, name: str) -> Route:
        """Return the route *name*, or the decoy."""
        return self._routes.get(name, self._decoy)

    @property
    def providers(self) -> set[Sender]:
        """The providers that there are routes for."""
        return {route.provider for route in self._routes.values()}


def _route(name: str, settings: WebhookSettings) -> Route:
    if settings.provider is Sender.SOURCEHUT:
        key = base64.b64decode(settings.public_key or SOURCEHUT_KEY)
        return Route(name=name, provider=settings.provider, secrets=lambda: [key])
    setting = f"webhooks.{name}.secret_file"
    gitlab = settings.provider is Sender.GITLAB
    check = _wrong_with_signing_key if gitlab else accept_any
    files = SecretFiles(setting, settings.secret_file, check)
    return Route(name=name, provider=settings.provider, secrets=files.current)


def _wrong_with_signing_key(secret: bytes) -> str:
    if secret.startswith(SIGNING_KEY):
        try:
            signing_key(secret)
        except ValueError:
            return "is no signing token: whsec_ and Base64"
    return ""
