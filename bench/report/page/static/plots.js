"use strict";
/* Dice against cost, and learning curves, of the rows that the matrix shows; drawn by Chart.js. */

const MOST_CURVES = 60;
const charts = {};
let picked = null;

function drawPlots() {
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.color = themed("--quiet");
  Chart.defaults.borderColor = themed("--rule");
  Chart.defaults.plugins.legend.display = false;
  Object.assign(Chart.defaults.plugins.tooltip, {
    backgroundColor: themed("--ink"), titleColor: themed("--paper"), bodyColor: themed("--paper"),
    displayColors: false, cornerRadius: 2, padding: 8, caretSize: 0,
  });
  drawCost();
  drawLabels();
  drawShares();
  drawCurves();
}

function put(id, configuration) {
  charts[id]?.destroy();
  charts[id] = new Chart($(id), configuration);
}

function legend(target, rows, ofRecipe) {
  const methods = study.methods.filter(({ name }) => rows.some((row) => row.kind === name));
  const networks = study.networks.filter((name) => rows.some((row) => row.architecture === name));
  const others = recipes.filter((name) => rows.some((row) => recipe(row) === name));
  target.replaceChildren(
    el("ul", { "aria-label": "Colours: methods" }, ...methods.map(({ name, colour }) =>
      el("li", {}, el("span", { class: "swatch", style: `--c:${colour}` }), name))),
    el("ul", { "aria-label": "Signs: networks" }, ...networks.map((architecture) =>
      el("li", {}, sign(signOf({ architecture }), true), architecture))),
    ...(recipes.length > 1 ? [el("ul", { "aria-label": "What else differs" }, ...others.map((name) =>
      el("li", {}, ofRecipe(rows.find((row) => recipe(row) === name)), name)))] : []),
  );
}

const sign = (d, filled) =>
  el("svg:svg", { class: "mark", viewBox: "-1.4 -1.4 2.8 2.8", "aria-hidden": "true" },
    el("svg:path", { d, "fill-opacity": filled ? .4 : 0 }));
const signOfRecipe = (row) => sign(signOf(row), isUsual(row));
const dashOfRecipe = (row) =>
  el("svg:svg", { class: "dash", viewBox: "0 0 28 4", "aria-hidden": "true" },
    el("svg:path", { d: "M0 2H28", "stroke-dasharray": dashOf(row).join(" ") || null }));

/* Dice against cost */

const costs = numbers.filter(({ cost }) => cost);
const costNow = () => costs.find(({ key }) => key === $("cost-of").value);
const plotted = () => view.rows.filter((row) => row[costNow().key] > 0 && row.dice !== undefined);

function buildCost() {
  $("cost-of").append(...costs.map(({ key, cost }) => el("option", { value: key }, cost)));
  const usual = costs.find(({ key }) => key === "latency_cpu_ms_p50") ?? costs[0];
  if (usual) $("cost-of").value = usual.key;
  $("cost-of").addEventListener("change", drawCost);
  $("cost-plot").addEventListener("keydown", walk);
}

/** The best Dice at each cost or less: rows that no cheaper or equal row beats. */
function front(rows, key) {
  const best = [];
  for (const row of [...rows].sort((a, b) => a[key] - b[key] || b.dice - a.dice))
    if (!best.length || row.dice > best.at(-1).dice) best.push(row);
  return best;
}

function drawCost() {
  const cost = costNow();
  const rows = cost ? plotted() : [];
  const point = (row) => ({ x: row[cost.key] / (cost.scale ?? 1), y: row.dice, row });
  // Of means in any case: the best of single folds would be the luckiest patients.
  const line = cost ? front(means(rows.flatMap(({ runs }) => runs)), cost.key).map(point) : [];
  const data = cost ? rows.map(point).sort((a, b) => a.x - b.x) : [];
  const best = line.length;
  if (best) line.push({ x: data.at(-1).x, y: line.at(-1).y });
  legend($("cost-legend"), rows, signOfRecipe);
  $("cost-plot").setAttribute("aria-label",
    `Dice (${study.part}) against ${cost?.cost ?? "cost"}: ${rows.length} points, ${best} of them on the front. ` +
    "The arrow keys walk through the points; the matrix above holds the same numbers.");
  put("cost-plot", {
    type: "scatter",
    plugins: [signs],
    data: {
      datasets: [
        {
          data, clip: 12, rows: data.map(({ row }) => row), pointStyle: false,
          borderColor: data.map(({ row }) => methodColour(row)),
          pointRadius: 6, hoverRadius: 9, hitRadius: 6,
        },
        {
          type: "line", data: line, stepped: "before", pointRadius: 0, hitRadius: 0, hoverRadius: 0,
          borderColor: themed("--quiet"), borderWidth: 1, borderDash: [3, 3],
        },
      ],
    },
    options: {
      onClick: (event, found) => found.length && pick(data[found[0].index].row),
      interaction: { mode: "nearest", intersect: true },
      plugins: {
        tooltip: {
          filter: ({ datasetIndex }) => datasetIndex === 0,
          callbacks: { title: ([item]) => item && label(item.raw.row), label: ({ raw }) => facts(raw.row, cost) },
        },
      },
      scales: {
        x: { type: "logarithmic", title: { display: true, text: cost?.cost }, grace: "5%", ticks: { callback: tick, maxRotation: 0 } },
        y: { title: { display: true, text: `Dice (${study.part})` }, afterDataLimits: room },
      },
    },
  });
}

