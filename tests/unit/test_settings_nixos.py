"""What the NixOS module's options are made of, also where no setting has it yet."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field, SecretStr

from reconciler.settings import nixos, values

REFERENCE = """\
| key | type | default | meaning |
|---|---|---|---|
| `name` | text | | A name; see [there](there.md). |
| `people` | list | `[]` | Who is told. |
| `people[].url` | text | none | Where. |
| `people[].token` | text | none | Say "${this}" \\| nothing. |
| `wait` | duration | `90s` | How long. |
| `kind` | text | `a` | Which. |
| `words` | list | `[x]` | Which. |
| `level` | number | `1` | How far. |
"""


class Person(BaseModel):
    """Somebody."""

    url: str
    token: SecretStr | None = None


class Everything(BaseModel):
    """One setting of each kind that there is."""

    name: str
    people: tuple[Person, ...] = ()
    wait: Annotated[float, BeforeValidator(values.duration)] = 90.0
    kind: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ("$x",)
    level: Annotated[int, Field(ge=1)] = 1


def options(model: type[BaseModel] = Everything) -> str:
    return nixos.module(REFERENCE, model).partition("\nin\n")[2]


def test_each_kind_of_setting_has_its_type() -> None:
    assert (
        options()
        == """\
{
  name = mkOption {
    type = types.str;
    description = "A name; see there.";
  };
  people = mkOption {
    type = types.listOf (section {
      url = mkOption {
        type = types.str;
        description = "Where.";
      };
      token = mkOption {
        type = types.nullOr secret;
        default = null;
        description = "Say \\"\\${this}\\" | nothing.";
      };
    });
    default = [ ];
    description = "Who is told.";
  };
  wait = mkOption {
    type = durationOrNone;
    default = "90s";
    description = "How long.";
  };
  kind = mkOption {
    type = types.enum [ "a" "b" ];
    default = "a";
    description = "Which.";
  };
  words = mkOption {
    type = types.listOf types.str;
    default = [ "$x" ];
    description = "Which.";
  };
  level = mkOption {
    type = types.ints.positive;
    default = 1;
    description = "How far.";
  };
}
"""
    )


def test_a_setting_without_a_description_is_refused() -> None:
    class More(Everything):
        """Not in the reference."""

        more: str = ""

    with pytest.raises(ValueError, match=r"docs/settings\.md has no row for `more`"):
        options(More)


def test_a_type_that_nobody_thought_of_is_refused() -> None:
    class More(Everything):
        """A type that has no option."""

        level: Annotated[complex, Field(ge=1)] = 1j

    with pytest.raises(ValueError, match="`level`: there is no option type"):
        options(More)


def test_a_choice_of_types_is_refused() -> None:
    class More(Everything):
        """A type that has no option."""

        level: int | str = 1

    with pytest.raises(ValueError, match="`level`: a choice of types"):
        options(More)
