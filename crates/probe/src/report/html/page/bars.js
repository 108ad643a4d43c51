// One problem: every variant's cold and hot time as bars, beside the library and the floor.

const BAR_ROWS = 24;

function drawDetail() {
  const p = run().problems[view.problem];
  if (!p) return;
  $("detail-title").textContent = run().problems.some((o) => o.op !== p.op) ? `${p.op} ${p.name}` : p.name;
  const intensity = p.bytes ? p.flops / p.bytes : 0;
  clear($("detail-facts"), [
    `m ${p.m}, n ${p.n}, k ${p.k}${p.batch > 1 ? `, batch ${p.batch}` : ""}`, `moves ${bytes(p.bytes)} at least`,
    `${scaled(p.flops, ["", "k", "M", "G", "T"])} operations`, `${digits(intensity, 3)} operations a byte`,
    p.floor ? `cannot be below ${time(p.floor)} cold` : null,
  ].filter(Boolean).join(" · "));
  drawBars(p);
  drawMissing(p);
}

function drawBars(p) {
  const entries = [...p.measured].sort((a, b) => us(a) - us(b));
  const library = vendor(p);
  let shown = view.allBars ? entries : entries.slice(0, BAR_ROWS);
  if (library && !shown.includes(library)) shown = [...shown, library];
  const more = entries.length - shown.length;
  clear($("bars-more"), entries.length > BAR_ROWS
    ? h("button", { type: "button", onclick: () => { view.allBars = !view.allBars; drawBars(p); } },
      view.allBars ? `Show the ${BAR_ROWS} fastest` : `Show ${many(more, "slower variant")} more`)
    : null);
  if (!shown.length) {
    clear($("bars"), h("p", { class: "quiet" }, "Nothing was measured on this problem."));
    return;
  }
  clear($("bars"), barLegend(p), barChart(p, shown));
}

function barLegend(p) {
  const swatch = (name, type) => h("span", null,
    s("svg", { width: 14, height: 10, class: type, "aria-hidden": "true" }, s("rect", { class: "cold", width: 14, height: 6 }), s("rect", { class: "hot", y: 7, width: 14, height: 3 })), name);
  const types = new Set(p.measured.map((e) => kind(e.variant)));
  return h("div", { class: "legend" },
    h("span", null, "thick bar cold, thin bar hot, whisker 95 % interval of the median"),
    types.has("ours") ? swatch("ours", "ours") : null,
    types.has("off") ? swatch("ours, not enabled", "off") : null,
    types.has("library") ? swatch("library", "library") : null,
    RUNS.length > 1 ? h("span", null, "◇ other run") : null);
}

function barChart(p, shown) {
  const width = Math.max(300, $("bars").clientWidth || 880);
  const phone = width < 560;
  const height = phone ? 38 : 22;
  const names = phone ? 0 : Math.min(320, Math.max(...shown.map((e) => wide(e.variant.id))) + 12, width * 0.36);
  const columns = phone ? [] : [["cold", 62], ["hot", 62], ["to library", 66], ["roofline", 60]];
  const right = columns.reduce((sum, [, w]) => sum + w, 0);
  const [left, end, top] = [names, width - right - 8, phone ? 32 : 40];
  const library = vendor(p);
  const first = Math.min(...shown.map((e) => us(e)));
  const worth = Math.max(first, library ? us(library) : 0, p.floor || 0);
  // Bars begin at zero; those far beyond what is worth comparing are cut, and say so.
  const most = Math.min(Math.max(...shown.map((e) => Math.max(e.cold.high, e.hot.high))), 4 * worth) * 1.03;
  const x = (v) => left + (Math.min(v, most) / most) * (end - left);
  const total = top + shown.length * height + 4;

  const [lines, marks] = [[], []];
  const mark = (value, type, text, y) => {
    if (value === undefined || value === null || value > most) return;
    const anchor = x(value) > end - 90 ? "end" : x(value) < left + 60 ? "start" : "middle";
    lines.push(s("line", { class: `mark-${type}`, x1: x(value), x2: x(value), y1: y + 3, y2: total - 4 }));
    marks.push(s("text", { class: `mark-${type}-text`, x: x(value), y, "text-anchor": anchor }, text));
  };
  mark(p.floor, "floor", `floor ${time(p.floor || 0)}`, 11);
  mark(library && us(library), "library", library ? `library ${time(us(library))}` : "", phone ? 24 : 24);
  const axis = phone ? [] : ticks(0, most, Math.max(3, Math.floor((end - left) / 62))).map((v) => s("g", { class: "tick" },
    s("line", { class: "grid", x1: x(v), x2: x(v), y1: top - 2, y2: total - 4 }),
    s("text", { x: x(v), y: top - 5, "text-anchor": "middle" }, v === 0 ? "0" : time(v))));
  let edge = width - 2;
  const heads = [...columns].reverse().map(([name, w]) => {
    const node = s("text", { class: "note number", x: edge, y: top - 5 }, name);
    edge -= w;
    return node;
  });
  const rows = shown.map((e, i) => barRow(e, top + i * height, { width, height, phone, names, left, end, x, most, columns, library }));
  return s("svg", { viewBox: `0 0 ${width} ${total}`, width, height: total, role: "group", "aria-label": `Times of ${shown.length} variants` },
    axis, heads, rows, s("line", { class: "axis", x1: left, x2: left, y1: top - 2, y2: total - 4 }), lines, marks);
}

