"use strict";
// The page's own program: rows and curves by method, dialogs of runs, curves, pictures over training.
(function () {
  const all = (query, root) => [...(root || document).querySelectorAll(query)];
  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const line = () => getComputedStyle(document.documentElement).getPropertyValue("--line").trim();

  for (const cell of all("td[data-opens]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "opens";
    button.append(...[...cell.childNodes].filter((node) => node.nodeName !== "SUP"));
    const open = () => document.getElementById(cell.dataset.opens).showModal();
    button.addEventListener("click", open);
    cell.prepend(button);
    cell.parentElement.classList.add("opening");
    cell.parentElement.addEventListener("click", (event) => {
      if (!event.target.closest("a, button") && getSelection().isCollapsed) open();
    });
  }
  for (const button of all("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());
  for (const mark of all("th .mark")) {
    for (const kind of ["click", "keydown"]) mark.addEventListener(kind, (event) => event.stopPropagation());
  }

  const plots = [];
  function alpha(colour, share) {
    return colour + Math.round(255 * share).toString(16).padStart(2, "0");
  }
  function drawn(place, series, words, logarithmic) {
    const tables = [], drawnSeries = [{ label: words }], bands = [];
    for (const one of series) {
      tables.push([one.x, one.mean || one.y, ...(one.low ? [one.low, one.high] : [])]);
      const at = drawnSeries.length;
      drawnSeries.push({ label: one.title, stroke: one.colour || ink(), width: 2, dash: one.dash || [], spanGaps: true, points: { size: 4 } });
      if (one.low) {
        drawnSeries.push({ label: one.title + ", least", stroke: "transparent", spanGaps: true, points: { show: false } });
        drawnSeries.push({ label: one.title + ", most", stroke: "transparent", spanGaps: true, points: { show: false } });
        bands.push({ series: [at + 2, at + 1], fill: alpha(one.colour, 0.15) });
      }
    }
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const plot = new uPlot({
      width: Math.max(320, Math.min(place.clientWidth, 900)), height: 360, series: drawnSeries, bands,
      scales: { x: { time: false }, y: { distr: logarithmic ? 3 : 1 } },
      axes: [{ ...axis, label: words }, { ...axis, size: 60, label: place.dataset.ordinate || "" }],
      legend: { show: false },
    }, uPlot.join(tables), place);
    return plot;
  }
  function show(plot, series) {
    let at = 1;
    for (const one of series) {
      const visible = !hidden.has(one.title);
      for (let i = 0; i < (one.low ? 3 : 1); i++) plot.setSeries(at++, { show: visible });
    }
  }

  const hidden = new Set();
  const redraw = [];
  for (const place of all(".curve[data-source]")) {
    const data = JSON.parse(document.getElementById(place.dataset.source).textContent);
    const select = document.getElementById(place.dataset.source + "-against");
    let plot = null;
    const draw = () => {
      if (plot) plot.destroy();
      const words = select ? select.value : Object.keys(data)[0];
      plot = drawn(place, data[words], words, true);
      show(plot, data[words]);
    };
    if (select) select.addEventListener("change", draw);
    draw();
    redraw.push(draw);
  }
  for (const place of all(".curve[data-run]")) {
    const data = JSON.parse(document.getElementById(place.dataset.run).textContent);
    const names = place.dataset.names.split(",").filter((name) => data[name]);
    const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"];
    drawn(place, names.map((name, i) => ({ title: name, colour: colours[i % 4], ...data[name] })), "training iterations", false);
  }
  for (const box of all("input[data-method]")) {
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(box.dataset.method); else hidden.add(box.dataset.method);
      for (const row of all("tr[data-row]")) row.classList.toggle("hidden", hidden.has(row.dataset.row));
      for (const figure of all("figure[data-row]")) figure.hidden = hidden.has(figure.dataset.row);
      for (const draw of redraw) draw();
    });
  }
  for (const slider of all("input[type=range][data-pictures]")) {
    const pictures = JSON.parse(document.getElementById(slider.dataset.pictures).textContent);
    const image = document.getElementById(slider.dataset.pictures + "-image");
    const words = document.getElementById(slider.dataset.pictures + "-words");
    const look = () => {
      const [iteration, source] = pictures[slider.value];
      image.src = source;
      image.alt = words.textContent = iteration === "end" ? "after training" : "iteration " + iteration;
      slider.setAttribute("aria-valuetext", words.textContent);
    };
    slider.addEventListener("input", look);
    look();
  }
})();
