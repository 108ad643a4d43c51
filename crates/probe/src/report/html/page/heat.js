// Every variant (rows) on every problem (columns): time over the best of ours, as lightness.

const HEAT = { most: 8, steps: [1, 1.5, 2, 4, 8] };

// 1 at the best, 0 at HEAT.most times the best and beyond.
const strength = (over) => 1 - Math.min(1, Math.log(Math.max(1, over)) / Math.log(HEAT.most));
const shade = (over) => `color-mix(in oklab, var(--heat-high) ${Math.round(100 * strength(over))}%, var(--heat-low))`;

function drawHeat() {
  const r = run();
  const problems = r.problems;
  const byVariant = new Map(r.variants.map((v) => [v.id, { v, cells: new Array(problems.length).fill(null), overs: [], wins: 0 }]));
  for (const p of problems) {
    const b = best(p);
    for (const e of p.entries) {
      const row = byVariant.get(e.variant.id);
      const over = e.cold && b ? us(e) / us(b) : null;
      row.cells[p.index] = { e, over };
      if (over !== null) row.overs.push(over);
      if (e === b) row.wins += 1;
    }
  }
  const score = (row) => (row.overs.length ? geomean(row.overs) : Infinity);
  const tried = (row) => row.cells.some((c) => c && (c.over !== null || BAD.includes(c.e.outcome)));
  const rows = [...byVariant.values()].filter(tried).sort((a, b) => b.wins - a.wins || score(a) - score(b));
  const leftOut = byVariant.size - rows.length;
  $("heat-note").textContent = `Time ${view.state} over the best of ours on the same problem. Variants that win most come first; the number is how often. Arrow keys walk the cells, Enter shows the problem.${leftOut ? ` ${many(leftOut, "variant")} without a time on any problem ${leftOut === 1 ? "is" : "are"} left out.` : ""}`;
  if (!rows.length) {
    clear($("heat-legend"));
    clear($("heat"), h("p", { class: "quiet" }, "Nothing was measured."));
    return;
  }
  heatLegend();

  const width = Math.max(300, $("heat").clientWidth || 1200);
  const phone = width < 640;
  const left = phone ? 150 : 340;
  const size = Math.max(11, Math.min(30, Math.floor((width - left - 12) / problems.length)));
  const high = 17;
  const longest = Math.max(...problems.map((p) => wide(p.name, 11)));
  const slanted = size < longest + 8;
  const top = slanted ? Math.min(190, Math.round(longest) + 12) : 22;
  const [w, hgt] = [left + problems.length * size + 12, top + rows.length * high + 6];
  const x = (c) => left + c * size;
  const y = (i) => top + i * high;
  const column = s("rect", { class: "column-at", x: x(view.problem), y: 0, width: size, height: hgt });
  const heads = problems.map((p) => s("g", { class: "tick" }, slanted
    ? s("text", { transform: `translate(${x(p.index) + size / 2 + 4} ${top - 6}) rotate(-90)` }, cut(p.name, top - 10, 11), s("title", null, p.name))
    : s("text", { x: x(p.index) + size / 2, y: top - 6, "text-anchor": "middle" }, p.name)));
  const body = rows.map((row, i) => s("g", { class: kind(row.v) },
    s("text", { class: "name", x: left - 38, y: y(i) + 12.5, "text-anchor": "end" }, cut(row.v.id, left - 46), s("title", null, row.v.id)),
    s("text", { class: "note", x: left - 8, y: y(i) + 12.5, "text-anchor": "end" }, row.wins || ""),
    row.cells.map((c, p) => (c ? heatCell(c, x(p), y(i), size, high) : null)),
    row.cells.map((c, p) => (c && c.over === 1 && !row.v.library ? s("circle", { class: "cell-win", cx: x(p) + size / 2, cy: y(i) + high / 2, r: 2 }) : null))));
  const cursor = s("rect", { class: "cell-at", width: size, height: high, visibility: "hidden" });
  const svg = s("svg", { viewBox: `0 0 ${w} ${hgt}`, width: w, height: hgt, tabindex: 0, role: "application", "aria-label": "Heat map of variants and problems; arrow keys walk" },
    column, heads, body, cursor);
  walkHeat(svg, rows, { x, y, size, high, left, top, cursor });
  clear($("heat"), svg);
}

function heatCell({ e, over }, x, y, w, height) {
  const [cx, cy] = [x + w / 2, y + height / 2];
  if (over !== null) return s("rect", { class: "cell", x, y, width: w, height, style: `fill:${shade(over)}` });
  if (BAD.includes(e.outcome)) return s("path", { class: "cell-bad", d: `M${cx - 3.5} ${cy - 3.5}l7 7m0 -7l-7 7` });
  return s("path", { class: "cell-none", d: `M${cx - 2} ${cy}h4` });
}

function heatLegend() {
  const box = (child, text) => h("span", null, s("svg", { width: 16, height: 14, "aria-hidden": "true" }, child), text);
  clear($("heat-legend"),
    HEAT.steps.map((v) => box(s("rect", { class: "cell", width: 16, height: 14, style: `fill:${shade(v)}` }), v === 1 ? "1×" : v === HEAT.most ? `${v}× or more` : `${v}×`)),
    h("span", null, s("svg", { width: 16, height: 14, "aria-hidden": "true" }, s("rect", { class: "cell", width: 16, height: 14, style: `fill:${shade(1)}` }), s("circle", { class: "cell-win", cx: 8, cy: 7, r: 2 })), "the best"),
    box(s("path", { class: "cell-none", d: "M6 7h4" }), "not for this problem"),
    box(s("path", { class: "cell-bad", d: "M4.5 3.5l7 7m0 -7l-7 7" }), "failed or impossible"));
}

function walkHeat(svg, rows, g) {
  let [row, column] = [-1, -1];
  const columns = run().problems.length;
  const put = (r, c, at) => {
    if (r < 0 || c < 0 || r >= rows.length || c >= columns || !rows[r].cells[c]) return hide();
    [row, column] = [r, c];
    fill(g.cursor, { x: g.x(c), y: g.y(r), visibility: "visible" }, []);
    const { e, over } = rows[r].cells[c];
    const lines = describe(e);
    if (over !== null) lines.splice(2, 0, over <= 1 ? "the best of ours" : `${ratio(over)} the best of ours`);
    const box = g.cursor.getBoundingClientRect();
    return tip.show(lines, at ? at.clientX : box.right, at ? at.clientY : box.bottom);
  };
  const hide = () => { g.cursor.setAttribute("visibility", "hidden"); tip.hide(); };
  const hit = (e) => {
    const box = svg.getBoundingClientRect();
    return [Math.floor((e.clientY - box.top - g.top) / g.high), Math.floor((e.clientX - box.left - g.left) / g.size)];
  };
  svg.addEventListener("pointermove", (e) => put(...hit(e), e));
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("click", (e) => {
    const [r, c] = hit(e);
    if (r >= -8 && c >= 0 && c < columns) choose(c, true);
  });
  svg.addEventListener("keydown", (e) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[e.key];
    if (e.key === "Enter" && column >= 0) { choose(column, true); return; }
    if (!step) return;
    e.preventDefault();
    const clamp = (v, most) => Math.max(0, Math.min(most - 1, v));
    put(clamp(Math.max(row, 0) + (row < 0 ? 0 : step[0]), rows.length), clamp(Math.max(column, 0) + (column < 0 ? 0 : step[1]), columns));
  });
}
