/* The box beside the pointer. */
const tip = byId("tip");
function showTip(lines, x, y) {
  tip.replaceChildren(...lines.map((text, at) => element(at || lines.length === 1 ? "div" : "strong", {}, text)));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - width - 8))}px`;
  tip.style.top = `${Math.max(4, y + 14 + height > window.innerHeight ? y - height - 10 : y + 14)}px`;
}
const hideTip = () => {
  tip.hidden = true;
};
