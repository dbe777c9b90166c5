"""Even, and wide masks where bound vCPUs wait longer than roaming ones would.

Idea: bind each vCPU to one pCPU as `even` does, and look how they wait. Where bound vCPUs wait
about as long as if they met at random, Linux does better without pins: it wakes each on a pCPU that
is idle. So all get the mask of all pCPUs, or of those that the administrator permits. Where bound
ones avoid one another, or the host is full, they stay bound.
Formula: sum of waits >= 1/2 of the sum by the law of processor sharing, over pCPUs that are not
full (`roaming`), and loads at most `wide_max` of the host.
Cost: that of `even`, and some steps for each vCPU until they roam; then hardly any.
Weak spot: on hosts with siblings, cells or unlike pCPUs, which Linux does not weigh as well as
`even` does, it is `even`. It finds out by binding everybody for a look or two. Once vCPUs roam
nobody sees how bound ones would wait, so that they are bound again only on a host that is nearly
twice full. Courses that ask for single pCPUs give it no points for masks.
Source: this project; the laws are in docs/explanation/laws.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.policies.parameters import tunable
from virtlab.policies.scheduling.even import Even

__all__ = ["EvenWide"]


@dataclass(slots=True)
class EvenWide(Even):
    """Even out what vCPUs want, by single pCPUs or by letting them roam, whichever waits less."""

    wide_max: float = tunable(
        0.9,
        unit="share of the host",
        effect="up to how full a host vCPUs may roam that wait for one another when bound",
        at_least=0,
    )
