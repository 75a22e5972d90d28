"""The sections of ``reconciler.yaml``, their types and defaults."""

import enum
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reconciler.messages import FIELDS, LINK_FIELDS, Kind
from reconciler.model import Adopt, BellUse, Heal, Mode, Reboot, Specialisation
from reconciler.settings import git_values, nix_values, senders, values


def _folder(info: ValidationInfo) -> Path | None:
    """Return the folder of the settings file; None for settings not from a file."""
    return info.context["folder"] if info.context else None


def _absolute(path: Path, info: ValidationInfo) -> Path:
    return values.absolute(path, _folder(info))


def _url(text: str, info: ValidationInfo) -> str:
    return git_values.own_repository_url(text, _folder(info))


def _nix_path_entry(text: str, info: ValidationInfo) -> str:
    return values.nix_path_entry(text, _folder(info))


def input_place(value: object, info: ValidationInfo) -> Path | str:
    """Return what replaces an input of a flake; ValueError."""
    return nix_values.input_place(value, _folder(info))


def _message_template(text: str) -> str:
    return senders.template(text, FIELDS)


def _link_template(text: str) -> str:
    return senders.link(text, LINK_FIELDS)


def _or_empty(value: object) -> object:
    """Let a section whose lines are all commented out mean its defaults."""
    return {} if value is None else value


def _asking(value: object) -> object:
    """Refuse a section that is there and asks for nothing: somebody relies on it."""
    if value is None or value == {}:
        message = (
            "asks for no signature: write `allowed_signers` or `openpgp`, or take"
            " `verify` out"
        )
        raise ValueError(message)
    return value


def _or_empty_list(value: object) -> object:
    return () if value is None else value


def _or_off(value: object) -> object:
    """Let YAML's bare ``off``, which it takes for false, be the word."""
    return "off" if value is False else value


