// Every entry as a row: sorted by any column, filtered by words and by outcome, a part at a time.

const PAGE_ROWS = 150;
const OUTCOMES = ["measured", "checked", "gap", "failed", "impossible"];
const table = { sort: "problem", down: false, rows: PAGE_ROWS, outcomes: new Set(OUTCOMES.filter((o) => o !== "gap")) };

const number = (value, text) => ({ value, text: value === null || value === undefined ? "" : text(value), number: true });
const toVendor = (e, state) => { const v = e.cold && vendor(e.problem, state); return v ? us(e, state) / us(v, state) : null; };
const interval = (t) => (t ? { value: (t.high - t.low) / t.us, text: t.rounds < 3 ? many(t.rounds, "round") : `± ${percent((t.high - t.low) / 2 / t.us)}`, number: true } : number(null));

const COLUMNS = [
  ["problem", "problem", (e) => ({ value: e.problem.index, text: e.problem.name })],
  ["variant", "variant", (e) => ({ value: e.variant.id, text: e.variant.id, type: e.variant.library ? "library" : "" })],
  ["target", "target", (e) => ({ value: e.variant.target, text: e.variant.target + (e.variant.enabled ? "" : ", off") })],
  ["cold", "cold", (e) => number(e.cold?.us, time)],
  ["cold interval", "±", (e) => interval(e.cold)],
  ["hot", "hot", (e) => number(e.hot?.us, time)],
  ["to library", "to library", (e) => number(toVendor(e, "cold"), ratio)],
  ["roofline", "roofline", (e) => number(roofline(e), percent)],
  ["bandwidth", "bandwidth", (e) => number(e.cold ? (e.problem.bytes / e.cold.us) * 1e6 : null, rate)],
  ["compute", "compute", (e) => number(e.cold ? (e.problem.flops / e.cold.us) * 1e6 : null, flops)],
  ["outcome", "outcome", (e) => ({ value: OUTCOMES.indexOf(e.outcome), text: e.reason, word: e.outcome === "measured" ? "" : e.outcome, why: true })],
];

function drawTableHead() {
  const head = (name, shown, cell) => {
    const sorted = table.sort === name;
    const isNumber = cell(run().problems[0]?.entries[0] || { problem: {}, variant: {} }).number;
    return h("th", { scope: "col", class: isNumber ? "number" : "", "aria-sort": sorted ? (table.down ? "descending" : "ascending") : null },
      h("button", { type: "button", title: `Sort by ${name}`, onclick: () => { table.down = sorted ? !table.down : false; table.sort = name; drawTable(); } },
        shown + (sorted ? (table.down ? " ↓" : " ↑") : "")));
  };
  clear($("table").tHead, h("tr", null, COLUMNS.map((c) => head(...c))));
}

function drawTable() {
  const all = run().problems.flatMap((p) => p.entries);
  clear($("table-outcomes"), OUTCOMES.map((o) => [o, all.filter((e) => e.outcome === o).length]).filter(([, count]) => count).map(([o, count]) =>
    h("button", { type: "button", "aria-pressed": String(table.outcomes.has(o)), onclick: () => { table.outcomes.has(o) ? table.outcomes.delete(o) : table.outcomes.add(o); drawTable(); } }, `${o} ${count}`)));
  const words = $("table-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (e) => `${e.problem.op} ${e.problem.name} ${e.problem.key} ${e.variant.id} ${e.variant.target} ${e.outcome} ${e.reason}`.toLowerCase();
  const rows = all.filter((e) => table.outcomes.has(e.outcome) && words.every((w) => text(e).includes(w)));
  const cell = COLUMNS.find(([name]) => name === table.sort)[2];
  const empty = (v) => v === null || v === undefined || v === "";
  rows.sort((a, b) => {
    const [x, y] = [cell(a).value, cell(b).value];
    // What has no value comes last in either direction.
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const order = typeof x === "number" ? x - y : x.localeCompare(y);
    return (table.down ? -order : order) || a.problem.index - b.problem.index || (a.cold?.us ?? 0) - (b.cold?.us ?? 0);
  });
  drawTableHead();
  clear($("table").tBodies[0], rows.slice(0, table.rows).map((e) => h("tr", null, COLUMNS.map(([, , of]) => {
    const c = of(e);
    return h("td", { class: c.number ? "number" : c.why ? "why" : null, title: c.why ? c.text : null }, c.word ? h("span", { class: `word ${c.word}` }, c.word) : null, c.word ? " " : null, c.type ? h("span", { class: c.type }, c.text) : c.text);
  }))));
  $("table-count").textContent = `${many(rows.length, "row")} of ${all.length.toLocaleString("en")}`;
  clear($("table-more"), rows.length > table.rows
    ? h("button", { type: "button", onclick: () => { table.rows += 500; drawTable(); } }, `Show ${Math.min(500, rows.length - table.rows)} more`) : null);
}
