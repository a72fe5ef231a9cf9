"use strict";
// Everything on the page can be read without this.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Hides and shows curves.
for (const box of all("[data-toggles]")) {
  box.hidden = false;
  const update = () => {
    for (const part of all(`[data-series="${box.dataset.toggles}"]`)) part.classList.toggle("off", !box.checked);
  };
  box.addEventListener("change", update);
  update();
}

// Reads the values of the mean curves where the pointer is.
const readings = new Map(all("[data-reads]").map((output) => [output.dataset.reads, output]));
for (const chart of all(".curves .chart")) {
  const steps = chart.dataset.steps.split(" ").map(Number);
  const [left, right, top, bottom] = ["left", "right", "top", "bottom"].map((side) => Number(chart.dataset[side]));
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
  cursor.setAttribute("class", "cursor off");
  chart.append(cursor);
  chart.addEventListener("pointermove", (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    const [first, last] = [steps[0], steps[steps.length - 1]];
    const at = (step) => (last > first ? left + ((step - first) / (last - first)) * (right - left) : left);
    let nearest = 0;
    steps.forEach((step, index) => {
      if (Math.abs(at(step) - place.x) < Math.abs(at(steps[nearest]) - place.x)) nearest = index;
    });
    cursor.setAttribute("d", `M${at(steps[nearest])} ${top}V${bottom}`);
    cursor.classList.remove("off");
    for (const line of all(".line[data-values]", chart)) {
      const reading = readings.get(line.dataset.series);
      const value = Number(line.dataset.values.split(" ")[nearest]);
      if (reading) reading.textContent = `${Number.isFinite(value) ? value.toFixed(3) : "–"} at ${steps[nearest]}`;
    }
  });
  chart.addEventListener("pointerleave", () => {
    cursor.classList.add("off");
    for (const reading of readings.values()) reading.textContent = "";
  });
}

// Finds images by name.
for (const search of all(".search")) {
  search.hidden = false;
  const [field, count] = [search.querySelector("input"), search.querySelector("output")];
  const images = all(".image");
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    let found = 0;
    for (const image of images) {
      const matches = image.dataset.name.toLowerCase().includes(wanted);
      image.hidden = !matches;
      found += matches;
    }
    count.textContent = wanted ? `${found} of ${images.length}` : "";
  });
}
