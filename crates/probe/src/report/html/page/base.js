// Elements, numbers and the tooltip: what every part of the page uses.

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}

const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function clear(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((c) => c !== null && c !== undefined));
}

const digits = (value, count) => {
  if (value === 0) return "0";
  const places = Math.max(0, count - 1 - Math.floor(Math.log10(Math.abs(value)) + 1e-9));
  return value.toFixed(Math.min(places, 6));
};

// Microseconds for people: 0.834 us, 12.3 us, 4.56 ms.
function time(us) {
  if (us >= 1e6) return digits(us / 1e6, 3) + " s";
  if (us >= 1e3) return digits(us / 1e3, 3) + " ms";
  return digits(us, 3) + " µs";
}

function scaled(value, units) {
  let unit = 0;
  while (value >= 1000 && unit + 1 < units.length) { value /= 1000; unit += 1; }
  return digits(value, 3) + " " + units[unit];
}

const bytes = (n) => scaled(n, ["B", "kB", "MB", "GB", "TB"]);
const rate = (n) => scaled(n, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]);
const flops = (n) => scaled(n, ["FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s", "PFLOP/s"]);
const ratio = (x) => (x >= 9.95 ? digits(x, 2) : x.toFixed(2)) + "×";
const percent = (part) => (100 * part < 9.95 ? (100 * part).toFixed(1) : Math.round(100 * part)) + " %";
const many = (n, one, more) => `${n.toLocaleString("en")} ${n === 1 ? one : more || one + "s"}`;

const pen = document.createElement("canvas").getContext("2d");

// Pixels of a text as the charts write it.
function wide(text, size = 12) {
  pen.font = `${size}px ${getComputedStyle(document.documentElement).fontFamily}`;
  return pen.measureText(text).width;
}

// The text without its middle where it does not fit; the whole stands in the title.
function cut(text, width, size = 12) {
  let kept = text.length;
  const shortened = () => (kept >= text.length ? text : text.slice(0, Math.floor(kept * 0.4)) + "…" + text.slice(text.length - Math.ceil(kept * 0.6)));
  while (kept > 4 && wide(shortened(), size) > width) kept -= 1;
  return shortened();
}

// Round values between low and high on a linear axis, about `count` of them.
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) || 10);
  const list = [];
  for (let v = Math.ceil(low / step) * step; v <= high * (1 + 1e-9); v += step) list.push(v);
  return list;
}

// 1, 2 and 5 of every decade, or whole decades where those are too many.
function logTicks(low, high, most) {
  for (const steps of [[1, 2, 5], [1, 3], [1]]) {
    const list = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e += 1) {
      for (const m of steps) {
        const v = m * 10 ** e;
        if (v >= low * 0.999 && v <= high * 1.001) list.push(v);
      }
    }
    if (list.length <= most || steps.length === 1) return list;
  }
  return [];
}

const logScale = (low, high, from, to) => (v) => from + ((Math.log(v) - Math.log(low)) / (Math.log(high) - Math.log(low) || 1)) * (to - from);
const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : NaN;
};
const geomean = (list) => Math.exp(list.reduce((sum, v) => sum + Math.log(v), 0) / list.length);

const tip = {
  // `lines`: the first is the title.
  show(lines, x, y) {
    const node = $("tip");
    clear(node, lines.filter(Boolean).map((line, i) => h(i === 0 ? "b" : "div", null, line)));
    node.hidden = false;
    const box = node.getBoundingClientRect();
    const left = Math.min(x + 14, document.documentElement.clientWidth - box.width - 8);
    const below = y + 18 + box.height < window.innerHeight;
    node.style.left = `${Math.max(4, left) + window.scrollX}px`;
    node.style.top = `${(below ? y + 18 : Math.max(4, y - box.height - 12)) + window.scrollY}px`;
  },
  hide() { $("tip").hidden = true; },
  // Shows `lines()` while the pointer is on `node` or the keyboard's focus is.
  on(node, lines) {
    node.addEventListener("pointermove", (e) => tip.show(lines(), e.clientX, e.clientY));
    node.addEventListener("pointerleave", tip.hide);
    node.addEventListener("focus", () => {
      if (!node.matches(":focus-visible")) return;
      const box = node.getBoundingClientRect();
      tip.show(lines(), box.left + Math.min(box.width, 300) / 2, box.bottom - 8);
    });
    node.addEventListener("blur", tip.hide);
    return node;
  },
};

// Up and down, left and right, Home and End among the children of a list.
function roving(list, selector) {
  list.addEventListener("keydown", (e) => {
    const items = [...list.querySelectorAll(selector)];
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: items.length - 1 }[e.key];
    if (to === undefined || at < 0) return;
    e.preventDefault();
    const next = items[Math.max(0, Math.min(items.length - 1, to))];
    items.forEach((item) => item.setAttribute("tabindex", item === next ? "0" : "-1"));
    next.focus();
  });
}
