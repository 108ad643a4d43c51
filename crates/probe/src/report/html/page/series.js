// Time over one dimension, all else equal, both axes logarithmic.

// Distinct in lightness as well as in hue; shapes tell them apart without colour.
const LINES = [["#0a6bb5", "#5bb0ee"], ["#8d3f8f", "#d79ae8"], ["#00805f", "#3fc79c"], ["#b8400a", "#f08150"], ["#5b5f97", "#a9aef0"], ["#7a6a00", "#d6c85a"]];
const SHAPES = ["M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z", "M-3.2 -3.2h6.4v6.4h-6.4z", "M0 -4.2l4.2 7.2h-8.4z", "M0 -4.4l4.4 4.4l-4.4 4.4l-4.4 -4.4z", "M0 4.2l4.2 -7.2h-8.4z", "M-4 -1.4h2.6v-2.6h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6z"];

function findSeries(r) {
  const found = new Map();
  for (const axis of ["m", "n", "k"]) {
    for (const p of r.problems) {
      const rest = p.key.replace(new RegExp(`\\b${axis}=\\d+`), `${axis}=*`);
      const id = `${axis}|${rest}|${p.detail}`;
      const fixed = ["m", "n", "k"].filter((d) => d !== axis).map((d) => `${d}=${p[d]}`).join(" ");
      const kindOf = rest.split(" ").filter((w) => !/^(m|n|k)=/.test(w)).join(" ");
      const group = found.get(id) || { id, axis, label: `over ${axis}: ${kindOf}, ${fixed}${p.detail ? " " + p.detail : ""}`, problems: new Map() };
      group.problems.set(p[axis], p);
      found.set(id, group);
    }
  }
  const list = [...found.values()].filter((g) => g.problems.size >= 4);
  for (const g of list) g.problems = [...g.problems.values()].sort((a, b) => a[g.axis] - b[g.axis]);
  return list.sort((a, b) => b.problems.length - a.problems.length);
}

function drawSeriesChoice() {
  const list = findSeries(run());
  const select = $("series-choice");
  const before = select.value;
  clear(select, list.map((g) => h("option", { value: g.id }, `${g.label} (${g.problems.length} points)`)));
  if (list.some((g) => g.id === before)) select.value = before;
  $("series-section").hidden = !list.length;
}

function drawSeries() {
  const group = findSeries(run()).find((g) => g.id === $("series-choice").value);
  if (!group) return;
  const width = Math.max(300, $("series").clientWidth || 1200);
  const phone = width < 640;
  const [left, right, top, bottom] = [56, phone ? 10 : 250, 14, 34];
  const height = phone ? 320 : 400;
  const points = new Map();
  for (const p of group.problems) {
    for (const e of p.measured) {
      const list = points.get(e.variant.id) || points.set(e.variant.id, []).get(e.variant.id);
      list.push({ at: p[group.axis], e });
    }
  }
  const wins = new Map();
  for (const p of group.problems) {
    const b = best(p);
    if (b) wins.set(b.variant.id, (wins.get(b.variant.id) || 0) + 1);
  }
  const nearness = (list) => geomean(list.map(({ e }) => us(e) / us(best(e.problem) || e)));
  const all = [...points].map(([id, list]) => ({ id, list, library: list[0].e.variant.library, wins: wins.get(id) || 0, near: nearness(list) }));
  const named = all.filter((l) => !l.library).sort((a, b) => b.wins - a.wins || a.near - b.near).slice(0, LINES.length);
  const libraries = all.filter((l) => l.library);
  const rest = all.filter((l) => !l.library && !named.includes(l));
  const floors = group.problems.filter((p) => p.floor).map((p) => ({ at: p[group.axis], us: p.floor }));

  const xs = group.problems.map((p) => p[group.axis]);
  const ys = [...named, ...libraries].flatMap((l) => l.list.flatMap(({ e }) => [e[view.state].low, e[view.state].high])).concat(floors.map((f) => f.us));
  const [low, high] = [Math.min(...ys) / 1.15, Math.max(...ys) * 1.15];
  const x = logScale(xs[0], xs[xs.length - 1], left + 8, width - right - 8);
  const y = logScale(low, high, height - bottom, top);
  const dark = document.documentElement.dataset.theme === "dark" ? 1 : 0;
  // A line breaks where a point is missing: nothing is known there.
  const follows = (list, i) => i > 0 && xs.indexOf(list[i].at) === xs.indexOf(list[i - 1].at) + 1;
  const path = (list) => list.map((q, i) => `${follows(list, i) ? "L" : "M"}${x(q.at).toFixed(1)} ${y(q.us ?? us(q.e)).toFixed(1)}`).join("");

  let lastLabel = -Infinity;
  const axes = [
    logTicks(low, high, 9).map((v) => s("g", { class: "tick" }, s("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }), s("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, time(v)))),
    xs.map((v) => {
      const room = x(v) - lastLabel > 44;
      if (room) lastLabel = x(v);
      return s("g", { class: "tick" }, s("line", { class: "axis", x1: x(v), x2: x(v), y1: height - bottom, y2: height - bottom + 4 }), room ? s("text", { x: x(v), y: height - bottom + 16, "text-anchor": "middle" }, v) : null);
    }),
    s("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    s("text", { class: "note", x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle" }, `${group.axis}, logarithmic; time ${view.state}, logarithmic`),
  ];
  const clip = s("clipPath", { id: "series-clip" }, s("rect", { x: left, y: 0, width: width - left - right, height: height - bottom }));
  const drawn = [
    rest.map((l) => s("path", { class: "line rest", d: path(l.list) })),
    floors.length > 1 ? s("path", { class: "line floor", d: path(floors) }) : null,
    libraries.map((l) => s("path", { class: "line library", d: path(l.list) })),
    named.map((l, i) => {
      const colour = LINES[i][dark];
      return s("g", null, s("path", { class: "line", stroke: colour, d: path(l.list) }),
        l.list.map(({ at, e }) => [
          s("line", { class: "band", stroke: colour, x1: x(at), x2: x(at), y1: y(e[view.state].low), y2: y(e[view.state].high) }),
          s("path", { class: "shape", fill: colour, d: SHAPES[i], transform: `translate(${x(at)} ${y(us(e))})` }),
        ]));
    }),
  ];
  const ends = [
    ...named.map((l, i) => ({ text: l.id, colour: LINES[i][dark], shape: SHAPES[i], value: us(l.list[l.list.length - 1].e) })),
    ...libraries.map((l) => ({ text: l.id, colour: "var(--library)", value: us(l.list[l.list.length - 1].e) })),
    ...(floors.length > 1 ? [{ text: "floor", colour: "var(--floor)", value: floors[floors.length - 1].us }] : []),
  ];
  const cross = s("line", { class: "crosshair", y1: top, y2: height - bottom, visibility: "hidden" });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, tabindex: 0, role: "img", "aria-label": `Time ${group.label}; arrow keys walk the points` },
    s("defs", null, clip), axes, s("g", { "clip-path": "url(#series-clip)" }, drawn), phone ? null : endLabels(ends, y, width - right + 2, height - bottom), cross);
  walkSeries(svg, group, x, cross, top);
  clear($("series"), phone ? seriesLegend(ends) : null, svg,
    rest.length ? h("p", { class: "quiet" }, `Thin lines: ${many(rest.length, "variant")} more.`) : null);
}

