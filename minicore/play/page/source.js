// Beside each panel: the source of minicore/equations, with the lines that compute it highlighted.

import { word } from "./words.js";

export function source(app) {
  const boxes = [];
  for (const panel of document.querySelectorAll("[data-equations]")) boxes.push(sourceBox(app, panel));
  app.on("frame", () => boxes.forEach((box) => box.time()));
  app.on("words", () => boxes.forEach((box) => (box.label(), box.time())));
}

/** Add a box with one button for each equation of a panel. */
function sourceBox(app, panel) {
  const equations = panel.dataset.equations.split(" ");
  const box = document.createElement("div");
  const head = document.createElement("div");
  const file = document.createElement("code");
  const time = document.createElement("span");
  const text = document.createElement("pre");
  box.className = "source";
  head.className = "head";
  time.className = "time";
  text.tabIndex = 0; // so that the keyboard can scroll it
  const buttons = equations.map((equation) => {
    const button = document.createElement("button");
    button.textContent = `(${equation.slice(2)})`;
    button.addEventListener("click", () => show(equation).catch(console.warn));
    return button;
  });
  head.append(...(equations.length > 1 ? buttons : []), file, time);
  box.append(head, text);
  panel.querySelector(".equation").append(box);

  function label() {
    text.setAttribute("aria-label", word("sourceOf", { file: file.textContent }));
  }

  async function show(equation) {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", equations[i] === equation));
    const shown = await app.engine.source(equation);
    file.textContent = shown.file;
    label();
    const code = document.createElement("code");
    code.append(...shown.lines.map((line, i) => {
      const span = document.createElement("span");
      span.textContent = line.replace(/\n$/, "");
      span.classList.toggle("computes", i + 1 >= shown.first && i + 1 <= shown.last);
      return span;
    }));
    text.replaceChildren(code);
    const first = code.querySelector(".computes");
    if (first) text.scrollTop = first.offsetTop - 8;
  }

  show(equations[0]).catch(() => (box.hidden = true)); // an engine without the source
  return {
    label,
    /** Write how long the engine took for the stages of the panel. */
    time() {
      const { milliseconds } = app.frame?.values ?? {};
      const stages = (panel.dataset.time ?? "").split(" ").filter((stage) => milliseconds && stage in milliseconds);
      time.textContent = stages.map((stage) => word(`time_${stage}`, { ms: milliseconds[stage].toFixed(milliseconds[stage] < 10 ? 1 : 0) })).join(" + ");
    },
  };
}
