"use strict";
// Draws the charts of a page when they come near the screen, and ties a run's charts together.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const runs = new Map(); // of each run: its views that are drawn, and the time that they show

  // Data travel with their moments written once; Vega-Lite wants a row for each value.
  function rows(data) {
    if (data.rows) return data.rows;
    const found = [];
    for (const [line, values] of Object.entries(data.lines)) {
      values.forEach((value, index) => {
        const t = data.t[index];
        const row = { line, t, value };
        if (data.end_after) row.end = index + 1 < data.t.length ? data.t[index + 1] : t + data.end_after;
        found.push(row);
      });
    }
    return found;
  }

  const CONFIG = {
    background: "transparent",
    view: { stroke: "var(--line)" },
    axis: { labelColor: "var(--ink)", titleColor: "var(--faint)", gridColor: "var(--line)",
      gridOpacity: 0.6, domainColor: "var(--line)", tickColor: "var(--line)" },
    legend: { labelColor: "var(--ink)", titleColor: "var(--faint)", symbolStrokeWidth: 3 },
    font: "system-ui, sans-serif",
  };

  async function draw(figure) {
    const { spec, data, run, title } = charts[figure.dataset.chart];
    spec.datasets = Object.fromEntries(
      Object.entries(data).map(([name, one]) => [name, rows(one)]));
    spec.description = title;
    const target = figure.querySelector(".chart");
    const { view } = await vegaEmbed(target, spec,
      { renderer: "svg", actions: false, config: CONFIG });
    if (run) await tie(view, run, spec);
    for (const box of figure.querySelectorAll("fieldset input")) {
      box.addEventListener("change", () => {
        const chosen = [...figure.querySelectorAll("fieldset input:checked")];
        view.signal("shown", chosen.map(one => one.value)).runAsync();
      });
    }
    figure.dataset.drawn = "yes";
  }

  // Whichever chart of a run is dragged or stretched, the others follow.
  async function tie(view, run, spec) {
    if (!runs.has(run)) {
      const all = spec.layer.map(layer => layer.encoding.x?.scale?.domain).find(Boolean);
      runs.set(run, { views: new Set(), all, time: all, applying: false });
    }
    const state = runs.get(run);
    state.views.add(view);
    await apply(state);
    view.addSignalListener("zoom_t", (_, time) => {
      if (state.applying || !time) return; // it was we who moved it
      state.time = time;
      apply(state);
    });
  }

  async function apply(state) {
    if (state.applying) return; // who is at it looks again
    state.applying = true;
    try {
      let time;
      do {
        time = state.time;
        for (const view of state.views) await view.signal("zoom_t", time).runAsync();
      } while (time !== state.time);
    } finally { state.applying = false; }
  }

  const near = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      pending = pending.then(() => draw(entry.target)).catch(error => {
        entry.target.querySelector(".chart").textContent = "This chart could not be drawn: " + error.message;
        console.error(error);
      });
    }
  }, { rootMargin: "600px" });
  let pending = Promise.resolve();
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  figures.forEach(figure => near.observe(figure));
  addEventListener("beforeprint", () => figures.forEach(figure => {
    if (!figure.dataset.drawn) draw(figure);
  }));

  // --- buttons of a run

  const SHIFT = 0.25, STRETCH = 2;
  const acts = {
    whole: (_, all) => all,
    in: ([a, b]) => [a + (b - a) / 4, b - (b - a) / 4],
    out: ([a, b], all) => {
      const half = (b - a) / 2 * STRETCH, middle = (a + b) / 2;
      return [Math.max(all[0], middle - half), Math.min(all[1], middle + half)];
    },
    earlier: ([a, b], all) => { const by = Math.min((b - a) * SHIFT, a - all[0]); return [a - by, b - by]; },
    later: ([a, b], all) => { const by = Math.min((b - a) * SHIFT, all[1] - b); return [a + by, b + by]; },
  };
  document.addEventListener("click", async event => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy !== undefined) {
      const text = button.previousElementSibling.textContent;
      try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(button.previousElementSibling); }
      return;
    }
    if (button.dataset.sort !== undefined) { sort(button); return; }
    const state = runs.get(button.dataset.run);
    if (!state) return;
    const at = Number(button.dataset.at), around = (state.all[1] - state.all[0]) / 10;
    state.time = button.dataset.act === "failure"
      ? [Math.max(state.all[0], at - around), Math.min(state.all[1], at + around)]
      : acts[button.dataset.act](state.time, state.all);
    apply(state);
  });

  // --- tables of a class

  function sort(button) {
    const cell = button.closest("th"), table = cell.closest("table");
    const column = [...cell.parentNode.children].indexOf(cell);
    const down = cell.getAttribute("aria-sort") === "ascending";
    for (const other of cell.parentNode.children) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = row => {
      const text = row.children[column].textContent.trim(), number = parseFloat(text);
      return text !== "" && !Number.isNaN(number) ? number : text;
    };
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      return typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    };
    const body = table.tBodies[0];
    [...body.rows].sort((a, b) => (down ? -1 : 1) * order(a, b)).forEach(row => body.append(row));
  }
  const search = document.getElementById("search");
  search?.addEventListener("input", () => {
    for (const row of document.querySelectorAll("#class tbody tr")) {
      row.hidden = !row.textContent.toLowerCase().includes(search.value.toLowerCase());
    }
  });
})();
