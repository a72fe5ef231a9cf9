"use strict";
// Puts what a promise resolves to into the document, in letters that need no escapes.
async function report(promise) {
  const pre = document.createElement("pre");
  pre.id = "measured";
  pre.textContent = encodeURIComponent(JSON.stringify(await promise));
  document.body.append(pre);
}

const all = (selector, root) => [...root.querySelectorAll(selector)];

function parseXml(documents) {
  return Promise.resolve(
    documents.map((text) => {
      const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
      return {
        root: parsed.querySelector("parsererror") ? "parsererror" : parsed.documentElement.localName,
        texts: all("text, title", parsed).map((text) => text.textContent),
        images: all("image", parsed).length,
        scripts: all("script", parsed).length,
      };
    }),
  );
}

async function show(pages) {
  const frames = pages.map(({ html, width }) => {
    const frame = document.createElement("iframe");
    Object.assign(frame, { srcdoc: html });
    frame.style = `width:${width}px;height:2000px;border:0;display:block`;
    const loaded = new Promise((resolve) => frame.addEventListener("load", resolve));
    document.body.append(frame);
    return { frame, loaded };
  });
  const measured = [];
  for (const { frame, loaded } of frames) {
    await loaded;
    const page = frame.contentDocument;
    // Pictures that wait until they are in view.
    for (const image of all("img", page)) image.loading = "eager";
    const pictures = all("img", page).filter((image) => image.checkVisibility());
    for (const image of pictures.filter((image) => !image.complete)) {
      await new Promise((resolve) => (image.onload = image.onerror = resolve));
    }
    measured.push(measure(frame.contentWindow, page, pictures));
  }
  return measured;
}

function measure(window, page, pictures) {
  const visible = (element) => element.checkVisibility();
  const result = {
    dark: window.matchMedia("(prefers-color-scheme: dark)").matches,
    scrollWidth: page.documentElement.scrollWidth,
    height: page.documentElement.scrollHeight,
    hacked: "hacked" in window,
    scripts: all("script", page).length,
    broken: pictures.filter((image) => !image.naturalWidth).map((image) => image.alt),
    pictures: pictures.map((image) => image.getBoundingClientRect().width),
    withoutAlternative: [
      ...all("img", page).filter((image) => !image.alt.trim()),
      ...all("svg:not([aria-hidden])", page).filter((svg) => svg.getAttribute("role") !== "img" || !svg.getAttribute("aria-label")),
    ].map((element) => element.outerHTML.slice(0, 100)),
    headersWithoutScope: all("th:not([scope])", page).map((header) => header.textContent),
    names: all(".image summary > bdi", page).map((name) => name.textContent),
    cells: all("th, td", page).map((cell) => cell.textContent.trim()),
    checkboxes: all("input[type=checkbox]", page).filter(visible).length,
    searchFields: all("input[type=search]", page).filter(visible).length,
    pale: pale(window, page),
    charts: all("svg.chart", page).filter(visible).map((chart) => {
      const box = (element) => {
        const { left, right, top, bottom, width, height } = element.getBoundingClientRect();
        return { left, right, top, bottom, width, height };
      };
      return {
        ...box(chart),
        lines: all(".line", chart).map(box),
        bands: all(".band", chart).length,
        texts: all("text", chart).length,
        leastTextHeight: Math.min(...all("text", chart).filter((text) => !text.hasAttribute("transform")).map((text) => box(text).height)),
      };
    }),
  };
  if (all(".search", page).length && all("script", page).length) result.interaction = interact(window, page);
  return result;
}

// Texts and lines that stand out too little from what is behind them: WCAG 2.1, 1.4.3 and 1.4.11.
function pale(window, page) {
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (colour) => {
    const [red, green, blue] = channels(colour).map((level) => {
      const share = level / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = window.getComputedStyle(at).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const found = [];
  const check = (element, property, least) => {
    const colour = window.getComputedStyle(element)[property];
    const ratio = contrast(colour, behind(element));
    if (ratio < least) found.push(`${element.outerHTML.slice(0, 80)}: ${colour} has ${ratio.toFixed(2)}`);
  };
  for (const element of all("h1, h2, p, th, td, bdi, summary, figcaption, label, small", page)) check(element, "color", 4.5);
  for (const element of all(".chart text", page)) check(element, "fill", 4.5);
  for (const element of all(".line", page)) check(element, "stroke", 3);
  return found.slice(0, 5);
}

// What a reader does, and what comes of it.
function interact(window, page) {
  const [box] = all("[data-toggles]", page);
  const linesOf = () => all(`.line[data-series="${box.dataset.toggles}"]`, page);
  const hidden = () => linesOf().filter((line) => line.classList.contains("off")).length;
  box.click();
  const hiddenLines = hidden();
  box.click();
  const linesAfterSecondClick = hidden();

  const [chart] = all(".curves .chart", page).filter((chart) => chart.checkVisibility());
  const { right, top, height } = chart.getBoundingClientRect();
  const pointer = (name) =>
    chart.dispatchEvent(new window.PointerEvent(name, { clientX: right - 2, clientY: top + height / 2, bubbles: true }));
  const reading = page.querySelector('[data-reads="1"]');
  pointer("pointermove");
  const read = reading.textContent;
  pointer("pointerleave");

  const search = page.querySelector(".search input");
  search.value = "PHOTO-39";
  search.dispatchEvent(new window.Event("input"));
  const found = all(".image", page).filter((image) => !image.hidden).length;
  return {
    linesOfFirst: linesOf().length,
    hiddenLines,
    linesAfterSecondClick,
    reading: read,
    readingAfterLeaving: reading.textContent,
    found,
    foundText: page.querySelector(".search output").textContent,
  };
}
