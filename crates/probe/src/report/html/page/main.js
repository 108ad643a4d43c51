// Choices, the theme, and drawing all parts again when either or the width changes.

function choose(index, scroll) {
  if (index !== view.problem) {
    view.problem = index;
    for (const option of $("problem-list").querySelectorAll(".problem")) {
      const chosen = option.dataset.index === String(index);
      option.setAttribute("aria-selected", String(chosen));
      option.setAttribute("tabindex", chosen ? "0" : "-1");
    }
    drawDetail();
    drawHeat();
  }
  if (scroll) {
    tip.hide();
    $("detail").scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    $("detail").focus({ preventScroll: true });
  }
}

function drawState() {
  const option = (name, title) => h("button", { type: "button", role: "radio", "aria-checked": String(view.state === name), tabindex: view.state === name ? 0 : -1, title,
    onclick: () => { view.state = name; drawAll(); $("state").querySelector('[aria-checked="true"]').focus(); } }, name);
  clear($("state"), option("cold", "Operands come from memory: banks far larger than the last-level cache"), option("hot", "The same operands every time"));
}

function drawTheme() {
  const dark = document.documentElement.dataset.theme === "dark";
  $("theme").textContent = dark ? "Light" : "Dark";
}

function drawRuns() {
  $("run-choice").hidden = RUNS.length < 2;
  clear($("run"), RUNS.map((r) => h("option", { value: r.number }, runName(r))));
  $("run").value = view.run;
}

function drawAll() {
  drawState();
  drawTheme();
  drawHeader();
  drawSummary();
  drawProblems();
  drawDetail();
  drawSeriesChoice();
  drawSeries();
  drawHeat();
  drawGaps();
  drawTable();
}

const wanted = matchMedia("(prefers-color-scheme: dark)");
const stored = () => { try { return localStorage.getItem("metallic-theme"); } catch { return null; } };
const setTheme = () => { document.documentElement.dataset.theme = stored() || (wanted.matches ? "dark" : "light"); };
setTheme();
wanted.addEventListener("change", () => { setTheme(); drawAll(); });
$("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("metallic-theme", next); } catch { /* The choice lasts as long as the page. */ }
  document.documentElement.dataset.theme = next;
  drawTheme();
  drawSeries();
});
$("run").addEventListener("change", () => { view.run = Number($("run").value); view.problem = 0; drawAll(); });
$("problem-filter").addEventListener("input", drawProblems);
$("problem-order").addEventListener("change", drawProblems);
$("series-choice").addEventListener("change", drawSeries);
$("table-filter").addEventListener("input", () => { table.rows = PAGE_ROWS; drawTable(); });
roving($("problem-list"), ".problem");
roving($("state"), "button");

let width = 0;
new ResizeObserver(() => {
  const now = document.documentElement.clientWidth;
  if (now === width) return;
  width = now;
  drawDetail();
  drawSeries();
  drawHeat();
}).observe(document.documentElement);

if (RUNS.length) {
  drawRuns();
  drawAll();
} else {
  $("head").textContent = "No run is in this page.";
}
document.documentElement.dataset.ready = "true";
