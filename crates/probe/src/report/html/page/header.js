// Who ran what, when and on what; and the result in four numbers.

function facts(list) {
  return h("dl", { class: "facts" }, list.filter(([, v]) => v).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

function range(conditions, field, unit) {
  const values = conditions.map((c) => c[field]).filter((v) => v !== null && v !== undefined);
  if (!values.length) return null;
  const [first, last] = [values[0], values[values.length - 1]].map((v) => Math.round(v).toLocaleString("en"));
  return first === last ? `${first} ${unit}` : `${first} → ${last} ${unit}`;
}

function drawHeader() {
  const { header, roofline: roof } = run();
  const copy = h("button", { type: "button", onclick: () => copyText(header.command, copy) }, "Copy");
  const c = header.conditions;
  clear($("head"),
    h("div", { class: "device" }, header.description),
    facts([
      ["device", header.device], ["commit", h("span", { class: "mono" }, header.commit)], ["version", header.version],
      ["started", header.started.replace("T", " ").replace("Z", " UTC")], ["took", time(header.seconds * 1e6)],
      ["clock", range(c, "clock_mhz", "MHz")], ["memory clock", range(c, "memory_mhz", "MHz")],
      ["temperature", range(c, "celsius", "°C")], ["power", range(c, "watts", "W")],
    ]),
    roof && facts([
      ["read", rate(roof.read)], ["write", rate(roof.write)], ["copy", rate(roof.copy)],
      ["f32 peak", flops(roof.f32_flops)], ["f16 peak", flops(roof.f16_flops)], ["empty launch", time(roof.launch_us)],
      ["barrier", roof.barrier_us === null ? null : time(roof.barrier_us)],
      ["last-level cache", roof.cache_bytes && bytes(roof.cache_bytes)],
    ].map(([name, value]) => [name + (name.includes("peak") || ["read", "write", "copy"].includes(name) ? ", measured" : ""), value])),
    h("div", { class: "command" }, h("code", null, header.command), copy));
  document.title = `Metallic probe: ${header.description}`;
}

function copyText(text, button) {
  const done = (word) => { button.textContent = word; setTimeout(() => { button.textContent = "Copy"; }, 1200); };
  if (!navigator.clipboard) return done("Select it by hand");
  return navigator.clipboard.writeText(text).then(() => done("Copied"), () => done("Select it by hand"));
}

function drawSummary() {
  const { problems, variants } = run();
  const count = (outcomes) => problems.reduce((sum, p) => sum + p.entries.filter((e) => outcomes.includes(e.outcome)).length, 0);
  const ratios = problems.map((p) => standing(p)).filter((r) => r !== null);
  const parts = problems.map((p) => best(p, "cold")).filter((e) => e && roofline(e)).map(roofline);
  const item = (value, text) => h("div", null, h("b", null, value), h("span", null, text));
  clear($("summary"),
    ratios.length ? item(`${ratios.filter((r) => r <= 1).length} of ${ratios.length}`, `problems where our best is at least as fast as the library (${view.state})`) : null,
    ratios.length ? item(ratio(geomean(ratios)), "our best over the library, geometric mean of times") : null,
    parts.length ? item(percent(median(parts)), "of the roofline, median of our best (cold)") : null,
    item(many(count(["measured"]), "time"), `${many(problems.length, "problem")} × ${many(variants.length, "variant")}; ${many(count(["gap"]), "gap")}, ${count(["failed"])} failed, ${count(["impossible"])} impossible`));
}

// The list of problems, each with the best of ours over the library on a log axis.
const MINI = { width: 132 };

// Whether any problem has a library to stand beside; without one the list shows the part of the roofline.
const hasLibrary = () => run().problems.some((p) => standing(p) !== null);

function miniPart(part) {
  const full = MINI.width - 8;
  return s("svg", { viewBox: `0 0 ${MINI.width} 18`, height: 18, width: "100%", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "mini-track", x: 4, y: 6, width: full, height: 6 }),
    part === null ? null : s("rect", { class: "mini-ahead", x: 4, y: 6, width: full * Math.min(1, part), height: 6 }));
}

// The axis reaches as far as the ratios do, from 1/8 to 8 at most, with the library in the middle.
function miniRange() {
  const far = run().problems.map((p) => standing(p)).filter((r) => r !== null).map((r) => Math.max(r, 1 / r));
  MINI.high = Math.min(8, Math.max(1.25, ...far) * 1.1);
  MINI.low = 1 / MINI.high;
}

function mini(value) {
  const x = logScale(MINI.low, MINI.high, 4, MINI.width - 4);
  const at = value === null ? null : x(Math.min(MINI.high, Math.max(MINI.low, value)));
  return s("svg", { viewBox: `0 0 ${MINI.width} 18`, height: 18, width: "100%", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("line", { class: "mini-one", x1: x(1), x2: x(1), y1: 0, y2: 18 }),
    at === null ? null : s("line", { class: "mini-stem", x1: x(1), x2: at, y1: 9, y2: 9 }),
    at === null ? null : s("circle", { class: value <= 1 ? "mini-ahead" : "mini-behind", cx: at, cy: 9, r: 3.6 }));
}

function miniScale() {
  if (!hasLibrary()) {
    return h("div", { class: "problem", style: "border:0" }, h("span", { class: "name quiet" }, "part of the roofline"), h("span"), h("span"));
  }
  const x = logScale(MINI.low, MINI.high, 4, MINI.width - 4);
  const side = [4, 2, 1.5, 1.25, 1.1].find((v) => v < MINI.high * 0.95) || 1.1;
  const label = (v, text) => s("text", { x: x(v), y: 11, "text-anchor": "middle" }, text);
  return h("div", { class: "problem", style: "border:0" }, h("span", { class: "name quiet" }, "ours over library, time"),
    s("svg", { class: "tick", viewBox: `0 0 ${MINI.width} 14`, height: 14, width: "100%", preserveAspectRatio: "none" },
      s("g", { class: "tick" }, label(1 / side, `${digits(1 / side, 2)}×`), label(1, "1"), label(side, `${digits(side, 2)}×`))), h("span"));
}

function drawProblems() {
  const words = $("problem-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = run().problems.filter((p) => words.every((w) => `${p.name} ${p.key}`.toLowerCase().includes(w)));
  const order = $("problem-order").value;
  const last = (v) => (v === null || v === undefined ? -1 : v);
  if (order === "ratio") shown.sort((a, b) => last(standing(b)) - last(standing(a)));
  const share = (p) => { const e = best(p, "cold"); return e ? roofline(e) : null; };
  const part = (p) => share(p) ?? 2;
  const compared = hasLibrary();
  if (order === "roofline") shown.sort((a, b) => part(a) - part(b));
  miniRange();
  clear($("problem-scale"), miniScale());
  const list = $("problem-list");
  const ops = new Set(run().problems.map((p) => p.op)).size;
  clear(list, shown.map((p) => {
    const value = compared ? standing(p) : share(p);
    const shown = value === null ? "–" : compared ? ratio(value) : percent(value);
    const name = ops > 1 ? `${p.op} ${p.name}` : p.name;
    const chosen = p.index === view.problem;
    const label = `${name}: ${value === null ? "no time to compare" : `${shown} ${compared ? "the library's time" : "of the roofline"}`}`;
    return h("button", { type: "button", class: "problem", role: "option", "aria-selected": String(chosen), tabindex: chosen ? 0 : -1,
      "aria-label": label, title: p.key, "data-index": p.index, onclick: () => choose(p.index), onfocus: () => choose(p.index) },
    h("span", { class: "name" }, name), compared ? mini(value) : miniPart(value), h("span", { class: "value" }, shown));
  }));
  if (!list.querySelector('[tabindex="0"]')) list.querySelector(".problem")?.setAttribute("tabindex", "0");
  if (!shown.length) clear(list, h("p", { class: "quiet" }, "No problem has all of these words."));
}
