"""The types that settings have: how each is read, and what is refused."""

from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    ValidationInfo,
)

from reconciler.messages import FIELDS, LINK_FIELDS
from reconciler.model import Heal
from reconciler.settings import git_values, nix_values, senders, values
from reconciler.settings.database_url import database_url
from reconciler.settings.origins import allowed_uri
from reconciler.settings.ssh_keys import ssh_public_key


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


def or_empty(value: object) -> object:
    """Let a section whose lines are all commented out mean its defaults."""
    return {} if value is None else value


def path_or_hosts(value: object) -> object:
    """Let a path stand for a folder of secrets that all hosts get."""
    return {"path": value} if isinstance(value, str | Path) else value


def path_or_section(value: object) -> object:
    """Let a path stand for a state directory that is as usual but for its place."""
    if isinstance(value, str) and value.startswith(("postgresql:", "postgres:")):
        message = "is the directory: write a URL as `state: {database: …}`"
        raise ValueError(message)
    return or_empty(value) if isinstance(value, dict | None) else {"path": value}


def or_empty_list(value: object) -> object:
    """Let a list whose lines are all commented out be an empty one."""
    return () if value is None else value


def or_off(value: object) -> object:
    """Let YAML's bare ``off``, which it takes for false, be the word."""
    return "off" if value is False else value


def list_of_one(value: object) -> object:
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
AllowedUri = Annotated[Text, AfterValidator(allowed_uri)]
InputName = Annotated[Text, AfterValidator(nix_values.input_name)]
InputPlace = Annotated[Path | str, BeforeValidator(input_place)]
Cache = Annotated[Text, AfterValidator(values.cache)]
HostKey = Annotated[Text, AfterValidator(values.host_name)]
HostPattern = Annotated[Text, AfterValidator(values.host_pattern)]
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
GatewayUrl = Annotated[Text, AfterValidator(senders.gateway_url)]
CentralUrl = Annotated[Text, AfterValidator(senders.central_url)]
LabelValue = Annotated[Text, AfterValidator(senders.label_value)]
ForgeUrl = Annotated[Text, AfterValidator(senders.forge_url)]
ForgeRepository = Annotated[Text, AfterValidator(senders.forge_repository)]
ForgeContext = Annotated[Text, AfterValidator(senders.forge_context)]
Proxy = Annotated[Text, AfterValidator(values.network)]
TokenName = Annotated[Text, AfterValidator(values.user)]
Healing = Annotated[Heal, BeforeValidator(values.heal)]
Unit = Annotated[Text, AfterValidator(values.unit_name)]
HookName = Annotated[Text, AfterValidator(values.hook_name)]
PublicKey = Annotated[Text, AfterValidator(values.public_key)]
SshPublicKey = Annotated[Text, AfterValidator(ssh_public_key)]
DatabaseUrl = Annotated[Text, AfterValidator(database_url)]

SECTION = ConfigDict(extra="forbid", frozen=True)
"""What holds for each section: none of its settings may be misspelt."""