def _list_of_one(value: object) -> object:
    """Let a single value stand for a list of it."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]
Number = Annotated[int, Strict()]
SomeSeconds = Annotated[float, BeforeValidator(values.positive_duration)]
Share = Annotated[float, BeforeValidator(values.share)]
Size = Annotated[int, BeforeValidator(values.size)]
Memory = Annotated[Text, AfterValidator(values.memory)]
Port = Annotated[Number, Field(ge=1, le=65535)]
FilePath = Annotated[Path, BeforeValidator(values.not_empty), AfterValidator(_absolute)]
MountPoint = Annotated[FilePath, AfterValidator(values.mount_point)]
Url = Annotated[Text, AfterValidator(_url)]
Branch = Annotated[Text, AfterValidator(git_values.branch)]
Tag = Annotated[Text, AfterValidator(git_values.tag_pattern)]
CommitName = Annotated[Text, AfterValidator(git_values.commit_id)]
Entry = Annotated[Text, AfterValidator(values.entry)]
Folder = Annotated[Text, AfterValidator(values.folder)]
NixPathEntry = Annotated[Text, AfterValidator(_nix_path_entry)]
NixOptionName = Annotated[Text, AfterValidator(values.nix_option_name)]
NixName = Annotated[Text, AfterValidator(nix_values.name)]
NixValue = Annotated[object, BeforeValidator(nix_values.value)]
NixOption = Annotated[str, BeforeValidator(values.nix_option)]
InputName = Annotated[Text, AfterValidator(nix_values.input_name)]
InputPlace = Annotated[Path | str, BeforeValidator(input_place)]
Cache = Annotated[Text, AfterValidator(values.cache)]
HostKey = Annotated[Text, AfterValidator(values.host_name)]
Address = Annotated[Text, AfterValidator(values.address)]
AddressRule = Annotated[Text, AfterValidator(values.address_rule)]
User = Annotated[Text, AfterValidator(values.user)]
Listen = Annotated[Text, AfterValidator(values.listen)]
SomeOrNoSeconds = Annotated[float, BeforeValidator(values.duration)]
SecretUrl = Annotated[SecretStr, BeforeValidator(senders.notification_url)]
TargetName = Annotated[Text, AfterValidator(senders.target_name)]
HostOrTag = Annotated[Text, AfterValidator(senders.host_or_tag)]
Template = Annotated[Text, AfterValidator(_message_template)]
Link = Annotated[Text, AfterValidator(_link_template)]
ForgeUrl = Annotated[Text, AfterValidator(senders.forge_url)]
ForgeRepository = Annotated[Text, AfterValidator(senders.forge_repository)]
ForgeContext = Annotated[Text, AfterValidator(senders.forge_context)]
Proxy = Annotated[Text, AfterValidator(values.network)]
TokenName = Annotated[Text, AfterValidator(values.user)]
Healing = Annotated[Heal, BeforeValidator(values.heal)]
Unit = Annotated[Text, AfterValidator(values.unit_name)]
HookName = Annotated[Text, AfterValidator(values.hook_name)]
PublicKey = Annotated[Text, AfterValidator(values.public_key)]


class Layout(enum.Enum):
    """How a repository says which hosts there are."""

    AUTO = "auto"
    FLAKE = "flake"
    COLMENA = "colmena"
    NIXOPS = "nixops"
    HOSTS = "hosts"
    ATTRIBUTE = "attribute"
    PATHS = "paths"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VerifySettings(_Section):
    """Whose signatures a commit needs; without keys it needs none."""

    openpgp: Annotated[tuple[FilePath, ...], BeforeValidator(_list_of_one)] = ()
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


class RepositorySettings(_Section):
    """Which repository says what hosts should run."""

    url: Url
    fallbacks: Annotated[tuple[Url, ...], BeforeValidator(_list_of_one)] = ()
    branch: Branch = "main"
    tag: Tag | None = None  # in place of a branch
    allow_force: Flag | None = None  # None: where commits need no signature
    verify: Annotated[VerifySettings, BeforeValidator(_asking)] = VerifySettings()
    poll: SomeSeconds = 60.0
    layout: Layout = Layout.AUTO
    dir: Folder = "."  # that holds the flake.nix
    entry: Annotated[tuple[Entry, ...], BeforeValidator(_list_of_one)] = ()
    exclude: Annotated[tuple[Text, ...], BeforeValidator(_list_of_one)] = ()
    arguments: Annotated[dict[NixName, NixValue], BeforeValidator(_or_empty)] = {}
    physical: FilePath | None = None  # a network that adds to that of the repository
    mount_at: MountPoint | None = None  # where evaluations see the checkout
    pure: Flag = True  # whether a flake may look at nothing outside of it
    secrets: Annotated[dict[Folder, FilePath], BeforeValidator(_or_empty)] = {}
    without_submodules: Annotated[
        tuple[Folder, ...], BeforeValidator(_or_empty_list)
    ] = ()

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

    path: Annotated[tuple[NixPathEntry, ...], BeforeValidator(_or_empty_list)] = ()
    options: Annotated[dict[NixOptionName, NixOption], BeforeValidator(_or_empty)] = {}
    inputs: Annotated[dict[InputName, InputPlace], BeforeValidator(_or_empty)] = {}
    memory: Memory = "75%"  # for all evaluations, of what is free or in bytes
    jobs: Annotated[int, Field(ge=1)] | None = None  # None: as many as cores
    evaluate_timeout: SomeSeconds = 300.0
    build_timeout: SomeSeconds = 3600.0
    signing_key: FilePath | None = None  # with which what was built here is signed
    cage: Caging = Cage.AUTO
    cage_paths: Annotated[tuple[FilePath, ...], BeforeValidator(_list_of_one)] = ()


class CacheSettings(_Section):
    """Which binary caches are given what was built here."""

    push: Annotated[tuple[Cache, ...], BeforeValidator(_list_of_one)] = ()


class SecretsSettings(_Section):
    """How the contents of keys are had."""

    identity: Annotated[tuple[FilePath, ...], BeforeValidator(_list_of_one)] = ()
    command_timeout: SomeSeconds = 30.0
    command_paths: tuple[FilePath, ...] = ()


class SshSettings(_Section):
    """How hosts are reached."""

    identity: FilePath | None = None
    known_hosts: FilePath | None = None  # default: known_hosts in the state directory
    connect_timeout: SomeSeconds = 10.0
    address: AddressRule | None = None  # of hosts that the repository gives none


class Build(enum.Enum):
    """Where a host's system is built."""

    HERE = "here"
    HOST = "host"


