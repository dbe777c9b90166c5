"""Everything that it takes to get a league's table again, byte for byte, in one zip file.

    README.md          how to play it again
    plan.json          who takes part, on what, with which seeds
    environment.json   versions of what it was played with
    results/           league.json, runs.csv, table.md
    inputs/            policies and scenarios of the user's own, as they were named
    source/            the code and the shipped scenarios

A file that is the same has the same bytes in each bundle, and files stand in order, so equal
leagues make equal bundles on one machine. (Between machines the versions may differ, and how zlib
packs.)
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

import virtlab
from virtlab.errors import InputError, UsageError
from virtlab.grading.results_folder import translated
from virtlab.league.results import league_files
from virtlab.league.season import Step, held
from virtlab.league.source import source_digest, source_files
from virtlab.league.standings import table_of
from virtlab.model.league import Entrant, Family, League, Table
from virtlab.policies.registry import BUILT_IN

__all__ = ["Reproduction", "files_of_users", "reproduced", "write_bundle"]

_MOMENT: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip file knows
_BYTES_MAX: Final = 256 << 20  # of what is unpacked
_README: Final = """\
# A league of virtlab

`results/table.md` is the table; `plan.json` says who took part on what, `environment.json` with
which versions it was made. To get the same bytes again, with the code in this bundle:

    python3 -m venv venv
    venv/bin/pip install 'pydantic>=2.10' 'PyYAML>=6.0' 'rich>=13.9' 'typer>=0.15'{solver}
    PYTHONPATH=source/toolkit venv/bin/python -m virtlab.cli.main league --reproduce {name}

It prints for each file of `results/` whether it came out the same.
"""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of playing a bundle again."""

    files: Mapping[str, str]  # by name, the first difference; empty where there is none
    notes: tuple[str, ...]


def files_of_users(plan: League) -> dict[str, bytes]:
    """Return the user's files that a league needs, by the paths under which it names them.

    Raises:
        UsageError: one cannot go into a bundle.
    """
    names = [_file_of(entrant) for entrant in plan.entrants if entrant.policy not in BUILT_IN]
    for family in plan.families:
        if family.origin == "file":
            names += [family.name, *_traces_of(Path(family.name))]
    found = {}
    for name in dict.fromkeys(names):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UsageError(
                f"{name} cannot go into a bundle, as it lies outside of the current folder",
                fix="start from a folder above it, and name it by its path from there.",
            )
        with translated(Path(name)):
            found[str(path)] = Path(name).read_bytes()
    return found


