"""The terminal view of a host as it is now: follows what is seen, and looks back on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from virtlab.errors import VirtlabError
from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import RunVerdict
from virtlab.reports.live.lines import GLYPHS, Glyphs
from virtlab.reports.live.scene import Scene, acts_of
from virtlab.reports.live.view import RunView

__all__ = ["HostView"]


class HostView(RunView):
    """One host: a look at each interval, the newest shown as long as nobody stops it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Stop, go on"),
        Binding("right,l", "step(1)", "Step"),
        Binding("left,h", "step(-1)", "Back"),
        Binding("a", "next_act", "Act"),
        Binding("m", "matter", "CPUs, memory"),
        Binding("home,g", "seek(0)", "Oldest", show=False),
        Binding("end,G", "pause", "Now", show=False),
        Binding("q,escape", "quit", "Quit"),
    ]

    def __init__(
        self,
        first: Timeline,
        look: Callable[[], Timeline],
        verdict: RunVerdict,
        *,
        interval_s: float = 1.0,
        glyphs: Glyphs = GLYPHS,
        colour: bool = True,
    ) -> None:
        """Take what was seen so far, and how to look once more.

        Args:
            first: a look at least.
            look: looks once more, in a thread, and returns the newest looks. What it raises of the
                lab's own errors is shown, and it is called again.
            verdict: names the host; nothing is judged here.
            interval_s: from look to look.
            glyphs: the letters of bars.
            colour: whether there is colour.
        """
        super().__init__(first, verdict, glyphs=glyphs, colour=colour)
        self._look = look
        self._interval_s = interval_s
        self._index = len(first.times_ns) - 1
        self._trouble = ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave out what is for recorded runs alone."""
        return action not in ("speed", "failure")

    def action_pause(self) -> None:
        """Stop at what is shown, or go on with what is now."""
        self._playing = not self._playing
        if self._playing:
            self._index = len(self._timeline.times_ns) - 1
        self._show()

    def _set_ticker(self) -> None:
        if self._ticker is None:
            self._ticker = self.set_interval(self._interval_s, self._tick)

    def _tick(self) -> None:
        # One look at a time: a host that does not answer gathers no queue.
        if not any(worker.group == "look" and worker.is_running for worker in self.workers):
            self.run_worker(self._look_once, thread=True, group="look")

    def _look_once(self) -> None:
        try:
            seen = self._look()
        except VirtlabError as error:
            self.call_from_thread(self._troubled, f"{str(error).splitlines()[0]}; trying again")
        else:
            self.call_from_thread(self._took, seen)

    def _troubled(self, said: str) -> None:
        self._trouble = said
        self._show()

    def _took(self, seen: Timeline) -> None:
        stopped_s = None if self._playing else self._times_s[self._index]
        self._trouble = ""
        self._timeline = seen
        self._acts = acts_of(seen)
        self._times_s = [time_ns / NS_PER_S for time_ns in seen.times_ns]
        self._index = len(seen.times_ns) - 1 if stopped_s is None else self._sample_at(stopped_s)
        self._show()

    def _where(self, scene: Scene) -> str:
        return f"{scene.time_s:.0f} s, {'now' if self._playing else 'stopped'}"

    def _show(self, said: str = "") -> None:
        super()._show(said or self._trouble)