class HostSettings(_Section):
    """What overrides the repository for one host."""

    address: Address | None = None
    port: Port | None = None
    user: User | None = None
    identity: FilePath | None = None  # of this host alone, in place of ssh.identity
    build: Build | None = None


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
    bell: Annotated[BellUse, BeforeValidator(_or_off)] = BellUse.AUTO
    settle: SomeSeconds = 10.0  # a new system must stay healthy so long
    confirm_timeout: SomeSeconds = 60.0  # and become so within this, or is rolled back
    switch_timeout: SomeSeconds = 900.0  # for switch-to-configuration itself
    removal_limit: Share = 0.5  # part of services or hosts that may go unasked
    min_free: Size = 256 << 20  # bytes that a copy leaves free in a host's store
    reboot: Reboot = Reboot.NEVER
    specialisation: Specialisation = Specialisation.KEEP
    units: Annotated[dict[Unit, UnitSettings], BeforeValidator(_or_empty)] = {}


class NotifyTarget(_Section):
    """Whom messages are sent to; the URL is a secret, so the name stands for it."""

    name: TargetName
    url: SecretUrl | None = None
    url_file: FilePath | None = None
    events: Annotated[tuple[Kind, ...], BeforeValidator(_list_of_one)] = ()  # all
    hosts: Annotated[tuple[HostOrTag, ...], BeforeValidator(_list_of_one)] = ()  # all
    title: Template = "$summary"
    body: Annotated[tuple[Template, ...], BeforeValidator(_list_of_one)] = ("$details",)

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

    targets: Annotated[tuple[NotifyTarget, ...], BeforeValidator(_or_empty_list)] = ()
    group: SomeOrNoSeconds = 10.0
    flap: Annotated[FlapSettings, BeforeValidator(_or_empty)] = FlapSettings()

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


class HttpSettings(_Section):
    """Where metrics, health, webhooks and the API are served."""

    listen: Listen = "127.0.0.1:9876"
    proxies: Annotated[tuple[Proxy, ...], BeforeValidator(_list_of_one)] = ()


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
    secret_file: Annotated[tuple[FilePath, ...], BeforeValidator(_list_of_one)] = ()
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

    tokens: Annotated[tuple[TokenSettings, ...], BeforeValidator(_or_empty_list)] = ()
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


Host = Annotated[HostSettings, BeforeValidator(_or_empty)]
Webhook = Annotated[WebhookSettings, BeforeValidator(_or_empty)]


class Settings(_Section):
    """The whole file."""

    repository: Annotated[RepositorySettings, BeforeValidator(_or_empty)]
    nix: Annotated[NixSettings, BeforeValidator(_or_empty)] = NixSettings()
    cache: Annotated[CacheSettings, BeforeValidator(_or_empty)] = CacheSettings()
    secrets: Annotated[SecretsSettings, BeforeValidator(_or_empty)] = SecretsSettings()
    ssh: Annotated[SshSettings, BeforeValidator(_or_empty)] = SshSettings()
    hosts: Annotated[dict[HostKey, Host], BeforeValidator(_or_empty)] = {}
    policy: Annotated[PolicySettings, BeforeValidator(_or_empty)] = PolicySettings()
    notify: Annotated[NotifySettings, BeforeValidator(_or_empty)] = NotifySettings()
    statuses: Annotated[tuple[StatusTarget, ...], BeforeValidator(_list_of_one)] = ()
    http: Annotated[HttpSettings, BeforeValidator(_or_empty)] = HttpSettings()
    api: Annotated[ApiSettings, BeforeValidator(_or_empty)] = ApiSettings()
    webhooks: Annotated[dict[HookName, Webhook], BeforeValidator(_or_empty)] = {}
    state: FilePath = Path("/var/lib/reconciler")

    @model_validator(mode="after")
    def _has_distinct_statuses(self) -> Self:
        senders.require_distinct([target.name for target in self.statuses])
        return self
