// Figures and nodes of text. Strings of the run come from a guest's kernel: they reach the page through
// text nodes and attributes only, never as markup.

const NBSP = "\u00a0";

/** Whether a figure is there; absent ones are null, and JSON has text for infinities. */
function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** 1,234,567 */
function count(value) {
  return isNumber(value) ? Math.round(value).toLocaleString("en-US") : "–";
}

/** Three significant digits; more before the point where there are more. */
function significant(value) {
  if (!isNumber(value)) {
    return "–";
  }
  const size = Math.abs(value);
  if (size === 0) {
    return "0";
  }
  if (size < 0.00005) {
    return "<" + NBSP + "0.0001";
  }
  const digits = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : size >= 0.0995 ? 3 : 4;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function scaled(value, step, units, gap) {
  let unit = 0;
  while (Math.abs(value) >= Math.min(step, 999.5) && unit < units.length - 1) {
    value /= step;
    unit++;
  }
  return significant(value) + gap + units[unit];
}

/** 1.23M; below 10,000 in full. */
function compact(value) {
  if (!isNumber(value)) {
    return "–";
  }
  return Math.abs(value) < 10000 ? count(value) : scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E"], "");
}

/** 1.50 GiB */
function bytes(value) {
  if (!isNumber(value)) {
    return "–";
  }
  return Math.abs(value) < 1024
    ? count(value) + NBSP + "B"
    : scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], NBSP);
}

function percent(fraction) {
  return isNumber(fraction) ? significant(fraction * 100) + NBSP + "%" : "–";
}

function between(range, format, unit = "") {
  const low = format(range.low);
  const high = format(range.high);
  return (low === high ? low : low + " to " + high) + unit;
}

function percents(range) {
  return between(range, (value) => significant(value * 100), NBSP + "%");
}

/** A value in its metric's unit. */
function inUnit(value, unit) {
  if (typeof value !== "number") {
    return String(value);
  }
  const text = Number.isInteger(value) ? count(value) : significant(value);
  return unit === "bytes" && value >= 1024 ? text + " (" + bytes(value) + ")" : text;
}

/**
 * An element. Attributes that are functions are listeners; children that are not nodes become text.
 */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      node.addEventListener(key, value);
    } else if (value === true) {
      node.setAttribute(key, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(key, value);
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

/** Puts children in place of those that were there. */
function fill(id, ...children) {
  byId(id).replaceChildren(...children.flat().filter((child) => child !== null));
}

/** Sentences as items of a list; the name that one begins with stands out. */
function sentences(id, texts, names) {
  fill(id, texts.map((text) => {
    const subject = names.filter((name) => text.startsWith(name + " ")).sort((a, b) => b.length - a.length)[0] ?? "";
    // A unit stays with its figure.
    const rest = text.slice(subject.length).replace(/(\d) (%|[KMGTPE]?i?B\b)/g, "$1" + NBSP + "$2");
    return el("li", {}, subject === "" ? null : el("strong", {}, subject), rest);
  }));
}

/** A list of names and values. */
function pairs(rows, className = "pairs") {
  return el("dl", { class: className }, rows.map(([name, value, help]) =>
    el("div", { title: help }, el("dt", {}, name), el("dd", {}, value))));
}

/** A part that is closed at first. */
function closed(title, ...children) {
  return el("details", {}, el("summary", {}, title), ...children);
}
