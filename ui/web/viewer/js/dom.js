// The few things that every part needs of the page.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes, `on*` listeners, then children (nodes or text; null is nothing). */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") node.style.cssText = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const ICONS = {
  brush: "M3 17c2 0 3-1 3-3a2.5 2.5 0 1 1 4 2c-1.6 1.6-4.5 1.8-7 1zM9 12 16.5 3.5l1 1L11 14",
  eraser: "M8 16.5h9M4.5 13.5l3 3 8.5-8.5-4-4zM8 9.5l4 4",
  box: "M4 5.5h12v9H4z",
  undo: "M7 4 3.5 7.5 7 11M3.5 7.5H12a4.5 4.5 0 0 1 0 9H8",
  redo: "M13 4l3.5 3.5L13 11M16.5 7.5H8a4.5 4.5 0 0 0 0 9h4",
  clear: "M4 6h12M8 6V4h4v2M6 6l.7 10.5h6.6L14 6",
  plus: "M10 4v12M4 10h12",
  close: "M5 5l10 10M15 5 5 15",
  play: "M6.5 4l9 6-9 6z",
  pause: "M7 4v12M13 4v12",
  cells: "M3.5 3.5h13v13h-13zM8 3.5v13M12.3 3.5v13M3.5 8h13M3.5 12.3h13",
};

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of [["viewBox", "0 0 20 20"], ["aria-hidden", "true"], ["class", "xv-icon"]]) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon, a label for the eye or only for the ear, and a hint that names its key. */
function button(name, label, onclick, { icon: drawn = null, quiet = false, key = "" } = {}) {
  return el(
    "button",
    { type: "button", class: `xv-button${quiet ? " xv-bare" : ""}`, "data-do": name, onclick,
      "aria-label": quiet ? label : null, title: key ? `${label} (${key})` : quiet ? label : null },
    drawn ? icon(drawn) : null,
    quiet ? null : el("span", {}, label),
  );
}

let lastId = 0;
const freshId = (prefix) => `xv-${prefix}-${++lastId}`;

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Sets text only where it differs: a screen reader says a live region again each time it is touched. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Three significant digits, never "1e-7" under a thumb. */
function figure(value) {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.0005) return "<0.001";
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3);
}

const percent = (share) => (share > 0 && share < 0.001 ? "<0.1 %" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`);
