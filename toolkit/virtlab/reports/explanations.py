"""What each criterion is for, how it is worked out, and which program it catches, with a picture.

Meaning, limits and hints stand in `virtlab.model.criteria`; this is the lesson around them. It
tells what is judged and never how to pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from virtlab.model.criteria import CRITERIA, LimitDeclaration

__all__ = ["EXPLANATIONS", "Explanation", "criterion_text"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The lesson about one criterion."""

    why: str
    how: str
    catches: tuple[str, ...]  # examples that fail it, in examples/submissions/flawed
    picture: str


EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {
        "bound": Explanation(
            why="A host can be even by luck: Linux may spread vCPUs well for a minute and badly in "
            "the next. A scheduler has to see to it, so the evenness must follow from the masks.",
            how="At each moment after the time to settle, the masks of all loaded vCPUs are taken. "
            "A vCPU whose mask is one pCPU is bound. Where some are wider, every placement that "
            "the masks permit is tried with what each vCPU wants; all of them have to be even.",
            catches=("leaves-masks-wide", "does-nothing"),
            picture="""\
    aos_vm1  on [0]      20 %   bound
    aos_vm2  on [1]      20 %   bound
    aos_vm3  on [1]      20 %   bound       even are 40 and 40, but 60 and 20
    aos_vm4  on [0 1]    20 %   not bound   is permitted, too: even by luck
""",
        ),
        "balanced": Explanation(
            why="Guests on a crowded pCPU wait while another pCPU idles. The course asks for a "
            "standard deviation of at most 5 points between the pCPUs.",
            how="The host's own record is cut into windows. In each, the use of every pCPU is what "
            "its vCPUs ran, in per cent, and the spread is the population standard deviation. All "
            "windows that begin after the time to settle have to stay within the limit, in each "
            "phase between two changes of load. What the program prints does not count.",
            catches=("all-on-pcpu-0", "balances-by-count", "moves-too-slowly"),
            picture="""\
    use of each pCPU            spread        |
    0 #########   90 %                    33  |####
    1 ##          20 %                        |    ###
    2 #           10 %                    20  |       ##
    3 #           10 %   33 points            |         #
                                  limit 5 ..  |..........######
                                              0    settle       t
""",
        ),
        "stable": Explanation(
            why="Each move costs: caches are cold on the new pCPU, and all of the libvirt calls "
            "take time. On a host that is even already, a move can only do harm.",
            how="A phase is settled at the end of the first window from which on all are even and "
            "bound, at the latest when the time to settle is over. From then on no mask may "
            "change. Setting a mask to what it is already changes nothing and is free.",
            catches=("swaps-for-ever", "repins-on-noise", "pins-at-random"),
            picture="""\
    aos_vm1  0 . . 1 . . . . . . .        moved once, then still
    aos_vm2  0 . . 2 0 2 0 2 0 2 0        goes to and fro
                   |settled: every later change counts
""",
        ),
        "takes-gradually": Explanation(
            why="A guest that needs memory has to get it before it has none left, and in steps: "
            "who gives everything at once has nothing for the next one.",
            how="While a load holds memory in a guest, three things are looked at: by how much the "
            "balloon grows from one interval to the next; for how long less than the least amount "
            "is unused while the guest could grow and the host had memory to give; and whether it "
            "came near its maximum, if the load wanted all.",
            catches=("gives-all-at-once", "grows-too-slowly", "never-gives"),
            picture="""\
    MiB  maximum ..............______
                          __--        balloon: in steps, ahead of the load
                     __--  /
                __--   / <----------- load
    start ___--    /                  between: unused, at least 100 MiB
          -----/---------------------> t
""",
        ),
        "releases-gradually": Explanation(
            why="Memory that a guest no longer uses is missing elsewhere. Taken back in one "
            "step, it is missing in the guest when that needs some again, and the guest's own "
            "out-of-memory killer ends a program.",
            how="After a load's end the balloon has to come back near its start by the end of the "
            "run, and never by more than the limit, or a third of its size, in one interval. A "
            "guest that never consumed keeps its size or gives, and keeps its unused floor.",
            catches=("takes-all-at-once", "never-takes-back"),
            picture="""\
    MiB ______
              --__                    a step an interval, each at most a third
                  --__
                      --_________     near its start at the end
        ------|-------------------> t
              the load ends
""",
        ),
        "guest-alive": Explanation(
            why="The course says it first: do not kill a guest. One that is drained loses its "
            "programs although the host had memory.",
            how="It fails where a guest's out-of-memory killer ends a program while the guest is "
            "well below its maximum and the host had memory to give; where a guest is below its "
            "smallest size at any sample; and where one stops by itself.",
            catches=("drains-guests", "passes-megabytes"),
            picture="""\
    in use   ############|            the balloon takes what is unused,
    unused               |--|         then waits; the next allocation of
    taken                   |xxxxxx   the guest finds nothing: killed
""",
        ),
        "host-alive": Explanation(
            why="Without free memory the host swaps, and every guest on it stands still.",
            how="The host's free memory at every sample has to be at least the limit, and its swap "
            "in use at most the other one; a host that freezes fails at once.",
            catches=("gives-the-host-away",),
            picture="""\
    host  |#### guests ##############|own|free|
                                         ^ at least 200 MiB of it
""",
        ),
        "no-crash": Explanation(
            why="A daemon that ends leaves the host as it was just then, and nobody at the helm.",
            how="The program has to run up to the end of the test, when it gets SIGINT. How it "
            "ends afterwards is a note, and costs nothing.",
            catches=("divides-by-zero", "leaves-after-balancing", "never-connects"),
            picture="""\
    |--------------------------------| SIGINT   fine
    |---------x exit status 1                   ended at 9 of 30 s
""",
        ),
        "reaches-maximum": Explanation(
            why="A test in which nobody was given all that there is says little about giving.",
            how="The largest size of any guest at any sample is compared with its maximum.",
            catches=("never-gives", "grows-too-slowly"),
            picture="""\
    maximum ..............
               ___-----      at most 100 MiB below it
          ___--
""",
        ),
    }
)


def criterion_text(name: str) -> Iterator[str]:
    """Yield the lines that explain a criterion; paragraphs are single lines, to be folded."""
    declared, lesson = CRITERIA[name], EXPLANATIONS[name]
    yield f"{name}: {declared.meaning}"
    yield ""
    yield f"Why: {lesson.why}"
    yield ""
    yield f"How it is worked out: {lesson.how}"
    yield ""
    yield from lesson.picture.rstrip("\n").splitlines()
    if declared.limits:
        yield ""
        yield "Limits, unless a scenario or a rubric says otherwise:"
        for limit in declared.limits:
            yield f"  {limit.name}: {_default(limit)}; {limit.meaning}"
    yield ""
    yield "Programs that fail it: " + ", ".join(lesson.catches)
    yield "  (in examples/submissions/flawed, each with the reason)"


def _default(limit: LimitDeclaration) -> str:
    if limit.default is None:
        return "not judged"
    unit = "" if limit.unit in ("share", "switch") else f" {limit.unit}"
    return f"{limit.default:g}{unit}"
