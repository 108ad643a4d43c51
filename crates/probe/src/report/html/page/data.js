// The embedded data as objects, and what follows from it.

const DATA = JSON.parse($("data").textContent);
const BAD = ["failed", "impossible"];

const RUNS = DATA.runs.map((run, number) => {
  const variants = run.variants.map(([id, target, enabled]) => ({ id, target, enabled, library: target === "library" }));
  const problems = run.problems.map((p, index) => {
    const [m, n, k, batch] = p.shape;
    const problem = { ...p, index, m, n, k, batch, name: p.detail ? `${p.title} ${p.detail}` : p.title };
    problem.entries = p.entries.map(([v, found]) => entry(problem, variants[v], found, run.reasons));
    problem.measured = problem.entries.filter((e) => e.cold);
    return problem;
  });
  return { number, header: run.header, roofline: run.roofline, variants, problems };
});

function entry(problem, variant, found, reasons) {
  const base = { problem, variant };
  if (found.outcome) return { ...base, outcome: found.outcome, reason: found.reason === null ? "" : reasons[found.reason] };
  const state = ([us, low, high, rounds, launches]) => ({ us, low, high, rounds, launches });
  return { ...base, ...found, outcome: "measured", reason: "", cold: state(found.cold), hot: state(found.hot) };
}

// What the user chose.
const view = { run: 0, state: "cold", problem: 0, allBars: false };
const run = () => RUNS[view.run];
const us = (e, state = view.state) => e[state].us;

function fastest(entries, state) {
  return entries.reduce((best, e) => (best && us(best, state) <= us(e, state) ? best : e), null);
}

const vendor = (p, state = view.state) => fastest(p.measured.filter((e) => e.variant.library), state);
const best = (p, state = view.state) => fastest(p.measured.filter((e) => !e.variant.library), state);

// The best of ours over the fastest library; null where either is missing.
function standing(p, state = view.state) {
  const [b, v] = [best(p, state), vendor(p, state)];
  return b && v ? us(b, state) / us(v, state) : null;
}

const roofline = (e) => (e.problem.floor && e.cold ? e.problem.floor / e.cold.us : null);

// The same variant on the same problem in the other runs of the page.
function elsewhere(e) {
  return RUNS.filter((r) => r !== run() && r.header.description === run().header.description).flatMap((r) => {
    const p = r.problems.find((p) => p.key === e.problem.key && p.detail === e.problem.detail);
    const found = p && p.measured.find((o) => o.variant.id === e.variant.id);
    return found ? [{ run: r, entry: found }] : [];
  });
}

const runName = (r) => `${r.header.device} ${r.header.commit} ${r.header.started.slice(0, 16).replace("T", " ")}`;

// Lines for the tooltip of one entry.
function describe(e) {
  if (!e.cold) return [e.variant.id, e.problem.name, `${e.outcome}${e.reason ? ": " + e.reason : ""}`];
  const v = vendor(e.problem);
  const state = (name) => {
    const t = e[name];
    const sure = t.rounds < 3 ? "" : `, 95 % interval ${time(t.low)} to ${time(t.high)}`;
    return `${name} ${time(t.us)}${sure}, ${many(t.rounds, "round")} of ${many(t.launches, "launch", "launches")}`;
  };
  return [
    e.variant.id, e.problem.name, state("cold"), state("hot"),
    v && !e.variant.library ? `${ratio(us(e) / us(v))} the time of ${v.variant.id} (${view.state})` : null,
    roofline(e) ? `${percent(roofline(e))} of the roofline, ${rate((e.problem.bytes / e.cold.us) * 1e6)}, ${flops((e.problem.flops / e.cold.us) * 1e6)}` : null,
    `ran ${e.entry}, grid ${e.grid.join("×")}, threads ${e.threads.join("×")}`,
    `checked ${e.check[0].toLocaleString("en")} of ${e.check[1].toLocaleString("en")} elements, worst error ${percent(e.check[2])} of the budget`,
    e.variant.enabled ? null : "not enabled in the manifest",
    ...elsewhere(e).map((o) => `${runName(o.run)}: ${time(us(o.entry))}`),
  ];
}

const kind = (v) => (v.library ? "library" : v.enabled ? "ours" : "off");
