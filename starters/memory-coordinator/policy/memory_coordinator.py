"""A coordination policy to start from.

The lab's daemon does the rest: at every interval it asks each guest for its figures, calls
decide(), and sets the sizes of the plan. So a policy is only the decision: it never sleeps, prints
or connects. It changes nothing yet: deciding is your part.
"""

from dataclasses import dataclass, field

from virtlab.model.plan import MemoryPlan, Resize
from virtlab.model.snapshot import MemorySnapshot


@dataclass
class Coordinator:
    """What the policy remembers from one interval to the next are its fields."""

    last: dict[str, int] = field(default_factory=dict)  # unused KiB of each guest

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        """YOUR PART. Say which guests are to have how much, and why.

        Sizes are KiB. host.spare_kib is what the host can still give. Of each guest in
        host.guests, `actual_kib` is its size, `max_kib` the most it can have, and `unused_kib`
        what of it is free (None: it has told nothing yet). Resize(guest.guest, kib, "why") asks
        for another size; the balloon then takes some time to get there.
        """
        self.last = {
            guest.guest: guest.unused_kib for guest in host.guests if guest.unused_kib is not None
        }
        sizes: list[Resize] = []
        return MemoryPlan(tuple(sizes), because=f"{len(self.last)} guests told their figures")