function barRow(e, y, g) {
  const base = g.phone ? y + 16 : y;
  const v = g.library;
  const over = v ? us(e) / us(v) : null;
  const bar = (state, from, thick) => {
    const to = g.x(e[state].us);
    const beyond = e[state].us > g.most;
    return [
      s("rect", { class: state, x: g.left, y: base + from, width: Math.max(1, to - g.left), height: thick }),
      // A slanted notch says that the bar goes on.
      beyond ? s("path", { class: "cut", d: `M${to - 14} ${base + from + thick + 1}l6 ${-thick - 2}h4l-6 ${thick + 2}z` }) : null,
    ];
  };
  const whisker = (state, middle, half) => {
    const [low, high] = [g.x(e[state].low), g.x(e[state].high)];
    if (e[state].high > g.most || high - low < 1.5) return null;
    const at = base + middle;
    return s("path", { class: "whisker", d: `M${low} ${at - half}v${2 * half}M${low} ${at}H${high}M${high} ${at - half}v${2 * half}` });
  };
  const others = elsewhere(e).filter((o) => us(o.entry) <= g.most).map((o) => {
    const [cx, cy] = [g.x(us(o.entry)), base + 7];
    return s("path", { class: "other-run", d: `M${cx} ${cy - 4}l4 4l-4 4l-4 -4z` });
  });
  const part = roofline(e);
  const texts = { cold: time(e.cold.us), hot: time(e.hot.us), "to library": over === null || e.variant.library ? "" : ratio(over), roofline: part ? percent(part) : "" };
  let edge = g.width - 2;
  const numbers = [...g.columns].reverse().map(([name, w]) => {
    const strong = name === view.state || (name === "to library" && over !== null && over <= 1);
    const node = s("text", { class: `number ${strong ? "strong" : "dim"}`, x: edge, y: y + 15 }, texts[name]);
    edge -= w;
    return node;
  });
  const label = g.phone
    ? [s("text", { class: "name", x: 0, y: y + 12 }, cut(e.variant.id, g.width - 130)),
      s("text", { class: "number strong", x: g.width - 2, y: y + 12 }, time(us(e)) + (texts["to library"] ? "  " + texts["to library"] : ""))]
    : s("text", { class: "name", x: g.names - 8, y: y + 15, "text-anchor": "end" }, cut(e.variant.id, g.names - 8));
  const row = s("g", { class: `row ${kind(e.variant)}`, tabindex: 0, role: "img", "aria-label": describe(e).filter(Boolean).join("; ") },
    s("rect", { class: "back", x: 0, y, width: g.width, height: g.height }), label,
    bar("cold", 3, 9), bar("hot", 13, 4), whisker("cold", 7.5, 3), whisker("hot", 15, 2), others, numbers);
  return tip.on(row, () => describe(e));
}

// What has no time on this problem, by outcome, each with its reason.
function drawMissing(p) {
  const groups = ["failed", "impossible", "checked", "gap"].map((o) => [o, p.entries.filter((e) => e.outcome === o)]).filter(([, l]) => l.length);
  const words = { failed: "failed", impossible: "with an impossible time", checked: "checked, not timed", gap: "not for this problem" };
  const line = ([reason, names]) => h("li", null, h("span", null, names.join(", ")), h("span", { class: "why" }, reason || "the device has no clock worth reading"));
  clear($("detail-gaps"), groups.map(([outcome, list]) => {
    const reasons = new Map();
    for (const e of list) reasons.set(e.reason, [...(reasons.get(e.reason) || []), e.variant.id]);
    return h("details", { open: BAD.includes(outcome) }, h("summary", null, `${list.length} ${words[outcome]}`), h("ul", { class: "reasons" }, [...reasons].map(line)));
  }));
}

// All without a time, the same reason of the same variant once.
function drawGaps() {
  const groups = new Map();
  for (const e of run().problems.flatMap((p) => p.entries).filter((e) => !e.cold)) {
    const key = `${e.outcome}\n${e.variant.id}\n${e.outcome === "gap" ? e.reason.replace(/=\d+/g, "=…") : e.reason}`;
    const group = groups.get(key) || { outcome: e.outcome, variant: e.variant.id, reason: e.reason, problems: [] };
    group.problems.push(e.problem.name);
    groups.set(key, group);
  }
  const list = [...groups.values()];
  if (!list.length) {
    clear($("gaps"), h("p", { class: "quiet" }, "Every variant was measured on every problem."));
    return;
  }
  const line = (g) => h("li", null,
    h("span", null, h("span", { class: `word ${g.outcome}` }, g.outcome), " ", g.variant),
    h("span", { class: "why" }, g.reason, h("br"), g.problems.length > 3 ? `${g.problems.length} problems: ${g.problems.slice(0, 3).join(", ")}, …` : g.problems.join(", ")));
  const part = (title, of, open) => (of.length ? h("details", { open }, h("summary", null, title), h("ul", { class: "reasons" }, of.map(line))) : null);
  clear($("gaps"),
    part("Failed, or an impossible time", list.filter((g) => BAD.includes(g.outcome)), true),
    part("Checked, not timed", list.filter((g) => g.outcome === "checked"), false),
    part(`Gaps: problems that a variant does not take (${list.filter((g) => g.outcome === "gap").length} reasons)`, list.filter((g) => g.outcome === "gap"), list.length < 12));
}
