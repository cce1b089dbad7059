"use strict";
// The tables say all of it without this. `ast`: expressions are interpreted, as the page's policy lets none be compiled.
const dark = matchMedia("screen and (prefers-color-scheme: dark)").matches;
for (const spec of document.querySelectorAll("[data-chart]")) {
  vegaEmbed("#" + spec.dataset.chart, JSON.parse(spec.textContent), {
    // A map has thousands of points: too many for elements of their own.
    renderer: spec.dataset.chart.startsWith("map") ? "canvas" : "svg",
    ast: true, actions: false, theme: dark ? "dark" : undefined, config: { background: "transparent" },
    tooltip: { theme: dark ? "dark" : "light" },
  });
}