// Names at the ends of their lines, pushed apart where they would touch.
function endLabels(ends, y, x, lowest) {
  const placed = ends.map((e) => ({ ...e, from: y(e.value), at: y(e.value) })).sort((a, b) => a.from - b.from);
  placed.forEach((l, i) => { if (i) l.at = Math.max(l.at, placed[i - 1].at + 15); });
  let limit = lowest + 4;
  for (const l of [...placed].reverse()) { l.at = Math.min(l.at, limit); limit = l.at - 15; }
  return placed.map((l) => s("g", null,
    s("path", { d: `M${x - 6} ${l.from}L${x + 8} ${l.at}h4`, stroke: l.colour, fill: "none", "stroke-width": 1, opacity: 0.6 }),
    l.shape ? s("path", { class: "shape", d: l.shape, fill: l.colour, transform: `translate(${x + 18} ${l.at})` }) : null,
    s("text", { x: x + (l.shape ? 26 : 16), y: l.at + 4, style: `fill:${l.colour}` }, cut(l.text, 216), s("title", null, l.text))));
}

function seriesLegend(ends) {
  return h("div", { class: "legend" }, ends.map((e) => h("span", { style: `color:${e.colour}` },
    e.shape ? s("svg", { width: 11, height: 11, viewBox: "-5 -5 10 10", "aria-hidden": "true" }, s("path", { d: e.shape, fill: e.colour })) : "– ", e.text)));
}

function walkSeries(svg, group, x, cross, top) {
  let at = -1;
  const show = (i, clientY) => {
    at = Math.max(0, Math.min(group.problems.length - 1, i));
    const p = group.problems[at];
    const px = x(p[group.axis]);
    fill(cross, { x1: px, x2: px, visibility: "visible" }, []);
    const list = [...p.measured].sort((a, b) => us(a) - us(b));
    const box = svg.getBoundingClientRect();
    tip.show([p.name, ...list.slice(0, 8).map((e) => `${time(us(e))}  ${e.variant.id}`), list.length > 8 ? `and ${list.length - 8} more` : null,
      p.floor ? `${time(p.floor)}  floor` : null], box.left + (px / svg.viewBox.baseVal.width) * box.width, clientY ?? box.top + top + 20);
  };
  const hide = () => { cross.setAttribute("visibility", "hidden"); tip.hide(); };
  svg.addEventListener("pointermove", (e) => {
    const box = svg.getBoundingClientRect();
    const px = ((e.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const near = group.problems.map((p, i) => [Math.abs(x(p[group.axis]) - px), i]).sort((a, b) => a[0] - b[0])[0][1];
    show(near, e.clientY);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    e.preventDefault();
    show(at + step);
  });
}
