"""The sections that say what is served, and to whom."""

import enum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, field_validator, model_validator

from reconciler.settings.types import (
    SECTION,
    FilePath,
    Flag,
    GatewayUrl,
    LabelValue,
    Listen,
    Proxy,
    PublicKey,
    SomeSeconds,
    TokenName,
    User,
    list_of_one,
    or_empty,
    or_empty_list,
)


class _Section(BaseModel):
    model_config = SECTION


class HttpSettings(_Section):
    """Where metrics, health, webhooks and the API are served."""

    listen: Listen = "127.0.0.1:9876"
    proxies: Annotated[tuple[Proxy, ...], BeforeValidator(list_of_one)] = ()


class PushSettings(_Section):
    """The Pushgateway that metrics are pushed to, and as what."""

    url: GatewayUrl | None = None  # None: they are only served
    interval: SomeSeconds = 60.0
    job: LabelValue = "reconciler"
    instance: LabelValue | None = None  # None: the name of this machine
    user: User | None = None
    secret_file: FilePath | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.url is None and (self.instance or self.user or self.secret_file):
            message = "`url` is missing: where is the Pushgateway?"
            raise ValueError(message)
        if self.user is not None and self.secret_file is None:
            message = "`secret_file` is missing: `user` needs a password"
            raise ValueError(message)
        return self


class MetricsSettings(_Section):
    """Where metrics are sent to, besides being served."""

    push: Annotated[PushSettings, BeforeValidator(or_empty)] = PushSettings()


class Sender(enum.Enum):
    """Who sends a webhook, and so how it is signed."""

    GITHUB = "github"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    GOGS = "gogs"
    GITLAB = "gitlab"
    BITBUCKET = "bitbucket"
    SOURCEHUT = "sourcehut"
    GENERIC = "generic"


SOURCEHUT_KEY = "uX7KWyyDNMaBma4aVbJ/cbUQpdjqczuCyK/HxzV/u+4="
"""What sr.ht signs all its deliveries with; other installations have their own."""


class WebhookSettings(_Section):
    """One route of webhooks, served at ``/hooks/<name>``."""

    provider: Sender
    secret_file: Annotated[tuple[FilePath, ...], BeforeValidator(list_of_one)] = ()
    public_key: PublicKey | None = None  # of sourcehut only

    @model_validator(mode="after")
    def _has_what_verifies(self) -> Self:
        sourcehut = self.provider is Sender.SOURCEHUT
        if sourcehut and self.secret_file:
            message = "sourcehut has no secret: take `secret_file` out"
            raise ValueError(message)
        if self.public_key is not None and not sourcehut:
            message = "`public_key` is for sourcehut only: write `secret_file`"
            raise ValueError(message)
        if not sourcehut and not self.secret_file:
            message = "`secret_file` is missing: without a secret nobody is believed"
            raise ValueError(message)
        return self


class Role(enum.Enum):
    """What somebody may do over the API."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class TokenSettings(_Section):
    """Who may use the API."""

    name: TokenName
    role: Role
    file: FilePath


class ApiSettings(_Section):
    """Who may use the API, besides whoever may use our socket."""

    tokens: Annotated[tuple[TokenSettings, ...], BeforeValidator(or_empty_list)] = ()
    loopback_reads: Flag = False

    @field_validator("tokens")
    @classmethod
    def _are_told_apart(
        cls, tokens: tuple[TokenSettings, ...]
    ) -> tuple[TokenSettings, ...]:
        names = [token.name for token in tokens]
        for name in names:
            if names.count(name) > 1:
                message = f"two tokens are named {name!r}: the audit log would mix them"
                raise ValueError(message)
        return tokens
