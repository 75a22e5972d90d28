"""The sections of ``reconciler.yaml``, their types and defaults."""

import enum
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import permutations
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reconciler.model import Adopt, BellUse, Heal, Mode, Reboot, Specialisation
from reconciler.settings import senders, values
from reconciler.settings.hosts import HostSettings, ReportSettings
from reconciler.settings.serving import (
    ApiSettings,
    HttpSettings,
    MetricsSettings,
    WebhookSettings,
)
from reconciler.settings.telling import NotifySettings, StatusTarget
from reconciler.settings.types import (
    SECTION,
    AddressRule,
    AllowedUri,
    Branch,
    Cache,
    CommitName,
    DatabaseUrl,
    Entry,
    FilePath,
    Flag,
    Folder,
    Healing,
    HookName,
    HostKey,
    HostPattern,
    InputName,
    InputPlace,
    Memory,
    MountPoint,
    NixName,
    NixOption,
    NixOptionName,
    NixPathEntry,
    NixValue,
    Number,
    Share,
    Size,
    SomeSeconds,
    Tag,
    Text,
    Unit,
    Url,
    list_of_one,
    or_empty,
    or_empty_list,
    or_off,
    path_or_hosts,
    path_or_section,
)


class Layout(enum.Enum):
    """How a repository says which hosts there are."""

    AUTO = "auto"
    FLAKE = "flake"
    COLMENA = "colmena"
    NIXOPS = "nixops"
    HOSTS = "hosts"
    ATTRIBUTE = "attribute"
    PATHS = "paths"


def _asking(value: object) -> object:
    """Refuse a section that is there and asks for nothing: somebody relies on it."""
    if value is None or value == {}:
        message = (
            "asks for no signature: write `allowed_signers` or `openpgp`, or take"
            " `verify` out"
        )
        raise ValueError(message)
    return value


class _Section(BaseModel):
    model_config = SECTION


class VerifySettings(_Section):
    """Whose signatures a commit needs; without keys it needs none."""

    openpgp: Annotated[tuple[FilePath, ...], BeforeValidator(list_of_one)] = ()
    allowed_signers: FilePath | None = None
    revoked: FilePath | None = None
    since: CommitName | None = None

    @property
    def asked(self) -> bool:
        """Whether commits must be signed."""
        return bool(self.openpgp) or self.allowed_signers is not None

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if self.revoked is not None and self.allowed_signers is None:
            message = "`revoked` is about SSH keys: write `allowed_signers` too"
            raise ValueError(message)
        if self.since is not None and not self.asked:
            message = "`since` needs keys: write `allowed_signers` or `openpgp`"
            raise ValueError(message)
        return self


EVERYBODY = "*"


class OverlaySettings(_Section):
    """A folder that git does not know, laid over each checkout, and who gets it."""

    path: FilePath
    hosts: Annotated[tuple[HostPattern, ...], BeforeValidator(list_of_one)] = (
        EVERYBODY,
    )

    @property
    def is_for_all(self) -> bool:
        """Whether all hosts get it; then what lists them does, too."""
        return EVERYBODY in self.hosts

    def is_for(self, host: str | None) -> bool:
        """Say whether *host* gets it; None is what lists the hosts."""
        if host is None:
            return self.is_for_all
        return any(fnmatchcase(host, pattern) for pattern in self.hosts)

    @model_validator(mode="after")
    def _is_for_some(self) -> Self:
        if not self.hosts:
            message = "`hosts` names none, so that nobody would get it: take it out"
            raise ValueError(message)
        return self


Overlay = Annotated[OverlaySettings, BeforeValidator(path_or_hosts)]


