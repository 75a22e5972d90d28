"""The sections that say who is told what happens: people and forges."""

import enum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from reconciler.messages import Kind
from reconciler.settings import senders
from reconciler.settings.types import (
    SECTION,
    FilePath,
    ForgeContext,
    ForgeRepository,
    ForgeUrl,
    HostOrTag,
    Link,
    Number,
    SecretUrl,
    SomeOrNoSeconds,
    SomeSeconds,
    TargetName,
    Template,
    list_of_one,
    or_empty,
    or_empty_list,
)


class _Section(BaseModel):
    model_config = SECTION


class NotifyTarget(_Section):
    """Whom messages are sent to; the URL is a secret, so the name stands for it."""

    name: TargetName
    url: SecretUrl | None = None
    url_file: FilePath | None = None
    events: Annotated[tuple[Kind, ...], BeforeValidator(list_of_one)] = ()  # all
    hosts: Annotated[tuple[HostOrTag, ...], BeforeValidator(list_of_one)] = ()  # all
    title: Template = "$summary"
    body: Annotated[tuple[Template, ...], BeforeValidator(list_of_one)] = ("$details",)

    @model_validator(mode="after")
    def _has_one_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            message = "needs either `url` or `url_file`"
            raise ValueError(message)
        return self


class FlapSettings(_Section):
    """How often something may begin and end before it is told as flapping."""

    changes: Annotated[Number, Field(ge=2, le=50)] = 4
    window: SomeSeconds = 600.0


class NotifySettings(_Section):
    """Who is told what happens."""

    targets: Annotated[tuple[NotifyTarget, ...], BeforeValidator(or_empty_list)] = ()
    group: SomeOrNoSeconds = 10.0
    flap: Annotated[FlapSettings, BeforeValidator(or_empty)] = FlapSettings()

    @model_validator(mode="after")
    def _has_distinct_names(self) -> Self:
        senders.require_distinct([target.name for target in self.targets])
        return self


class Provider(enum.Enum):
    """The forges that show commit statuses."""

    GITHUB = "github"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    GITLAB = "gitlab"


class StatusTarget(_Section):
    """A forge that is told how far each commit has come."""

    provider: Provider
    url: ForgeUrl | None = None  # default: the public one, where there is one
    repository: ForgeRepository
    token_file: FilePath
    context: ForgeContext = "reconciler"
    link: Link | None = None
    unreachable_after: SomeSeconds = 3600.0

    @property
    def name(self) -> str:
        """What it is called in history and in what people see."""
        return f"{self.provider.value} {self.repository} {self.context}"

    @model_validator(mode="after")
    def _has_url(self) -> Self:
        if self.url is None and self.provider in (Provider.GITEA, Provider.FORGEJO):
            message = "needs `url`, such as https://git.example.org"
            raise ValueError(message)
        return self
