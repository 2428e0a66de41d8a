"use strict";
const byId = (id) => document.getElementById(id);
const PREFIXES = [
  [1e18, "E"],
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
];
const SMALL = [
  [1e-3, "m"],
  [1e-6, "u"],
  [1e-9, "n"],
];
const MEASURED = new Set(["s", "J", "g"]);
const PLAIN = new Set(["USD", "per s"]); /* never with a prefix */
const BOUNDS = ["compute", "dram", "cache", "link", "launch"];

const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/* Four significant digits without an exponent. */
function digits(value) {
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value))) + 1;
  return value.toFixed(Math.min(Math.max(4 - size, 0), 12));
}

/* A figure with its unit: 4.089 GFLOP, 1.234 ms. */
function quantity(value, unit) {
  if (value === null || value === undefined) return "not known";
  if (typeof value !== "number") return String(value);
  if (value === 0) return `0 ${unit}`.trim();
  if (unit === "s" && value >= 1) return `${digits(value)} s`;
  if (PLAIN.has(unit)) return `${digits(value)} ${unit}`;
  const steps = MEASURED.has(unit) ? PREFIXES.concat(SMALL) : PREFIXES;
  const [factor, prefix] = steps.find(([step]) => Math.abs(value) >= step) || steps[steps.length - 1];
  const shown = factor === 1 && Number.isInteger(value) ? String(value) : digits(value / factor);
  return `${shown} ${prefix}${unit}`.trim();
}

function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "";
  if (share > 0 && share < 0.001) return "<0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

/* An element with attributes, text and children; text never becomes markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children) if (child !== null && child !== undefined) made.append(child);
  return made;
}

const sum = (values) => values.reduce((total, value) => total + (value || 0), 0);
