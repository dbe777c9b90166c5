"""A scheduling policy to start from.

The lab's daemon does the rest: at every interval it measures each vCPU, calls decide(), and sets
the pins of the plan. So a policy is only the decision: it never sleeps, prints or connects.
It changes nothing yet: deciding is your part.
"""

from dataclasses import dataclass, field

from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.snapshot import CpuSnapshot, VcpuKey


@dataclass
class Scheduler:
    """What the policy remembers from one interval to the next are its fields."""

    last: dict[VcpuKey, float] = field(default_factory=dict)  # what each vCPU used

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        """YOUR PART. Say which vCPUs are to run where, and why.

        host.pcpus are the numbers of the pCPUs. Of each vCPU in host.vcpus, `run_share` is what it
        used of one pCPU in the last interval (None: it has just come), `pcpus` where it may run
        now, and `last_on` where it ran last. Pin(vcpu.key, frozenset({2}), "why") binds it to
        pCPU 2.
        """
        self.last = {vcpu.key: vcpu.run_share for vcpu in host.vcpus if vcpu.run_share is not None}
        pins: list[Pin] = []
        return CpuPlan(tuple(pins), because=f"{len(self.last)} vCPUs were measured")
