"""Names of systemd units: templates, instances, aliases, specifiers (pure)."""

from collections.abc import Container, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Which names there are and which unit each stands for."""

    declared: Container[str]
    aliases: Mapping[str, str]  # alias -> declared name

    def canonical(self, name: str) -> str:
        """Return the unit that *name* stands for; itself unless it is an alias."""
        if name in self.aliases:
            return self.aliases[name]
        template = template_of(name)
        if name in self.declared or template not in self.aliases:
            return name
        # An alias of a template is one of each of its instances.
        return _instance(self.aliases[template], _argument(name))

    def has(self, name: str) -> bool:
        """Say whether a unit file for *name* is declared: its own or a template's."""
        return name in self.declared or template_of(name) in self.declared

    def expanded(self, word: str, *, of: str) -> str:
        """Return the unit that *word* names in the file of the unit *of*."""
        if "%" in word:
            for specifier, value in _specifiers(of).items():
                word = word.replace(specifier, value)
        return self.canonical(word)


def is_template(name: str) -> bool:
    """Say whether *name* is a template (``getty@.service``), which cannot run."""
    return name.rpartition(".")[0].endswith("@")


def trigger_default(name: str) -> str:
    """Return what a timer, path, socket or automount starts unless it says what."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{'mount' if suffix == 'automount' else 'service'}"


def _specifiers(name: str) -> dict[str, str]:
    """Return the specifiers of systemd.unit(5) that unit names are built with."""
    stem = name.rpartition(".")[0]
    prefix, _, argument = stem.partition("@")
    return {
        "%i": argument,
        "%p": prefix,
        "%j": prefix.rpartition("-")[2],
        "%n": name,
        "%N": stem,
    }


def template_of(name: str) -> str:
    """Return the template of the instance *name*; nothing if it is none."""
    stem, _, suffix = name.rpartition(".")
    prefix, at, argument = stem.partition("@")
    return f"{prefix}@.{suffix}" if at and argument else ""


def _argument(name: str) -> str:
    return name.rpartition(".")[0].partition("@")[2]


def _instance(template: str, argument: str) -> str:
    prefix, _, suffix = template.partition("@")
    return f"{prefix}@{argument}{suffix}"
