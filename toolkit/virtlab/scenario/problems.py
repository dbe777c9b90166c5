"""pydantic's errors as problems of a file: line, key path, what is wrong and how to mend it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from virtlab.errors import Problem, ScenarioError
from virtlab.naming import known_or_nearest, nearest
from virtlab.scenario.located_yaml import Document, KeyPath

__all__ = ["in_file_order", "problems_of", "raise_if_any"]

_SHOWN_MAX = 60  # characters of an offending value that a message repeats

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}


def problems_of(
    document: Document, model: type[BaseModel], error: ValidationError, at: KeyPath = ()
) -> list[Problem]:
    """Return pydantic's errors about a document, or about its part at a key path, as problems."""
    translator = _Translator(document, model, at)
    details = error.errors(include_url=False)
    misspelt = {
        (path[:-1], meant)
        for detail in details
        if detail["type"] == "extra_forbidden"
        for path in [translator.path(detail)]
        if (meant := nearest(str(path[-1]), translator.keys(detail))) is not None
    }
    found: list[Problem] = []
    for detail in details:
        path = translator.path(detail)
        # A key that is there but misspelt is one mistake, not two.
        if detail["type"] == "missing" and (path[:-1], path[-1]) in misspelt:
            continue
        found.append(translator.problem(detail))
    return found


def in_file_order(problems: list[Problem]) -> list[Problem]:
    """Return problems without repetitions, by line; those of other files come after."""
    unique = list(dict.fromkeys(problems))
    first = unique[0].file if unique else ""
    return sorted(unique, key=lambda p: (p.file != first, p.file, p.line, _steps(p.path)))


def _steps(path: str) -> list[str | int]:
    """Return a path's words and numbers in turn, so that entry 10 comes after entry 9."""
    steps = re.split(r"(\d+)", path)
    return [int(step) if turn % 2 else step for turn, step in enumerate(steps)]


def raise_if_any(problems: list[Problem]) -> None:
    """Raise all problems of a file at once, in file order.

    Raises:
        ScenarioError: there is at least one.
    """
    if problems:
        raise ScenarioError(in_file_order(problems))


class _Translator:
    def __init__(self, document: Document, model: type[BaseModel], at: KeyPath) -> None:
        self._document = document
        self._model = model
        self._at = at
        self._data: object = document.data
        for step in at:
            self._data = self._data[step]  # type: ignore[index]  # the caller names what is there

    def path(self, detail: ErrorDetails) -> KeyPath:
        """Return where the error is in the file; pydantic adds names of types in between."""
        current = self._data
        path = list(self._at)
        for step in detail["loc"]:
            if isinstance(current, Mapping) and step in current:
                current = current[step]
                path.append(step)
            if isinstance(current, list) and isinstance(step, int):
                current = current[step]
                path.append(step)
        if detail["type"] == "missing":
            path.append(detail["loc"][-1])
        return tuple(path)

    def keys(self, detail: ErrorDetails) -> dict[str, Any]:
        """Return the keys that the mapping around an error may have, with an example of each."""
        models = {self._model}
        for step in detail["loc"][:-1]:
            if isinstance(step, int):
                continue
            named = {model for model in models if model.__name__ == step}
            models = named or {
                inner
                for model in models
                if step in model.model_fields
                for inner in _models_in(model.model_fields[step].annotation)
            }
        return {
            key: (info.examples or [None])[0]
            for model in sorted(models, key=lambda m: m.__name__)
            for key, info in model.model_fields.items()
        }

    def problem(self, detail: ErrorDetails) -> Problem:
        what, fix = self._sentence(detail)
        return self._document.problem(self.path(detail), what, fix)

    def _sentence(self, detail: ErrorDetails) -> tuple[str, str]:
        kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
        name = str(detail["loc"][-1]) if detail["loc"] else ""
        if kind == "missing":
            return "this key is missing.", f"add it, such as `{self._example(detail, name)}`."
        if kind == "extra_forbidden":
            return "this key is not known.", known_or_nearest(name, self.keys(detail), "key")
        if kind == "virtlab_load":
            return self._load_sentence(value)
        if kind.startswith("virtlab_"):
            return str(context["what"]), str(context["fix"])
        if kind in _WANTED:
            example = self._example(detail, name)
            fix = f"write it as `{example}`." if example else f"write {_WANTED[kind]}."
            return f"{_shown(value)} is not {_WANTED[kind]}.", fix
        if kind in _BOUNDS:
            key, word = _BOUNDS[kind]
            bound = f"{word} {_number(context[key])}"
            return f"{_shown(value)} is out of range.", f"use a value {bound}."
        if kind == "literal_error":
            expected = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
            return f"{_shown(value)} is not known.", known_or_nearest(str(value), expected, "value")
        return self._text_sentence(kind, value, context)

    def _text_sentence(
        self, kind: str, value: object, context: Mapping[str, Any]
    ) -> tuple[str, str]:
        if kind == "string_pattern_mismatch":
            lower = context["pattern"].startswith("^[a-z")
            fix = (
                "use small letters, digits and single hyphens only."
                if lower
                else "begin with a letter or digit; letters, digits, _ . and - may follow."
            )
            return f"{_shown(value)} is not a name.", fix
        if kind == "too_short" and value:
            return (
                f"this has {_count(context['actual_length'])}.",
                f"give it {context['min_length']} or more.",
            )
        if kind in ("string_too_short", "too_short"):
            return "this is empty.", "give it a value, or leave the key out if it has a default."
        if kind == "string_too_long":
            return (
                f"this has {len(str(value))} characters.",
                f"use at most {context['max_length']}.",
            )
        if kind == "too_long":
            return (
                f"this has {_count(context['actual_length'])}.",
                f"use at most {context['max_length']}.",
            )
        return f"{_shown(value)} does not fit here ({kind}).", "compare with the JSON Schema."

    def _load_sentence(self, value: object) -> tuple[str, str]:
        forms = "{duty}, {work_s}, {rate_mib_s} or {trace}"
        if not isinstance(value, Mapping):
            return f"{_shown(value)} is not a load.", f"write a mapping of the form {forms}."
        keys = ", ".join(str(key) for key in value) or "nothing"
        return f"this kind of load is not known (it has {keys}).", f"use the form {forms}."

    def _example(self, detail: ErrorDetails, name: str) -> str:
        example = self.keys(detail).get(name)
        return "" if example is None else f"{name}: {_flow(example)}"


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _flow(value: object) -> str:
    """Return a value as YAML on one line, without quotes where none are needed."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: object) -> str:
    if value is None:
        return "null"
    text = value if isinstance(value, str) else _flow(value)
    text = " ".join(text.split())
    if isinstance(value, str):
        text = f'"{text}"'
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."


def _count(entries: int) -> str:
    return "1 entry" if entries == 1 else f"{entries} entries"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
