"""Scripts that look for ugly places of a page in a browser."""

from __future__ import annotations

CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = one => {
    for (let at = one; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const one of document.querySelectorAll("h1,h2,h3,p,dt,dd,td,th,small,output,li,.x,.y,.dot,.title")) {
    if (!one.innerText.trim() || !one.offsetWidth) continue;
    const pair = [luminance(parse(getComputedStyle(one).color)), luminance(behind(one))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < 4.5) found.push(`${one.className || one.tagName} ${one.innerText.slice(0, 20)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""
"""Texts whose contrast with what is behind them is below 4.5 (WCAG AA)."""

CLIPPED = """() => {
  const places = "#headline *, #tree .head button, #tree [role=gridcell], #sentence, h1";
  return [...document.querySelectorAll(places)]
    .filter(one => one.offsetWidth && one.innerText && getComputedStyle(one).display !== "inline")
    .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText);
}"""
"""Texts of a report that are wider than their place."""
