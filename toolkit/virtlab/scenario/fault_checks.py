"""Faults among a scenario file's events: which keys belong to which."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.errors import Problem
from virtlab.scenario.located_yaml import Document, KeyPath
from virtlab.scenario.schema import HOST_FAULTS, EventFile

__all__ = ["fault_problems"]


def fault_problems(document: Document, path: KeyPath, event: EventFile) -> Iterator[Problem]:
    """Yield what is wrong with an event's fault, or with keys that only faults have."""
    fault = event.fault
    if fault in HOST_FAULTS:
        for key in ("guest", "guests"):
            if getattr(event, key) is not None:
                what = f"{fault} happens to the host, not to guests."
                yield document.problem((*path, key), what, f"remove {key}.")
    if fault == "libvirtd-restart" and not event.for_s:
        what = "libvirtd has to be away for some time."
        yield document.problem(path, what, "give for_s, in seconds.")
    if fault == "clock-step" and not event.step_s:
        what = "the clock has to jump by something."
        yield document.problem(path, what, "give step_s, in seconds; below 0 is back.")
    if event.for_s is not None and (fault is None or fault == "clock-step"):
        what = "only a fault lasts for a time." if fault is None else "a jump takes no time."
        yield document.problem((*path, "for_s"), what, "remove for_s.")
    elif event.for_s == 0 and fault != "libvirtd-restart":
        what = "a fault that lasts for 0 s is none."
        yield document.problem((*path, "for_s"), what, "use more, or remove for_s for ever.")
    if event.fields is not None and fault != "statistics-missing":
        what = "fields are named, and no statistics are missing."
        yield document.problem((*path, "fields"), what, "remove fields.")
    if event.step_s is not None and fault != "clock-step":
        what = "only a clock-step has a length."
        yield document.problem((*path, "step_s"), what, "remove step_s.")
