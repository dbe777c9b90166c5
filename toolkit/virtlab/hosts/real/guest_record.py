"""What is known of one real guest over time: asked for each second, kept in columns.

Run times and affinities come from a call that libvirtd answers without QEMU; memory statistics and
delays need QEMU's monitor, so they may be late where a guest hangs, and the last ones stand then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from virtlab.hosts.real.agent import read_file
from virtlab.hosts.real.link import HostLink
from virtlab.libvirt_rpc.client import Answer
from virtlab.libvirt_rpc.errors import ErrorCode
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import GuestSpec
from virtlab.model.timeline import GuestTrack, VcpuTrack

__all__ = ["GuestRecord", "masks_of"]

_CPU_TOTAL, _VCPU, _STATE = 1 << 1, 1 << 3, 1  # of VIR_DOMAIN_STATS_*
_NOWAIT: Final = 1 << 29  # VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_UNUSED, _ACTUAL, _RSS = 4, 6, 7  # of VIR_DOMAIN_MEMORY_STAT_*
_MEMORY_STATS_MAX: Final = 16
_RUNNING: Final = 1  # VIR_DOMAIN_RUNNING
_FREE: Final = re.compile(r"^MemFree: +(\d+) kB$", re.MULTILINE)

# The pCPUs on which a vCPU was, and the nanoseconds that it ran there.
OnRun = Callable[[Sequence[int], int], None]


@dataclass(slots=True)
class _Vcpu:
    run_ns: int = 0
    delay_ns: int = 0
    pcpu: int = -1
    mask: tuple[int, ...] = ()  # as it was found at first, and then set
    strange: int = 0  # looks at which it had another one


def masks_of(cpumaps: bytes, count: int, pcpus: int) -> list[tuple[int, ...]]:
    """Return the pCPUs that each of so many maps, one behind the other, permits."""
    length = len(cpumaps) // count if count else 0
    maps = [cpumaps[n * length : (n + 1) * length] for n in range(count)]
    return [tuple(p for p in range(pcpus) if _bit(each, p)) for each in maps]


def _bit(cpumap: bytes, number: int) -> bool:
    return number // 8 < len(cpumap) and bool(cpumap[number // 8] >> number % 8 & 1)


class GuestRecord:
    """One guest of a run."""

    def __init__(self, spec: GuestSpec, dom: DomainHandle, pcpus: int, on_run: OnRun) -> None:
        """Take the guest, and who is told where its vCPUs ran."""
        self.spec = spec
        self.dom = dom
        self.target_kib = spec.memory_kib
        self.gone: str | None = None  # libvirt's words, once it runs no more
        self.paused = False
        self.cpu_ns = 0  # of its QEMU process, cumulative
        self.actual_kib = spec.memory_kib
        self.unused_kib = 0
        self._rss_kib = 0
        self._seen_inside = False  # its free memory, by its agent
        self._pcpus = pcpus
        self._on_run = on_run
        self._vcpus = [_Vcpu() for _ in range(spec.vcpus)]
        self._first: list[tuple[int, int]] = []  # run and delay of each vCPU at time 0
        self._fresh = False  # run times of this second have come
        self._since_ns: int | None = None  # an unanswered look into its memory
        self._start_masks: tuple[tuple[int, ...], ...] = ()
        self._rows: list[tuple[bool, int, int, int, int, int]] = []
        self._vcpu_rows: list[list[tuple[int, int, int, bool]]] = [[] for _ in self._vcpus]

    @property
    def fresh(self) -> bool:
        """Tell whether the figures of this second have come, or will never come."""
        return self._fresh or self.gone is not None

    @property
    def run_ns(self) -> list[int]:
        """Return how long the threads of its vCPUs had run when they were last asked for."""
        return [vcpu.run_ns for vcpu in self._vcpus]

    @property
    def masks(self) -> list[tuple[int, ...]]:
        """Return the affinities seen last."""
        return [vcpu.mask for vcpu in self._vcpus]

    def set_mask(self, vcpu: int, mask: tuple[int, ...]) -> None:
        """Take note of an affinity that was just set."""
        self._vcpus[vcpu].mask = mask
        self._vcpus[vcpu].strange = 0

    def strangely_bound(self) -> int | None:
        """Return a vCPU whose affinity is another one than was set, if there is one."""
        # A look may have begun before an affinity was set, and end after it.
        return next((n for n, vcpu in enumerate(self._vcpus) if vcpu.strange > 1), None)

    def silent_ns(self, now_ns: int) -> int:
        """Return for how long QEMU has not answered a look into the guest's memory."""
        return 0 if self._since_ns is None else now_ns - self._since_ns

    def ask(self, link: HostLink, now_ns: int) -> None:
        """Ask for this second's figures."""
        self._fresh = False
        if self.gone is not None:
            return
        self.ask_run_times(link)
        if self._since_ns is None:  # one at a time: a QEMU that hangs gathers no queue
            self._since_ns = now_ns
            groups = _STATE | _CPU_TOTAL | _VCPU
            link.ask("CONNECT_GET_ALL_DOMAIN_STATS", [self.dom], groups, _NOWAIT, then=self._bulk)
            link.ask("DOMAIN_MEMORY_STATS", self.dom, _MEMORY_STATS_MAX, 0, then=self._memory)

    def ask_inside(self, link: HostLink) -> None:
        """Ask its agent for its free memory.

        The balloon's report is as old as its period, which the program may have set to anything.
        """
        if self.gone is None:
            read_file(link, self.dom, "/proc/meminfo", self._inside)

    def ask_run_times(self, link: HostLink) -> None:
        """Ask how long its vCPUs ran, where they are, and where they may be."""
        length = (self._pcpus + 7) // 8
        link.ask("DOMAIN_GET_VCPUS", self.dom, len(self._vcpus), length, then=self._run_times)

    def link_lost(self) -> None:
        """Expect no answer any more."""
        self._since_ns = None

    def keep(self, held_kib: int, loaded: Sequence[bool]) -> None:
        """Add a row of what is known now."""
        if not self._rows:
            self._first = [(vcpu.run_ns, vcpu.delay_ns) for vcpu in self._vcpus]
            self._start_masks = tuple(vcpu.mask for vcpu in self._vcpus)
        runs = self.gone is None
        sizes = (self.actual_kib, self.target_kib, self.unused_kib, held_kib, self._rss_kib)
        actual, target, unused, held, rss = sizes if runs else (0,) * len(sizes)
        self._rows.append((runs, actual, target, unused, held, rss))
        for vcpu, (run_ns, delay_ns), rows, busy in zip(
            self._vcpus, self._first, self._vcpu_rows, loaded, strict=True
        ):
            place = vcpu.pcpu if runs else -1
            rows.append((vcpu.run_ns - run_ns, vcpu.delay_ns - delay_ns, place, busy and runs))

    def track(self) -> GuestTrack:
        """Return all rows as columns."""
        running, actual, target, unused, consumer, rss = (
            zip(*self._rows, strict=True) if self._rows else [()] * 6
        )
        return GuestTrack(
            name=self.spec.name,
            memory_kib=self.spec.memory_kib,
            max_memory_kib=self.spec.max_memory_kib,
            vcpus=tuple(
                VcpuTrack(*zip(*rows, strict=True)) if rows else VcpuTrack((), (), (), ())
                for rows in self._vcpu_rows
            ),
            start_masks=self._start_masks,
            running=running,
            actual_kib=actual,
            target_kib=target,
            unused_kib=unused,
            consumer_kib=consumer,
            rss_kib=rss,
        )

    def _run_times(self, answer: Answer) -> None:
        if answer.error is not None:
            if answer.error.code in (ErrorCode.NO_DOMAIN, ErrorCode.OPERATION_INVALID):
                self.gone = answer.error.message
            return
        found = answer.results
        masks = masks_of(found.cpumaps, len(found.info), self._pcpus)
        for vcpu, info, mask in zip(self._vcpus, found.info, masks, strict=False):
            ran_ns = max(info.cpu_time - vcpu.run_ns, 0)
            if vcpu.mask:  # at the first look nothing is known of before
                at = vcpu.mask if len(vcpu.mask) == 1 else (vcpu.pcpu, info.cpu)
                self._on_run(at, ran_ns)
            vcpu.run_ns = max(info.cpu_time, vcpu.run_ns)
            vcpu.pcpu, vcpu.mask = info.cpu, vcpu.mask or mask
            vcpu.strange = 0 if vcpu.mask == mask else vcpu.strange + 1
        self._fresh = True

    def _bulk(self, answer: Answer) -> None:
        if answer.error is not None or not answer.results.retStats:
            return
        values = {param.field: param.value for param in answer.results.retStats[0].params}
        self.paused = values.get("state.state", _RUNNING) != _RUNNING
        self.cpu_ns = int(values.get("cpu.time", self.cpu_ns))
        for number, vcpu in enumerate(self._vcpus):
            vcpu.delay_ns = int(values.get(f"vcpu.{number}.delay", vcpu.delay_ns))

    def _memory(self, answer: Answer) -> None:
        self._since_ns = None
        if answer.error is not None:
            return
        values = {stat.tag: stat.val for stat in answer.results.stats}
        self.actual_kib = values.get(_ACTUAL, self.actual_kib)
        if not self._seen_inside:
            self.unused_kib = values.get(_UNUSED, self.unused_kib)
        self._rss_kib = values.get(_RSS, self._rss_kib)

    def _inside(self, text: str | None) -> None:
        found = _FREE.search(text or "")
        self._seen_inside = found is not None
        if found is not None:
            self.unused_kib = int(found[1])