class RepositorySettings(_Section):
    """Which repository says what hosts should run."""

    url: Url
    fallbacks: Annotated[tuple[Url, ...], BeforeValidator(list_of_one)] = ()
    branch: Branch = "main"
    tag: Tag | None = None  # in place of a branch
    allow_force: Flag | None = None  # None: where commits need no signature
    verify: Annotated[VerifySettings, BeforeValidator(_asking)] = VerifySettings()
    poll: SomeSeconds = 60.0
    refresh: SomeSeconds | None = None  # of what is fetched and no commit pins
    layout: Layout = Layout.AUTO
    dir: Folder = "."  # that holds the flake.nix
    entry: Annotated[tuple[Entry, ...], BeforeValidator(list_of_one)] = ()
    exclude: Annotated[tuple[Text, ...], BeforeValidator(list_of_one)] = ()
    arguments: Annotated[dict[NixName, NixValue], BeforeValidator(or_empty)] = {}
    physical: FilePath | None = None  # a network that adds to that of the repository
    mount_at: MountPoint | None = None  # where evaluations see the checkout
    pure: Flag = True  # whether a flake may look at nothing outside of it
    secrets: Annotated[dict[Folder, Overlay], BeforeValidator(or_empty)] = {}
    without_submodules: Annotated[
        tuple[Folder, ...], BeforeValidator(or_empty_list)
    ] = ()

    @property
    def folders_of_secrets(self) -> dict[str, Path]:
        """All that is laid over: folder in the repository -> folder here."""
        return {place: one.path for place, one in self.secrets.items()}

    def withheld(self, host: str | None) -> Mapping[str, OverlaySettings]:
        """Return what *host* does not get; None is what lists the hosts."""
        return {
            place: one for place, one in self.secrets.items() if not one.is_for(host)
        }

    @model_validator(mode="after")
    def _has_secrets_apart(self) -> Self:
        for (place, one), (inner, other) in permutations(self.secrets.items(), 2):
            if other.path.is_relative_to(one.path) and {*other.hosts} != {*one.hosts}:
                message = (
                    f"secrets: {other.path} ({inner}) lies in {one.path} ({place}),"
                    " whose `hosts` are others and would get it too: move it elsewhere"
                )
                raise ValueError(message)
        return self

    @property
    def is_file(self) -> bool:
        """Whether the URL leads to a file of paths, and to no repository."""
        is_http = self.url.lower().startswith(("http://", "https://"))
        names_file = self.url.partition("?")[0].endswith(".json")
        return self.layout is Layout.PATHS and is_http and names_file

    @model_validator(mode="after")
    def _is_no_repository(self) -> Self:
        others = {
            "tag": self.tag,
            "fallbacks": self.fallbacks,
            "verify.openpgp": self.verify.openpgp,
            "verify.since": self.verify.since,
        }
        told = [f"`{name}`" for name, value in others.items() if value]
        if self.is_file and told:
            message = (
                f"`url` is a file of paths, which has no {' and no '.join(told)}: take"
                " that out (signatures are by `verify.allowed_signers`)"
            )
            raise ValueError(message)
        return self

    @property
    def followed(self) -> str:
        """The branch, or the pattern of tags."""
        return self.tag or self.branch

    @property
    def may_rewrite(self) -> bool:
        """Whether a commit counts that does not have the one before in it."""
        return not self.verify.asked if self.allow_force is None else self.allow_force


class Cage(enum.Enum):
    """Whether evaluations see nothing of this machine but what they need."""

    REQUIRED = "required"
    AUTO = "auto"  # where there can be one
    OFF = "off"


Caging = Annotated[Cage, BeforeValidator(values.off)]


class NixSettings(_Section):
    """How Nix is called; every deadline in seconds."""

    path: Annotated[tuple[NixPathEntry, ...], BeforeValidator(or_empty_list)] = ()
    options: Annotated[dict[NixOptionName, NixOption], BeforeValidator(or_empty)] = {}
    inputs: Annotated[dict[InputName, InputPlace], BeforeValidator(or_empty)] = {}
    memory: Memory = "75%"  # for all evaluations, of what is free or in bytes
    jobs: Annotated[int, Field(ge=1)] | None = None  # None: as many as cores
    evaluate_timeout: SomeSeconds = 300.0
    build_timeout: SomeSeconds = 3600.0
    signing_key: FilePath | None = None  # with which what was built here is signed
    cage: Caging = Cage.AUTO
    cage_paths: Annotated[tuple[FilePath, ...], BeforeValidator(list_of_one)] = ()
    allowed_uris: (
        Annotated[tuple[AllowedUri, ...], BeforeValidator(list_of_one)] | None
    ) = None  # None: all but what is never allowed


class CacheSettings(_Section):
    """Which binary caches are given what was built here."""

    push: Annotated[tuple[Cache, ...], BeforeValidator(list_of_one)] = ()


class SecretsSettings(_Section):
    """How the contents of keys are had."""

    identity: Annotated[tuple[FilePath, ...], BeforeValidator(list_of_one)] = ()
    command_timeout: SomeSeconds = 30.0
    command_paths: tuple[FilePath, ...] = ()


