"""What the models of scenario files share: the form, kinds of values, and how they are read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

__all__ = [
    "DIALECT",
    "FORM",
    "FileModel",
    "GuestName",
    "Id",
    "LimitsFile",
    "Mib",
    "Pcpu",
    "Placement",
    "PositiveMib",
    "SchemaVersion",
    "Seconds",
    "Share",
    "Text",
    "checked_version",
    "one_of",
]

FORM = 1  # the form of files that this virtlab reads, `schema_version` in them
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# An id or a guest's name travels into folder names, XML and reports.
Id = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
GuestName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=63)]


def _plain(text: str) -> str:
    """Refuse what a terminal would obey, and XML cannot hold."""
    for char in text:
        if (char < " " and char not in "\n\t") or "\x7f" <= char < "\xa0":
            what = f"this has the control character U+{ord(char):04X}."
            raise PydanticCustomError("virtlab_text", "{what}", {"what": what, "fix": "remove it."})
    return text


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_plain)]
Mib = Annotated[int, Field(ge=0, le=16 * 1024 * 1024)]  # up to 16 TiB
PositiveMib = Annotated[int, Field(ge=1, le=16 * 1024 * 1024)]
Pcpu = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
LimitsFile = dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]


def checked_version(value: object) -> object:
    """Refuse a file whose form this virtlab does not read."""
    if type(value) is int and value > FORM:
        what = f"form {value} is newer than this virtlab, which reads form {FORM}."
        raise PydanticCustomError(
            "virtlab_version", "{what}", {"what": what, "fix": "install a newer virtlab."}
        )
    if value != FORM or type(value) is not int:
        what = f"form {value} is not known."
        raise PydanticCustomError(
            "virtlab_version", "{what}", {"what": what, "fix": f"write schema_version: {FORM}."}
        )
    return value


def _placement(value: object) -> object:
    """Accept one pCPU in place of a list with one."""
    if value is None or (isinstance(value, list) and value):
        return value
    if type(value) is int:
        return [value]
    raise PydanticCustomError(
        "virtlab_placement",
        "{what}",
        {
            "what": f'"{value}" is no place for a vCPU.',
            "fix": "write a pCPU number, a list of them, or null for all.",
        },
    )


SchemaVersion = Annotated[
    Literal[1],
    BeforeValidator(checked_version),
    Field(description="form of this file; 1", examples=[1]),
]
Placement = Annotated[
    list[Pcpu] | None,
    BeforeValidator(_placement, json_schema_input_type=Pcpu | list[Pcpu] | None),
]


class FileModel(BaseModel):
    """A mapping in a file: unknown keys are mistakes, and no value is converted."""

    # Built on first use: a model inside another is then built once, as part of it.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def one_of(*alternatives: str) -> JsonDict:
    """Return the rule that exactly one of these keys is given."""
    return {"oneOf": [{"required": [name]} for name in alternatives]}