/** Some air around the points, but none above a Dice of one. */
function room(axis) {
  const air = 0.06 * (axis.max - axis.min) || 0.01;
  axis.min -= air;
  axis.max = Math.min(axis.max + air, 1);
}

/** Ticks of a logarithmic axis: as many of each decade as there is room for. */
function tick(value) {
  const decade = this.width / Math.log10(this.max / this.min);
  const digits = decade > 900 ? [1, 2, 3, 4, 5, 6, 7, 8, 9] : decade > 250 ? [1, 2, 5] : decade > 120 ? [1, 3] : [1];
  const lead = value / 10 ** Math.floor(Math.log10(value) + 1e-9);
  const marked = digits.some((digit) => Math.abs(lead - digit) < 1e-6);
  return marked ? value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 }) : "";
}

function facts(row, cost) {
  const dice = `Dice ${row.dice.toFixed(3)}` + (row.sd === undefined ? "" : ` ± ${row.sd.toFixed(3)}`);
  const over = numbers.filter((number) => number.against && row[number.key] !== undefined);
  const differences = over.map((number) => `${number.short} ${difference(number, row)} points`);
  return [dice, ...differences, `${cost.label} ${shown(cost, row[cost.key])}`, `record ${row.runs.map(({ id }) => id.slice(0, 8)).join(" ")}`];
}

/** Show a row under the plot, with links to its records and to its cases. */
function pick(row) {
  picked = row;
  const links = row.runs.map((run) => el("a", { href: recordOf(run) }, `record ${run.id.slice(0, 8)}`));
  const show = el("button", { type: "button", click: () => compare(row.runs[0]) }, "Show its cases as job B");
  $("picked").replaceChildren(
    el("strong", {}, label(row)), ` — ${facts(row, costNow()).slice(0, -1).join(", ")} · `,
    ...links.flatMap((link) => [link, " "]), show,
  );
}

function walk(event) {
  const chart = charts["cost-plot"];
  const points = chart.data.datasets[0].data;
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !points.length) return;
  event.preventDefault();
  const now = points.findIndex(({ row }) => row === picked);
  const index = now < 0 ? 0 : (now + step + points.length) % points.length;
  const active = [{ datasetIndex: 0, index }];
  chart.setActiveElements(active);
  chart.tooltip.setActiveElements(active, chart.getDatasetMeta(0).data[index]);
  chart.update();
  pick(points[index].row);
}

/* Learning curves */

function drawCurves() {
  const runs = view.rows.flatMap((row) => row.runs).filter((run) => run.curve?.dice_val?.length);
  const some = runs.slice(0, MOST_CURVES);
  const shownOf = runs.length > some.length
    ? `The first ${some.length} of ${runs.length} jobs, in the matrix’ order; filter or sort to see others.`
    : `${runs.length} job${runs.length === 1 ? "" : "s"}.`;
  const kept = some.some((run) => run.best_epoch) ? " The network’s sign marks the kept epoch." : "";
  const before = some.some((run) => run.changed_after_training)
    ? " Of networks that were changed after training these are the curves, and the epoch, from before the change." : "";
  $("curves-note").textContent = shownOf + kept + before;
  legend($("curves-legend"), some, dashOfRecipe);
  curvePlot("dice-plot", some, "dice_val", "Dice (validation)");
  curvePlot("loss-plot", some, "seg", "L_seg (training)");
}

function curvePlot(id, runs, key, name) {
  $(id).setAttribute("aria-label", `${name} by epoch, ${runs.length} curves`);
  put(id, {
    type: "line",
    plugins: [signs],
    data: {
      datasets: runs.map((run) => ({
        run,
        data: run.curve[key].map((y, k) => ({ x: k + 1, y })),
        borderColor: methodColour(run), backgroundColor: methodColour(run),
        borderDash: dashOf(run), borderWidth: 1.4, hoverBorderWidth: 3.5,
        rows: run.curve[key].map(() => run), drawn: (k) => k + 1 === run.best_epoch, pointStyle: false,
        pointRadius: 4.5, pointHoverRadius: 4.5, pointHitRadius: 4,
      })),
    },
    options: {
      parsing: false,
      interaction: { mode: "nearest", intersect: false },
      hover: { mode: "dataset", intersect: false },
      onClick: (event, found, chart) => {
        const [near] = chart.getElementsAtEventForMode(event, "nearest", { intersect: false }, false);
        if (near) pick(runs[near.datasetIndex]);
      },
      plugins: {
        tooltip: {
          callbacks: {
            title: ([item]) => item && label(item.dataset.run),
            label: ({ parsed, dataset }) => [`epoch ${parsed.x}: ${parsed.y.toFixed(3)}`, `record ${dataset.run.id.slice(0, 8)}`],
          },
        },
      },
      scales: { x: { type: "linear", min: 1, title: { display: true, text: "epoch" }, ticks: { precision: 0, maxRotation: 0 } } },
    },
  });
}