class SshSettings(_Section):
    """How hosts are reached."""

    identity: FilePath | None = None
    known_hosts: FilePath | None = None  # default: known_hosts in the state directory
    connect_timeout: SomeSeconds = 10.0
    address: AddressRule | None = None  # of hosts that the repository gives none


class UnitSettings(_Section):
    """What overrides the repository for one unit, on every host."""

    heal: Healing = Heal.ALL


class PolicySettings(_Section):
    """What may be done, how often and how wide."""

    mode: Mode | None = None  # report; of a state directory from before that, auto
    adopt: Adopt = Adopt.ASK
    heal: Flag = True
    parallel: Annotated[Number, Field(ge=1, le=1000)] = 10
    interval: SomeSeconds = 30.0  # each host is looked at this often
    bell: Annotated[BellUse, BeforeValidator(or_off)] = BellUse.AUTO
    settle: SomeSeconds = 10.0  # a new system must stay healthy so long
    confirm_timeout: SomeSeconds = 60.0  # and become so within this, or is rolled back
    switch_timeout: SomeSeconds = 900.0  # for switch-to-configuration itself
    removal_limit: Share = 0.5  # part of services or hosts that may go unasked
    min_free: Size = 256 << 20  # bytes that a copy leaves free in a host's store
    reboot: Reboot = Reboot.NEVER
    specialisation: Specialisation = Specialisation.KEEP
    units: Annotated[dict[Unit, UnitSettings], BeforeValidator(or_empty)] = {}


class StateSettings(_Section):
    """Where what must outlive a restart is kept."""

    path: FilePath = Path("/var/lib/reconciler")
    database: DatabaseUrl | None = None  # None: a file in that directory


Host = Annotated[HostSettings, BeforeValidator(or_empty)]
Webhook = Annotated[WebhookSettings, BeforeValidator(or_empty)]


class Settings(_Section):
    """The whole file."""

    repository: Annotated[RepositorySettings, BeforeValidator(or_empty)]
    nix: Annotated[NixSettings, BeforeValidator(or_empty)] = NixSettings()
    cache: Annotated[CacheSettings, BeforeValidator(or_empty)] = CacheSettings()
    secrets: Annotated[SecretsSettings, BeforeValidator(or_empty)] = SecretsSettings()
    ssh: Annotated[SshSettings, BeforeValidator(or_empty)] = SshSettings()
    hosts: Annotated[dict[HostKey, Host], BeforeValidator(or_empty)] = {}
    policy: Annotated[PolicySettings, BeforeValidator(or_empty)] = PolicySettings()
    notify: Annotated[NotifySettings, BeforeValidator(or_empty)] = NotifySettings()
    statuses: Annotated[tuple[StatusTarget, ...], BeforeValidator(list_of_one)] = ()
    http: Annotated[HttpSettings, BeforeValidator(or_empty)] = HttpSettings()
    metrics: Annotated[MetricsSettings, BeforeValidator(or_empty)] = MetricsSettings()
    report: Annotated[ReportSettings, BeforeValidator(or_empty)] = ReportSettings()
    api: Annotated[ApiSettings, BeforeValidator(or_empty)] = ApiSettings()
    webhooks: Annotated[dict[HookName, Webhook], BeforeValidator(or_empty)] = {}
    state: Annotated[StateSettings, BeforeValidator(path_or_section)] = StateSettings()

    @model_validator(mode="after")
    def _has_distinct_statuses(self) -> Self:
        senders.require_distinct([target.name for target in self.statuses])
        return self

    @field_validator("hosts")
    @classmethod
    def _are_one_machine_each(cls, hosts: dict[str, Host]) -> dict[str, Host]:
        local = [name for name, host in hosts.items() if host.is_local]
        if len(local) > 1:
            message = (
                f"{' and '.join(local)} cannot all be this machine: leave"
                " `transport: local` with the one that is"
            )
            raise ValueError(message)
        return hosts

    @field_validator("report")
    @classmethod
    def _is_of_this_machine(
        cls, report: ReportSettings, info: ValidationInfo
    ) -> ReportSettings:
        hosts = info.data.get("hosts")  # None: they are wrong themselves
        local = hosts is None or any(host.is_local for host in hosts.values())
        if report.url is not None and not local:
            message = (
                "is of a host that deploys itself, and none is: write `transport:"
                " local` for the one that is this machine"
            )
            raise ValueError(message)
        return report

    @property
    def itself(self) -> str | None:
        """The host that is this machine, if one is."""
        return next((name for name, one in self.hosts.items() if one.is_local), None)
