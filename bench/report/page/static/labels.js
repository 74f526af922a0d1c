"use strict";
/* What a teacher is worth: Dice against the number of labelled patients, and the share of the gap by method, of the
   jobs that the filters leave. Drawn by Chart.js. */

const MOST_SHARES = 40;
const lineColours = ["#7f7f7f", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7a68a6", "#999933"];

/** What tells two lines apart, as words of a row; of the teacher nothing where there is none. */
const wayParts = {
  architecture: (row) => row.architecture,
  method: (row) => row.method,
  seg_loss: (row) => row.seg_loss,
  sees: (row) => row.sees,
  image_size: (row) => side(row),
  updates_asked: (row) => `${row.updates_asked} updates`,
  teacher: (row) => row.teacher && (row.teacher === row.architecture ? "of its plain twin" : `of ${row.teacher}`),
  teacher_labels: (row) => row.teacher && { same: "teacher of the same labels", disjoint: "teacher of others", all: "teacher saw all labels" }[row.teacher_labels],
  unlabelled: (row) => row.teacher && { none: "on labelled images", maps: "on all images" }[row.unlabelled],
};
const wayKeys = Object.keys(wayParts);
const asNumber = (count) => (count === "all" ? Infinity : Number(count));

/** One line for each way of using the teacher, of networks that something teaches: by labels the mean and the range.
    Beside lines what is known at one number of labels only is left out: it stands in the matrix. */
function labelLines(chosen) {
  const students = new Set(chosen.filter((job) => job.teacher).map((job) => job.architecture));
  const usable = chosen.filter((job) => job.status === "done" && !job.drawn && job.dice !== undefined && students.has(job.architecture) &&
    (job.teacher || job.teacher_labels === "same"));
  const counts = [...new Set(usable.map((job) => job.labels))].sort((a, b) => asNumber(a) - asNumber(b));
  const every = [...Map.groupBy(usable, (job) => JSON.stringify(wayKeys.map((key) => job[key]))).values()].map((runs) => ({
    row: runs[0],
    points: [...Map.groupBy(runs, (run) => run.labels)].map(([count, same]) => {
      const dice = same.map((run) => run.dice);
      return { x: counts.indexOf(count), mean: dice.reduce((a, b) => a + b) / dice.length, low: Math.min(...dice), high: Math.max(...dice), runs: same };
    }).sort((a, b) => a.x - b.x),
  }));
  const long = every.filter(({ points }) => points.length > 1);
  const lines = long.length ? long : every;
  const texts = (key) => new Set(lines.map(({ row }) => wayParts[key](row)).filter(Boolean));
  const telling = wayKeys.filter((key) => key === "method" || texts(key).size > 1);
  for (const line of lines) line.name = telling.map((key) => wayParts[key](line.row)).filter(Boolean).join(", ");
  return { counts, lines: lines.sort((a, b) => Boolean(a.row.teacher) - Boolean(b.row.teacher) || a.name.localeCompare(b.name)) };
}

const lineLook = (k) => ({ colour: lineColours[k % lineColours.length], dash: dashes[Math.floor(k / lineColours.length) % dashes.length] });

function drawLabels() {
  const { counts, lines } = labelLines(filtered());
  $("labels-section").hidden = !varies("labels");
  if ($("labels-section").hidden) return;
  $("labels-legend").replaceChildren(el("ul", { "aria-label": "Lines: ways of using the teacher" }, ...lines.map(({ name }, k) => {
    const { colour, dash } = lineLook(k);
    return el("li", {}, el("svg:svg", { class: "dash", viewBox: "0 0 28 4", "aria-hidden": "true", style: `stroke:${colour}` },
      el("svg:path", { d: "M0 2H28", "stroke-dasharray": dash.join(" ") || null })), name);
  })));
  $("labels-plot").setAttribute("aria-label",
    `Dice (${study.part}) against the number of labelled patients, ${lines.length} lines; the matrix above holds the same numbers.`);
  const band = (points, end, fill, colour) => ({
    data: points.map((point) => ({ x: point.x, y: point[end] })), fill, backgroundColor: `${colour}22`,
    borderWidth: 0, pointRadius: 0, pointHitRadius: 0, pointHoverRadius: 0,
  });
  put("labels-plot", {
    type: "line",
    data: {
      datasets: lines.flatMap(({ name, points }, k) => {
        const { colour, dash } = lineLook(k);
        const line = {
          name, points, data: points.map(({ x, mean }) => ({ x, y: mean })), fill: false, borderColor: colour, backgroundColor: colour,
          borderDash: dash, borderWidth: 1.8, pointRadius: 3, pointHoverRadius: 5, pointHitRadius: 6,
        };
        return [line, band(points, "low", false, colour), band(points, "high", "-1", colour)];
      }),
    },
    options: {
      parsing: false,
      interaction: { mode: "nearest", intersect: true },
      onClick: (event, found, chart) => {
        const near = found.find(({ datasetIndex }) => datasetIndex % 3 === 0);
        if (near) pick(chart.data.datasets[near.datasetIndex].points[near.index].runs[0]);
      },
      plugins: {
        tooltip: {
          filter: ({ datasetIndex }) => datasetIndex % 3 === 0,
          callbacks: { title: ([item]) => item?.dataset.name, label: ({ dataset, dataIndex }) => ofPoint(dataset.points[dataIndex]) },
        },
      },
      scales: {
        x: {
          type: "linear", min: -0.2, max: counts.length - 0.8, title: { display: true, text: "training patients with labels" },
          afterBuildTicks: (axis) => { axis.ticks = counts.map((_, value) => ({ value })); },
          ticks: { callback: (value) => counts[value], autoSkip: false }, grid: { display: false },
        },
        y: { title: { display: true, text: `Dice (${study.part})` }, afterDataLimits: room },
      },
    },
  });
}

function ofPoint({ mean, low, high, runs }) {
  const range = runs.length > 1 ? ` (${low.toFixed(3)} to ${high.toFixed(3)}, ${distinct(runs, repeat)} ${repeat}s)` : "";
  return [`${runs[0].labels} labels: Dice ${mean.toFixed(3)}${range}`, `record ${runs.map(({ id }) => id.slice(0, 8)).join(" ")}`];
}

function drawShares() {
  const rows = means(filtered()).filter(({ closed }) => closed !== undefined && closed !== null);
  const known = rows.filter(({ closed }) => typeof closed === "number").sort((a, b) => b.closed - a.closed);
  const some = known.slice(0, MOST_SHARES);
  $("shares-section").hidden = !known.length;
  if (!known.length) return;
  const others = rows.length - known.length;
  const left = known.length - some.length;
  $("shares-note").textContent = "The gain over plain training, divided by what the teacher is better than it. " +
    (others ? `${others} more ${others === 1 ? "has" : "have"} no gap that could be told from none. ` : "") +
    (left ? `The ${left} smallest are left out; filter to see them.` : "");
  $("shares-box").style.height = `${70 + 36 * some.length}px`;
  $("shares-plot").setAttribute("aria-label", `Share of the gap closed, ${some.length} bars; the matrix holds the same numbers.`);
  put("shares-plot", {
    type: "bar",
    data: {
      labels: some.map(twoLines),
      datasets: [{ data: some.map(({ closed }) => 100 * closed), backgroundColor: some.map((row) => `${methodColour(row)}aa`), borderColor: some.map(methodColour), borderWidth: 1, maxBarThickness: 18 }],
    },
    options: {
      indexAxis: "y",
      onClick: (event, found) => found.length && pick(some[found[0].index]),
      plugins: { tooltip: { callbacks: { label: ({ dataIndex }) => ofShare(some[dataIndex]) } } },
      scales: { x: { title: { display: true, text: "share of the gap between plain student and teacher, %" } }, y: { ticks: { autoSkip: false } } },
    },
  });
}

/** A row's name in two lines, for the plot cuts longer ones. */
function twoLines(row) {
  const parts = label(row).split(" · ");
  const half = Math.ceil(parts.length / 2);
  return [parts.slice(0, half), parts.slice(half)].map((line) => line.join(" · "));
}

function ofShare(row) {
  const gain = numbers.find(({ key }) => key === "gain");
  return [`${Math.round(100 * row.closed)} % of the gap`, ...(gain ? [`gain ${difference(gain, row)} points`] : [])];
}
