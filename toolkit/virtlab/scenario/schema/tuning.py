"""What an administrator gives a guest of the host's CPU time: weight and quotas."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from virtlab.scenario.schema.base import FileModel

__all__ = ["TuningFile"]

# libvirt's own bounds, and those of the kernel's control groups.
_Shares = Annotated[int, Field(ge=2, le=262_144)]
_Period = Annotated[int, Field(ge=1_000, le=1_000_000)]
_Quota = Annotated[int, Field(ge=-1, le=17_592_186_044_415)]


class TuningFile(FileModel):
    """Scheduler parameters of a guest, as `virsh schedinfo` sets them; what is left out stays."""

    shares: _Shares | None = Field(
        default=None,
        examples=[512],
        description="weight of its vCPUs against those of other guests on the same pCPU: 1024 is "
        "ordinary with cgroup_version 1, 100 with 2",
    )
    vcpu_quota_us: _Quota | None = Field(
        default=None,
        examples=[50_000],
        description="what each vCPU may run in a period; -1: as much as it gets",
    )
    vcpu_period_us: _Period | None = Field(
        default=None, examples=[100_000], description="the period of that; 100000 if never set"
    )
    global_quota_us: _Quota | None = Field(
        default=None,
        examples=[150_000],
        description="what all vCPUs and the emulator may run together in a period; -1: no limit",
    )
    global_period_us: _Period | None = Field(
        default=None, examples=[100_000], description="the period of that; 100000 if never set"
    )

    @property
    def parameters(self) -> tuple[tuple[str, int], ...]:
        """Return what is set, under libvirt's names."""
        named = {
            "cpu_shares": self.shares,
            "vcpu_period": self.vcpu_period_us,
            "vcpu_quota": self.vcpu_quota_us,
            "global_period": self.global_period_us,
            "global_quota": self.global_quota_us,
        }
        return tuple((name, value) for name, value in named.items() if value is not None)
