"use strict";
// The page reads well without this. It shows one space, and the text of a chunk on a map.
document.documentElement.classList.add("scripted");

const choice = document.getElementById("space");
choice?.addEventListener("change", () => {
  for (const element of document.querySelectorAll("[data-spaces]")) {
    const spaces = element.dataset.spaces.split(" ");
    element.hidden = choice.value !== "" && !spaces.includes(choice.value);
  }
});

// On a phone a row of these tables is a paragraph, in which each cell names its column.
for (const table of document.querySelectorAll(".stacked table")) {
  const labels = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const row of table.querySelectorAll("tbody tr:not(.group)")) {
    [...row.cells].forEach((cell, i) => { if (cell.textContent.trim()) cell.dataset.label = labels[i]; });
  }
}

const REACH = 20; // how far from a chunk one may point: this part of a map's width

for (const figure of document.querySelectorAll(".map")) {
  const plane = figure.querySelector(".plane");
  const { width, height } = plane.viewBox.baseVal;
  const [heading, body] = figure.querySelectorAll(".reading > *");
  // The texts are taken out of the drawing, where browsers would show them as slow tooltips of their own.
  const chunks = [...plane.querySelectorAll("path")].map((path) => {
    const [, x, y] = path.getAttribute("d").match(/^M(-?[\d.]+) (-?[\d.]+)/).map(Number);
    const title = path.querySelector("title");
    const [head, ...rest] = title.textContent.split("\n");
    title.remove();
    return { x, y, head, body: rest.join("\n") };
  });
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("class", "chosen");
  ring.setAttribute("r", width / 68);
  let chosen = null;

  function show(chunk) {
    if (!chunk || chunk === chosen) return;
    chosen = chunk;
    heading.textContent = chunk.head;
    body.textContent = chunk.body;
    ring.setAttribute("cx", chunk.x);
    ring.setAttribute("cy", chunk.y);
    plane.append(ring);
  }

  function nearest(distance, limit = Infinity) {
    let best = null;
    for (const chunk of chunks) {
      const far = distance(chunk);
      if (far < limit) [best, limit] = [chunk, far];
    }
    return best;
  }

  function point(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plane.getScreenCTM().inverse());
    show(nearest((chunk) => Math.hypot(chunk.x - at.x, chunk.y - at.y), width / REACH));
  }

  // Along an arrow, a chunk aside of the direction counts as farther away.
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function step(event) {
    const arrow = ARROWS[event.key];
    if (!arrow || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (!chosen) return show(nearest((chunk) => Math.hypot(chunk.x - width / 2, chunk.y - height / 2)));
    const [dx, dy] = arrow;
    show(nearest((chunk) => {
      const along = (chunk.x - chosen.x) * dx + (chunk.y - chosen.y) * dy;
      const aside = Math.abs((chunk.x - chosen.x) * dy) + Math.abs((chunk.y - chosen.y) * dx);
      return along > 0 ? along + 2 * aside : Infinity;
    }));
  }

  plane.setAttribute("tabindex", "0");
  plane.setAttribute("role", "application");
  plane.addEventListener("pointermove", point);
  plane.addEventListener("click", point);
  plane.addEventListener("keydown", step);
}
