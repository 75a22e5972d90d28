"""How hosts are reached, and what one that deploys itself tells of itself."""

import enum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, model_validator

from reconciler.settings.types import (
    SECTION,
    Address,
    CentralUrl,
    FilePath,
    Port,
    SomeSeconds,
    SshPublicKey,
    User,
    list_of_one,
)


class _Section(BaseModel):
    model_config = SECTION


class Build(enum.Enum):
    """Where a host's system is built."""

    HERE = "here"
    HOST = "host"


class Transport(enum.Enum):
    """How a host is reached."""

    SSH = "ssh"
    LOCAL = "local"  # it is the machine that the reconciler runs on
    PULL = "pull"  # not at all: it deploys itself, and reports


_NOT_BY_SSH = {
    Transport.LOCAL: "is this machine, which is reached without SSH",
    Transport.PULL: "deploys itself and is never reached",
}


class HostSettings(_Section):
    """What overrides the repository for one host."""

    transport: Transport = Transport.SSH
    address: Address | None = None
    port: Port | None = None
    user: User | None = None
    identity: FilePath | None = None  # of this host alone, in place of ssh.identity
    build: Build | None = None
    host_keys: Annotated[tuple[SshPublicKey, ...], BeforeValidator(list_of_one)] = ()

    @property
    def is_local(self) -> bool:
        """Whether it is the machine that the reconciler runs on."""
        return self.transport is Transport.LOCAL

    @property
    def is_pulling(self) -> bool:
        """Whether it deploys itself, and is never reached from here."""
        return self.transport is Transport.PULL

    @model_validator(mode="after")
    def _has_no_way_but_ssh(self) -> Self:
        ways = ("address", "port", "user", "identity")
        told = [f"`{name}`" for name in ways if getattr(self, name) is not None]
        if self.transport in _NOT_BY_SSH and told:
            message = (
                f"`transport: {self.transport.value}` {_NOT_BY_SSH[self.transport]}:"
                f" take {' and '.join(told)} out"
            )
            raise ValueError(message)
        if self.host_keys and not self.is_pulling:
            message = (
                "`host_keys` verify what a host with `transport: pull` reports; of"
                " others, `reconciler trust` records the keys: take `host_keys` out"
            )
            raise ValueError(message)
        return self


class ReportSettings(_Section):
    """To which central reconciler this machine tells how it stands."""

    url: CentralUrl | None = None  # None: to none
    interval: SomeSeconds = 300.0  # at least so often, also if nothing changes
    key: FilePath = Path("/etc/ssh/ssh_host_ed25519_key")  # it is signed with
