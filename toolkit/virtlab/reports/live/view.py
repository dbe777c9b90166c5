"""The terminal view of a run, by textual: plays a timeline, stops, steps, and leads to failures."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.timer import Timer
from textual.widgets import Footer, Static

from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import RunVerdict
from virtlab.reports.items import readable
from virtlab.reports.live.lines import GLYPHS, Glyphs, guest_lines, pcpu_lines
from virtlab.reports.live.scene import Act, Scene, acts_of, scene_of

__all__ = ["SPEEDS", "RunView"]

SPEEDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)  # scenario seconds in a real one
_ACTS_SHOWN = 6


class RunView(App[None]):
    """One run, played like a film."""

    TITLE = "virtlab watch"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; }
    #head, #foot { height: auto; padding: 0 1; }
    #body { height: 1fr; padding: 0 1; }
    #acts { height: auto; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Play"),
        Binding("right,l", "step(1)", "Step"),
        Binding("left,h", "step(-1)", "Back"),
        Binding("plus,equals_sign", "speed(1)", "Faster", key_display="+"),
        Binding("minus", "speed(-1)", "Slower", key_display="-"),
        Binding("f", "failure", "Failure"),
        Binding("a", "next_act", "Act"),
        Binding("m", "matter", "CPUs, memory", show=False),
        Binding("home,g", "seek(0)", "Start", show=False),
        Binding("end,G", "seek(-1)", "End", show=False),
        Binding("q,escape", "quit", "Quit"),
    ]

    def __init__(
        self,
        timeline: Timeline,
        verdict: RunVerdict,
        *,
        speed: float = 5.0,
        glyphs: Glyphs = GLYPHS,
        colour: bool = True,
    ) -> None:
        """Take what is played, how fast at first, the letters of bars, and whether there is colour.

        Raises:
            ValueError: the timeline has no sample.
        """
        if not timeline.times_ns:
            raise ValueError("a timeline without samples cannot be played")
        super().__init__()
        self._timeline = timeline
        self._verdict = verdict
        self._glyphs = glyphs
        # Without colour textual makes grey of it, and of red a dark one.
        self._alarm = "bold red" if colour else "bold reverse"
        self._memory = timeline.program_kind == "memory_coordinator"  # what is shown of guests
        self._acts = acts_of(timeline)
        self._speed = min(range(len(SPEEDS)), key=lambda n: abs(SPEEDS[n] - speed))
        self._times_s = [time_ns / NS_PER_S for time_ns in timeline.times_ns]
        self._index = 0
        self._playing = True
        self._ticker: Timer | None = None

    @property
    def index(self) -> int:
        """Return the number of the sample that is shown."""
        return self._index

    @property
    def playing(self) -> bool:
        """Tell whether it goes on by itself."""
        return self._playing

    def compose(self) -> ComposeResult:
        """Lay out head, bars, acts and keys."""
        yield Static(id="head", markup=False)
        with VerticalScroll(id="body"):
            yield Static(id="bars", markup=False)
        yield Static(id="acts", markup=False)
        yield Static(id="foot", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Show the first moment, and begin to play."""
        self._set_ticker()
        self._show()

    def on_resize(self) -> None:
        """Draw anew for another width."""
        self._show()

    def action_pause(self) -> None:
        """Stop or go on; at the end, begin again."""
        if not self._playing and self._index == len(self._times_s) - 1:
            self._index = 0
        self._playing = not self._playing
        self._show()

    def action_step(self, by: int) -> None:
        """Go to the next sample, or to the one before, and stop there."""
        self._stop_at(self._index + by)

    def action_seek(self, index: int) -> None:
        """Go to the start, or with -1 to the end."""
        self._stop_at(len(self._times_s) - 1 if index < 0 else index)

    def action_speed(self, by: int) -> None:
        """Play faster or slower."""
        self._speed = min(max(self._speed + by, 0), len(SPEEDS) - 1)
        self._set_ticker()
        self._show()

    def action_matter(self) -> None:
        """Show memory instead of pCPUs, or these again."""
        self._memory = not self._memory
        self._show()

    def action_failure(self) -> None:
        """Go to the next moment from which on a criterion is not met; after the last, the first."""
        starts = sorted(
            {span.start_s for result in self._verdict.criteria for span in result.spans}
        )
        self._seek_next(starts, "no criterion names a moment at which it fails")

    def action_next_act(self) -> None:
        """Go to the next moment at which something was done or happened."""
        self._seek_next(sorted({act.time_s for act in self._acts}), "nothing was done")

    def _seek_next(self, moments_s: list[float], nothing: str) -> None:
        if not moments_s:
            self._playing = False
            self._show(nothing)
            return
        # A sample shows what was done up to it.
        places = sorted({self._sample_at(moment) for moment in moments_s})
        following = bisect_right(places, self._index)
        self._stop_at(places[following % len(places)])

    def _sample_at(self, moment_s: float) -> int:
        return min(bisect_left(self._times_s, moment_s), len(self._times_s) - 1)

    def _stop_at(self, index: int) -> None:
        self._playing = False
        self._index = min(max(index, 0), len(self._times_s) - 1)
        self._show()

    def _set_ticker(self) -> None:
        if self._ticker is not None:
            self._ticker.stop()
        self._ticker = self.set_interval(1 / SPEEDS[self._speed], self._tick)

    def _tick(self) -> None:
        if not self._playing:
            return
        self._index = min(self._index + 1, len(self._times_s) - 1)
        if self._index == len(self._times_s) - 1:
            self._playing = False
        self._show()

    def _show(self, said: str = "") -> None:
        if not self.is_running:
            return
        scene = scene_of(self._timeline, self._verdict, self._index)
        width = max(self.size.width - 4, 20)
        self.query_one("#head", Static).update(self._head(scene, width))
        self.query_one("#bars", Static).update(self._bars(scene, width))
        self.query_one("#acts", Static).update(self._acts_text(width))
        self.query_one("#foot", Static).update(self._failing(scene) or Text(said))

    def _where(self, scene: Scene) -> str:
        state = "playing" if self._playing else "paused"
        clock = f"{scene.time_s:.0f} of {self._timeline.duration_ns / NS_PER_S:.0f} s"
        return f"{clock}, {state}, x{SPEEDS[self._speed]:g}"

    def _head(self, scene: Scene, width: int) -> Text:
        where = self._where(scene)
        title = f"{self._timeline.scenario} - {readable(self._verdict.program)}"
        gap = max(width - len(title) - len(where), 2)
        host = f"host: {scene.host_free:.0f} MiB free"
        if scene.host_swap >= 1:
            host += f", {scene.host_swap:.0f} MiB swapped"
        if not self._memory:
            host += f"; {self._glyphs.bound} is bound to its pCPU alone"
        return Text(f"{title}{' ' * gap}{where}\n{host}", style="bold", overflow="ellipsis")

    def _bars(self, scene: Scene, width: int) -> Text:
        text = Text(no_wrap=True)
        draw = guest_lines if self._memory else pcpu_lines
        for line in draw(scene, width, self._glyphs):
            text.append(f"{line.text}\n", style="bold" if line.alarming else "")
        return text

    def _acts_text(self, width: int) -> Text:
        now_s = self._times_s[self._index]
        past = bisect_right([act.time_s for act in self._acts], now_s)
        text = Text(no_wrap=True, overflow="ellipsis")
        shown: list[Act | None] = [*self._acts[max(past - _ACTS_SHOWN, 0) : past]]
        for act in [*shown, *[None] * (_ACTS_SHOWN - len(shown))]:
            if act is None:
                text.append("\n")
                continue
            fresh = act.time_s > self._times_s[max(self._index - 1, 0)] or self._index == 0
            style = self._alarm if act.alarming else "bold" if fresh else "dim"
            text.append(f"{act.time_s:8.2f} s  {readable(act.text)}"[:width] + "\n", style=style)
        return text

    def _failing(self, scene: Scene) -> Text:
        if not scene.failing:
            return Text("")
        first = scene.failing[0]
        more = f" (and {len(scene.failing) - 1} more)" if len(scene.failing) > 1 else ""
        return Text(f"not met: {first.name}{more}: {first.reason}", style=self._alarm)
