"""Policies by name, whether they come with the lab or from a user's file or module.

    even                       one that comes with the lab
    my_policies.py             the only policy in a file
    my_policies.py:Careful     this one of several
    lab.policies:Careful       a class of a module that Python finds, also in the current folder

A policy is a class that can be made without arguments and has `decide(host)`; that its argument is
a `CpuSnapshot` or a `MemorySnapshot` says what it decides. Importing runs the user's code: this is
no sandbox.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from virtlab.errors import InputError, UsageError
from virtlab.naming import known_or_nearest, listed
from virtlab.policies.registry import BUILT_IN, Description, Kind, describe, describe_class
from virtlab.policies.registry import find_policy as find_built_in

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["describe_policy", "find_policy"]

_KINDS: Final[dict[str, Kind]] = {"CpuSnapshot": "scheduling", "MemorySnapshot": "coordination"}


def find_policy(name: str, kind: Kind) -> type:
    """Return the class of a policy.

    Raises:
        UsageError: there is none of this name, or it decides something else.
        InputError: the file or module cannot be used.
    """
    if not _is_users(name):
        return find_built_in(name, kind)
    policy = _load(name)
    found = _kind_of(policy, name)
    if found != kind:
        raise UsageError(
            f"{name} is a {found} policy, and a {kind} policy is wanted",
            fix=f"a {kind} policy's decide(host) takes a "
            f"{next(one for one, its in _KINDS.items() if its == kind)}.",
        )
    return policy


def describe_policy(name: str) -> Description:
    """Return what is to be told of a policy.

    Raises:
        UsageError: there is none of this name.
        InputError: the file or module cannot be used.
    """
    if not _is_users(name):
        return describe(name)
    policy = _load(name)
    return describe_class(name, _kind_of(policy, name), policy)


def _is_users(name: str) -> bool:
    return name not in BUILT_IN and (":" in name or name.endswith(".py") or "/" in name)


def _load(name: str) -> type:
    where, colon, class_name = name.rpartition(":") if _names_class(name) else (name, "", "")
    is_file = where.endswith(".py") or "/" in where
    module = _run_file(Path(where)) if is_file else _import(where)
    own = {
        key: value
        for key, value in vars(module).items()
        if inspect.isclass(value) and callable(getattr(value, "decide", None))
    }
    if colon:
        found = getattr(module, class_name, None)
        if found is None:
            raise UsageError(
                f"{where} has no {class_name!r}", fix=known_or_nearest(class_name, own, "policy")
            )
    else:
        here = [value for value in own.values() if value.__module__ == module.__name__]
        if len(here) != 1:
            raise UsageError(
                f"{where} has {len(here)} classes with a method decide, and one is wanted",
                fix=f"name one of them: {where}:{here[0].__name__}, say; there are "
                f"{listed(one.__name__ for one in here)}."
                if here
                else "write a class with a method decide(self, host: CpuSnapshot) -> CpuPlan.",
            )
        found = here[0]
    if not inspect.isclass(found) or not callable(getattr(found, "decide", None)):
        raise InputError(
            f"{name} is no policy: it is not a class with a method decide",
            fix="write a class with a method decide(self, host: CpuSnapshot) -> CpuPlan.",
        )
    try:
        found()
    except Exception as error:
        raise InputError(
            f"{name} cannot be made without arguments: {_said(error)}",
            fix="give every field a default; see `tunable` in virtlab.policies.parameters.",
        ) from error
    return found


def _names_class(name: str) -> bool:
    """Tell whether what follows the last colon is a class, and not a part of a path."""
    return name.rpartition(":")[2].isidentifier() and ":" in name


def _kind_of(policy: type, name: str) -> Kind:
    arguments = list(inspect.signature(policy.decide).parameters.values())  # type: ignore[attr-defined]  # it has one
    annotation = arguments[1].annotation if len(arguments) > 1 else None
    said = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    kind = _KINDS.get(said.rpartition(".")[2])
    if kind is None:
        raise InputError(
            f"{name} does not say what it decides",
            fix="annotate what decide takes: host: CpuSnapshot, or host: MemorySnapshot.",
        )
    return kind


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file", fix="give the path of a Python file.")
    # The name has no dot, and no module that is imported has one with a slash.
    name = f"user policy {path.resolve()}".replace(".", "_")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is no Python file", fix="name a file that ends in .py.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their annotations
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error
    return module


def _import(name: str) -> ModuleType:
    with _current_folder_first():
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise UsageError(
                    f"Python finds no module {name}",
                    fix="name a module that is installed or lies in the current folder, or a file.",
                ) from error
            raise _broken(name, error) from error
        except Exception as error:
            raise _broken(name, error) from error


@contextmanager
def _current_folder_first() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _broken(where: str, error: Exception) -> InputError:
    return InputError(
        f"{where} cannot be imported: {_said(error)}",
        fix=f"see what `python {where}` says.",
    )


def _said(error: Exception) -> str:
    """Return an error in one line, with the line of the user's file where it has one."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    line, trace = 0, error.__traceback__
    while trace is not None:
        line, trace = trace.tb_lineno, trace.tb_next
    return f"line {line}: {type(error).__name__}: {error}"
