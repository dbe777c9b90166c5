"""What the scheduler of a large host does for many pCPUs at once, in the columns of its vCPUs.

Laws and their order are those of one pCPU after the other: `crowd_law` and `roaming` have them as
tables. A pCPU is even where that is all there is to do: nobody on it has to be told of a new rate
or has a quota, and no mask is one of too many. pCPUs with too many vCPUs for the tables, or with
several loads of one guest that are weighed together, stay `altered` and out of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from virtlab.simulator.columns import ColumnVcpu, VcpuColumns
from virtlab.simulator.cpu_law import SEATS_MAX
from virtlab.simulator.crowd_law import added_rows, sharing_of_table
from virtlab.simulator.mask_numbers import NO_NUMBER, STAYS
from virtlab.simulator.pcpu import Pcpu
from virtlab.simulator.queue_law import law_of_table
from virtlab.simulator.roaming import idle_chances_row, woken_table
from virtlab.simulator.vcpu import ASIDE, SimulatedVcpu
from virtlab.simulator.weight_law import table_by_weight

__all__ = ["Crowd"]

# From so many pCPUs on, a look at all of them costs less than one at each.
_LOOKS_MIN: Final = 16
_FAMILIES: Final = 1 << 40  # more than there are numbers of vCPUs


class Crowd:
    """The pCPUs of a large host, and the tables of who sits there and what the law gives them."""

    def __init__(self, columns: VcpuColumns, pcpus: Sequence[Pcpu], *, roams: bool) -> None:
        """Take the columns, the pCPUs, and whether roaming vCPUs may be even (all pCPUs alike)."""
        self.columns = columns
        self._pcpus = pcpus
        self._roams = roams
        shape = (SEATS_MAX, len(pcpus))
        # What the law gives those who sit on each, before any of them wakes up elsewhere.
        self._run, self._wait = columns.np.zeros(shape), columns.np.zeros(shape)

    def seated(self, pcpus: Iterable[Pcpu]) -> list[Pcpu]:
        """Note who sits on some pCPUs; return those that are not too full for the tables."""
        altered = [pcpu for pcpu in pcpus if pcpu.altered]
        if len(altered) >= _LOOKS_MIN:
            self._look_at_all(touched=())
        else:
            for pcpu in altered:
                self._look_at(pcpu)
        return [pcpu for pcpu in pcpus if not pcpu.altered]

    def apply_law(self, pcpus: Sequence[Pcpu]) -> None:
        """Work out the shares on pCPUs whose residents were noted."""
        if not pcpus:
            return
        columns, np = self.columns, self.columns.np
        places = self._places(pcpus)
        counts = np.array([len(pcpu.residents) for pcpu in pcpus])
        seats = columns.seats(places, int(counts.max()))
        brief = np.array([pcpu.brief for pcpu in pcpus])
        demands, loops = columns["demand"][seats], columns["beat_ns"][seats] > 0
        run, wait, used = law_of_table(np, demands, counts, loops, brief)
        if (at := np.flatnonzero([pcpu.weighed for pcpu in pcpus])).size:
            weighed = self._by_weight(seats[:, at], demands[:, at], run[:, at], wait[:, at])
            run[:, at], wait[:, at] = weighed
            used[at] = added_rows(np, weighed[0])
        self._run[: len(seats), places] = run
        self._wait[: len(seats), places] = wait
        for at, (pcpu, share) in enumerate(zip(pcpus, used.tolist(), strict=True)):
            pcpu.dirty = False
            pcpu.used = share
            if not pcpu.even:
                pcpu.take_law(run[:, at].tolist(), wait[:, at].tolist())

    def shared(self, seats: Any, demands: Any, counts: Any, weighed: Any) -> tuple[Any, Any]:
        """Return the same as `Pcpu.shared`, of many pCPUs without kin that are weighed or not."""
        run, wait, _ = sharing_of_table(self.columns.np, demands, counts)
        if (at := self.columns.np.flatnonzero(weighed)).size:
            run[:, at], wait[:, at] = self._by_weight(
                seats[:, at], demands[:, at], run[:, at], wait[:, at]
            )
        return run, wait

    def _by_weight(self, seats: Any, demands: Any, run: Any, wait: Any) -> tuple[Any, Any]:
        """Return the shares of pCPUs whose loads differ in weight, from those of equal weights."""
        columns, np = self.columns, self.columns.np
        loaded = self._loaded(seats)
        # Those that are loaded in the first rows, in their order; the others keep their shares.
        first = np.argsort(~loaded, axis=0, kind="stable")[: int(loaded.sum(axis=0).max())]
        order = (first, np.arange(seats.shape[1]))
        rows, chosen = seats[order], loaded[order]
        wanted = np.where(chosen, demands[order], 0.0)
        runs, waits = run[order], wait[order]
        weights, company = columns["weight"][rows], columns["company_ppm"][rows] / 1e6
        total = added_rows(np, np.where(chosen, runs, 0.0))
        found = table_by_weight(np, wanted, weights, company, total)
        run[order] = np.where(chosen, found[0], runs)
        wait[order] = np.where(chosen, found[1], waits)
        return run, wait

    def share(self, pcpus: Sequence[Pcpu], now_ns: int) -> None:
        """Set the rates on even pCPUs, of which the law was worked out."""
        if not pcpus:
            return
        columns, np = self.columns, self.columns.np
        places = self._places(pcpus)
        seats = columns.seats(places, max([len(pcpu.residents) for pcpu in pcpus]))
        run, wait = self._run[: len(seats), places], self._wait[: len(seats), places]
        if True in [pcpu.roamed for pcpu in pcpus]:
            used = np.array([pcpu.used for pcpu in self._pcpus])
            at = columns["mask"][seats] * len(used) + np.arange(len(used))[places]
            chances = self._chances(used).take(at)
            run, wait = woken_table(np, run, wait, columns["demand"][seats], chances, used[places])
        columns.take_rates(seats, run, wait, now_ns)

    def _places(self, pcpus: Sequence[Pcpu]) -> Any:
        """Return where some pCPUs stand in the tables; all are a slice, which copies less."""
        whole = len(pcpus) == len(self._pcpus)
        return slice(None) if whole else [pcpu.index for pcpu in pcpus]

    def move(self, moves: Sequence[tuple[SimulatedVcpu, int]], now_ns: int) -> list[Pcpu]:
        """Move vCPUs without a batch, each once; return the pCPUs that they left or came to."""
        columns, pcpus = self.columns, self._pcpus
        rows = [vcpu.row for vcpu, _ in moves if isinstance(vcpu, ColumnVcpu)]
        targets = [target for _, target in moves]
        sources, ran_ns = columns.leave(rows, targets, now_ns)
        for (vcpu, _), source, ns in zip(moves, sources, ran_ns, strict=True):
            vcpu.left(source, ns)
            vcpu.moved_ns = now_ns
        touched = sorted({*sources, *targets})
        wanted_ppm = [vcpu.wanted_ppm for vcpu, _ in moves]
        went_ppm, came_ppm = self._sums(sources, wanted_ppm), self._sums(targets, wanted_ppm)
        ran = self._sums(sources, ran_ns)
        for index in touched:
            pcpus[index].let_go(went_ppm[index] - came_ppm[index], ran[index])
        self._look_at_all(touched)
        return [pcpus[index] for index in touched]

    def _sums(self, places: Sequence[int], values: Sequence[int]) -> list[int]:
        """Return the sum of the values of each pCPU."""
        np = self.columns.np
        sums = np.zeros(len(self._pcpus), np.int64)
        np.add.at(sums, places, np.array(values, np.int64))
        found: list[int] = sums.tolist()
        return found

    def _look_at(self, pcpu: Pcpu) -> None:
        columns, residents = self.columns, pcpu.residents
        rows = [vcpu.row for vcpu in residents if isinstance(vcpu, ColumnVcpu)]
        limited = bool(columns["limited"][rows].any())  # nobody there wakes up elsewhere
        pcpu.roamed = not limited and True in [vcpu.roams for vcpu in residents]
        pcpu.brief = pcpu.are_brief()
        loads = columns.np.array(rows, int)[self._loaded(rows)]
        pulls = set(self._pulls(loads).tolist())
        families = set(columns["family"][loads].tolist())
        pcpu.weighed = len(pulls) > 1
        pcpu.even = False
        if len(rows) > SEATS_MAX or (pcpu.weighed and len(families) < len(loads)):
            return  # and it stays altered
        masks = columns.mask
        columns.seat(pcpu.index, rows)
        pcpu.altered = False
        if pcpu.roamed and (not self._roams or NO_NUMBER in [masks[row] for row in rows]):
            return
        pcpu.even = not limited and True not in [
            bool(vcpu.growing or vcpu.batch) for vcpu in residents
        ]

    def _look_at_all(self, touched: Sequence[int]) -> None:
        """Do the same for all pCPUs, and list the residents of the touched ones anew."""
        columns, np = self.columns, self.columns.np
        rows, pcpus = columns.seated()
        counts = np.bincount(pcpus, minlength=len(self._pcpus))
        ends = np.cumsum(counts)
        places = np.arange(len(rows)) - (ends - counts)[pcpus]
        columns.seat_all(rows, places, pcpus)
        masks = columns["mask"][rows]
        limited = np.bincount(pcpus, columns["limited"][rows], len(self._pcpus)) > 0
        roam = (np.bincount(pcpus, masks != STAYS, len(self._pcpus)) > 0) & ~limited
        odd = (columns["growing"][rows] > 0) | (columns["batch"][rows] > 0) | (masks == NO_NUMBER)
        uneven = np.bincount(pcpus, odd, len(self._pcpus)) > 0
        weighed, kin = self._weighed(rows, pcpus)
        apart = (counts > SEATS_MAX) | (weighed & kin)
        uneven |= apart | limited | (roam & (not self._roams))
        brief = self._brief(rows, pcpus)
        flags = (roam.tolist(), brief, weighed.tolist(), uneven.tolist(), apart.tolist())
        for pcpu, roamed, in_turn, by_weight, odd_one, stays in zip(
            self._pcpus, *flags, strict=True
        ):
            pcpu.roamed, pcpu.brief, pcpu.weighed = roamed, in_turn, by_weight
            pcpu.even, pcpu.altered = not odd_one, stays
        if not touched:
            return
        residents: list[SimulatedVcpu] = [*map(columns.vcpus.__getitem__, rows.tolist())]
        starts, ends = (ends - counts).tolist(), ends.tolist()
        for index in touched:
            self._pcpus[index].residents = residents[starts[index] : ends[index]]

    def _brief(self, rows: Any, pcpus: Any) -> list[bool]:
        """Return the same as `Pcpu.are_brief` of all pCPUs."""
        columns, np = self.columns, self.columns.np
        loaded = self._loaded(rows)
        beats_ns = np.where(columns["mask"][rows] == STAYS, columns["beat_ns"][rows], 0)[loaded]
        places = pcpus[loaded]
        longest = np.zeros(len(self._pcpus), np.int64)
        np.maximum.at(longest, places, beats_ns)
        alike = np.bincount(places[beats_ns == longest[places]], minlength=len(longest))
        loads = np.bincount(places, minlength=len(longest))
        found: list[bool] = ((longest > 0) & (alike == loads)).tolist()
        return found

    def _weighed(self, rows: Any, pcpus: Any) -> tuple[Any, Any]:
        """Tell of all pCPUs where loads differ in weight, and where several are of one guest."""
        columns, np = self.columns, self.columns.np
        loaded = self._loaded(rows)
        places, rows = pcpus[loaded], rows[loaded]
        pulls = self._pulls(rows)
        least, most = np.full(len(self._pcpus), np.inf), np.zeros(len(self._pcpus))
        np.minimum.at(least, places, pulls)
        np.maximum.at(most, places, pulls)
        families = np.sort(places * _FAMILIES + columns["family"][rows])
        kin = np.zeros(len(self._pcpus), bool)
        kin[families[1:][families[1:] == families[:-1]] // _FAMILIES] = True
        return most > least, kin

    def _loaded(self, rows: Any) -> Any:
        """Return the same as `SimulatedVcpu.loads`."""
        columns = self.columns
        return (columns["duty"][rows] > 0.0) & (columns["beat_ns"][rows] != ASIDE)

    def _pulls(self, rows: Any) -> Any:
        """Return the same as `SimulatedVcpu.pull`."""
        columns = self.columns
        return columns["weight"][rows] / (1.0 + columns["company_ppm"][rows] / 1e6)

    def _chances(self, used: Any) -> Any:
        """Return a row for each mask, of the chances to find another pCPU idle, by the own one."""
        np, masks = self.columns.np, self.columns.masks.masks
        chances = np.zeros((max(masks, default=STAYS) + 1, len(self._pcpus)))
        for number, permitted in masks.items():
            places = list(permitted)
            chances[number, places] = idle_chances_row(np, used[places])
        return chances