def write_bundle(path: Path, table: Table, inputs: Mapping[str, bytes]) -> None:
    """Write a league's bundle."""
    league = table.league
    solver = _version("ortools")
    documents = {
        "README.md": _README.format(
            name=path.name, solver="" if solver is None else f" ortools=={solver}"
        ),
        "plan.json": _json(_plan_of(league)),
        "environment.json": _json(_environment()),
    }
    files = {name: text.encode() for name, text in documents.items()}
    files |= {f"results/{name}": text.encode() for name, text in league_files(table).items()}
    files |= {f"inputs/{name}": data for name, data in inputs.items()}
    files |= {f"source/{name}": data for name, data in source_files()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in sorted(files.items()):
            bundle.writestr(zipfile.ZipInfo(name, _MOMENT), data, zipfile.ZIP_DEFLATED)
    with translated(path):
        path.write_bytes(packed.getvalue())


def reproduced(
    path: Path, *, jobs: int, on_step: Callable[[Step], None] = lambda _step: None
) -> Reproduction:
    """Play a bundle's league with the code that runs now, and compare what comes out.

    Raises:
        InputError: it is no bundle.
    """
    with tempfile.TemporaryDirectory(prefix="virtlab-bundle-") as folder:
        files = _unpacked(path, Path(folder))
        plan = _plan_from(files, path)
        with contextlib.chdir(Path(folder) / "inputs"):
            again = league_files(table_of(held(plan, jobs=jobs, on_step=on_step)))
    differences = {
        name: _difference(files.get(f"results/{name}", b"").decode(), text)
        for name, text in again.items()
    }
    return Reproduction(differences, tuple(_notes(files)))


def _plan_of(league: League) -> dict[str, Any]:
    return {
        "version": 1,
        "entrants": [asdict(one) for one in league.entrants],
        "families": [asdict(one) for one in league.families],
        "seeds": list(league.seeds),
        "wire": league.wire,
        "tuning": dict(league.tuning),
        "notes": list(league.notes),
    }


def _plan_from(files: Mapping[str, bytes], path: Path) -> League:
    try:
        plan = json.loads(files["plan.json"])
        return League(
            entrants=tuple(Entrant(**one) for one in plan["entrants"]),
            families=tuple(Family(**one) for one in plan["families"]),
            seeds=tuple(plan["seeds"]),
            bouts=(),
            wire=plan["wire"],
            tuning=plan["tuning"],
            notes=tuple(plan["notes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no bundle of a league: its plan cannot be read ({error})",
            fix="name a file that `virtlab league --bundle` wrote.",
        ) from error


def _unpacked(path: Path, folder: Path) -> dict[str, bytes]:
    """Return a bundle's files, and lay its inputs out in a folder."""
    try:
        with zipfile.ZipFile(path) as bundle:
            if sum(entry.file_size for entry in bundle.infolist()) > _BYTES_MAX:
                raise InputError(f"{path} is larger than any bundle of a league")
            files = {name: bundle.read(name) for name in bundle.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is no bundle of a league: {error}",
            fix="name a file that `virtlab league --bundle` wrote.",
        ) from error
    inputs = folder / "inputs"
    inputs.mkdir()
    for name, data in files.items():
        place = PurePosixPath(name)
        if place.parts[0] == "inputs" and ".." not in place.parts and not place.is_absolute():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return files


def _notes(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield why bytes may differ."""
    theirs = json.loads(files.get("environment.json", b"{}"))
    for name, ours in _environment().items():
        if theirs.get(name) != ours:
            yield f"{name} is {ours} here, and was {theirs.get(name)} when the bundle was made."
    source = {name.removeprefix("source/") for name in files if name.startswith("source/")}
    here = dict(source_files())
    changed = [n for n in sorted(source | set(here)) if here.get(n) != files.get(f"source/{n}")]
    if changed:
        yield (
            f"the code here differs from the bundle's in {len(changed)} files, such as "
            f"{changed[0]}; its README.md says how to use its own."
        )


def _difference(before: str, now: str) -> str:
    """Return the first line in which two texts differ; nothing where they are equal."""
    if before == now:
        return ""
    lines = before.splitlines(), now.splitlines()
    for number, (old, new) in enumerate(zip(*lines, strict=False), start=1):
        if old != new:
            return f"line {number} was {old[:80]!r} and is {new[:80]!r}"
    return f"it had {len(lines[0])} lines and has {len(lines[1])}"


def _file_of(entrant: Entrant) -> str:
    name, colon, class_name = entrant.policy.rpartition(":")
    file = name if colon and class_name.isidentifier() else entrant.policy
    if not file.endswith(".py"):
        raise UsageError(
            f"{entrant.policy} cannot go into a bundle, as it is a module and no file",
            fix="name the policy by its file: path/to/file.py:Class.",
        )
    return file


def _traces_of(scenario: Path) -> list[str]:
    """Return the trace files that a scenario names, which lie beside it."""
    named: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            named.extend(str(v) for k, v in value.items() if k == "trace" and isinstance(v, str))
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                walk(item)

    walk(yaml.safe_load(scenario.read_text(encoding="utf-8")))
    return [str(scenario.parent / name) for name in dict.fromkeys(named)]


def _environment() -> dict[str, str | None]:
    return {
        "python": platform.python_version(),
        "virtlab": virtlab.__version__,
        "source_sha256": source_digest(),
        "numpy": _version("numpy"),
        "ortools": _version("ortools"),
        "machine": f"{os.uname().sysname} {os.uname().machine}",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
