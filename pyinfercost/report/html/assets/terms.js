/* Meanings of terms, shown while a pointer is on them or the keyboard is. */
const SAID = JSON.parse(byId("pyinfercost-figures").textContent);
const meaningOf = (word) => SAID.bounds[word] || (SAID.effects[word] || {}).meaning || SAID.terms[word] || "";

/* A word with a meaning: a button, so that it is reached by the keyboard and said as something that can be asked. */
function term(text, meaning, attributes = {}) {
  if (!meaning) return element("span", attributes, text);
  return element(
    "button",
    {
      ...attributes,
      type: "button",
      class: `meant ${attributes.class || ""}`.trim(),
      "data-tip": meaning,
      "aria-description": meaning,
    },
    text,
  );
}
for (const place of document.querySelectorAll("[data-term]")) {
  place.replaceWith(term(place.textContent, meaningOf(place.dataset.term)));
}

function tipOf(event) {
  const place = event.target.closest && event.target.closest("[data-tip]");
  if (!place) return;
  const box = place.getBoundingClientRect();
  showTip([place.dataset.tip], box.left, box.bottom - 10);
}
function untipOf(event) {
  if (event.target.closest && event.target.closest("[data-tip]")) hideTip();
}
document.addEventListener("pointerover", tipOf);
document.addEventListener("pointerout", untipOf);
document.addEventListener("focusin", (event) => {
  if (event.target.matches(":focus-visible")) tipOf(event);
});
document.addEventListener("focusout", untipOf);
document.addEventListener("click", (event) => {
  if (event.target.closest && event.target.closest(".meant")) tipOf(event);
}); /* also by a finger, or Enter */
document.addEventListener("pointerdown", (event) => {
  if (!(event.target.closest && event.target.closest("[data-tip]"))) hideTip();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
