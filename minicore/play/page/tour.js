// The guided tour: seven steps, one sentence each (words.js), each with the part of the page it means.

import { still } from "./draw.js";
import { word } from "./words.js";

const STEPS = ["panel-image", "paint", "panel-patches", "panel-bank", "panel-nearest", "panel-score", "verdict"];

export function tour(app) {
  const element = (id) => document.getElementById(id);
  const box = element("tour");
  let step = 0;

  function show(next) {
    for (const marked of document.querySelectorAll(".toured")) marked.classList.remove("toured");
    if (next >= STEPS.length) return close();
    step = Math.max(next, 0);
    box.hidden = false;
    const target = element(STEPS[step]);
    target.classList.add("toured");
    const block = target.classList.contains("panel") ? "start" : "nearest";
    target.scrollIntoView({ block, behavior: still() ? "auto" : "smooth" });
    if (step === 0) app.openGood();
    if (step === 1) app.exampleScratch();
    write();
    element("tour-next").focus({ preventScroll: true });
  }

  function write() {
    element("tour-title").textContent = word("tourStep", { step: step + 1, steps: STEPS.length });
    const top = app.scene?.values.top ?? null;
    const another = STEPS[step] === "panel-score" && top !== null ? "Top" : "";
    element("tour-text").textContent = word(`tour${step + 1}${another}`, { top });
    element("tour-back").disabled = step === 0;
    element("tour-next").textContent = word(step === STEPS.length - 1 ? "finish" : "next");
  }

  function close() {
    for (const marked of document.querySelectorAll(".toured")) marked.classList.remove("toured");
    box.hidden = true;
    element("start-tour").focus({ preventScroll: true });
  }

  element("start-tour").addEventListener("click", () => show(0));
  element("tour-back").addEventListener("click", () => show(step - 1));
  element("tour-next").addEventListener("click", () => show(step + 1));
  element("tour-close").addEventListener("click", close);
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    else if (event.key === "ArrowRight") show(step + 1);
    else if (event.key === "ArrowLeft") show(step - 1);
  });
  app.on("words", write);
}
