"use strict";
/* The matrix: filters, sorting, mean over folds or seeds. What it shows, the plots show. */

const view = { sort: null, descending: false, rows: [] };
const cellKeys = [
  "architecture", "method", "seg_loss", "sees", "teacher", "image_size", "labels", "teacher_labels", "unlabelled", "updates_asked", "drawn", "plugin",
];
const texts = facets.filter(({ key }) => key === "architecture" || key === "method" || (key !== "status" && varies(key)));

function buildFilters() {
  for (const { key, label: name, values } of facets.filter(({ key }) => varies(key))) {
    const options = values.map((value) => el("option", { value }, value === "" ? "none" : String(value)));
    const select = el("select", { id: `facet-${key}`, "data-facet": key }, el("option", { value: "*" }, "all"), ...options);
    $("facets").append(el("div", { class: "field" }, el("label", { for: select.id }, name), select));
  }
  $("filters").addEventListener("input", refresh);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(refresh));
  $("means").addEventListener("change", refresh);
  $("grouping").hidden = !varies(repeat);
  $("repeat").textContent = `${repeat}s`;
  const gains = jobs.some((job) => job.over)
    ? "Gain, to teacher: points of Dice over the same network trained plainly and over its teacher, on the same folds and seeds, " +
      "with a 95 % interval: of a mean over three folds or more over folds, for the method; else over patients, for these networks alone. " +
      "Grey: no claim; ↓: harm or worse, as the verdicts in comparisons.csv have it. "
    : "";
  $("gain-note").textContent = gains + study.cautions;
}

function filtered() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...document.querySelectorAll("[data-facet]")]
    .filter((select) => select.value !== "*")
    .map((select) => [select.dataset.facet, select.value]);
  return jobs.filter((job) => {
    const text = [job.id, job.reason, ...facets.map(({ key }) => job[key])].join(" ").toLowerCase();
    return (
      wanted.every(([key, value]) => String(job[key] ?? "") === value) &&
      words.every((word) => text.includes(word))
    );
  });
}

/** One row a cell: the mean over its folds or seeds, and their spread of Dice. */
function means(chosen) {
  const cells = new Map();
  for (const job of chosen.filter((job) => job.status === "done")) {
    const key = JSON.stringify(cellKeys.map((name) => job[name]));
    cells.set(key, [...(cells.get(key) ?? []), job]);
  }
  return [...cells.values()].map((runs) => {
    // Of some of a cell's jobs only there is no interval, unless it is one.
    const all = done.filter((job) => job.cell === runs[0].cell).length;
    const over = runs.length === 1 ? runs[0].over : runs.length === all ? study.cells[runs[0].cell] : undefined;
    const row = { ...runs[0], runs, over };
    for (const { key } of numbers) {
      const values = runs.map((run) => run[key]).filter((value) => value !== undefined);
      row[key] = values.length ? values.reduce((a, b) => a + b) / values.length : undefined;
    }
    row.closed = over?.baseline?.[4] ?? undefined;
    // Seeds of a fold are averaged before: the spread is that of folds.
    const each = Map.groupBy(runs.filter((run) => run.dice !== undefined), (run) => run[repeat]);
    const dice = [...each.values()].map((same) => same.reduce((sum, run) => sum + run.dice, 0) / same.length);
    if (dice.length) row.dice = dice.reduce((a, b) => a + b) / dice.length;
    row.sd = dice.length > 1 ? Math.sqrt(dice.reduce((s, d) => s + (d - row.dice) ** 2, 0) / (dice.length - 1)) : undefined;
    return row;
  });
}

function sorted(rows) {
  const { sort, descending } = view;
  if (!sort) return rows;
  const isNumber = numbers.some(({ key }) => key === sort);
  const has = (row) => row[sort] !== undefined && !(isNumber && typeof row[sort] === "string");
  const known = rows.filter(has);
  known.sort((a, b) => (a[sort] < b[sort] ? -1 : a[sort] > b[sort] ? 1 : 0) * (descending ? -1 : 1));
  return [...known, ...rows.filter((row) => !has(row))];
}

function sortBy(key, low) {
  view.descending = view.sort === key ? !view.descending : !low;
  view.sort = key;
  refresh();
  document.querySelector(`#jobs button[data-sort="${key}"]`).focus();
}

function refresh() {
  const grouped = $("means").checked;
  const chosen = filtered();
  view.rows = sorted(grouped ? means(chosen) : chosen);
  const unit = grouped ? `cells of ${done.length} jobs` : `of ${jobs.length} jobs`;
  $("count").textContent = `${view.rows.length} ${unit}`;
  drawTable(grouped);
  drawPlots();
}

function drawTable(grouped) {
  const keys = texts.filter(({ key }) => !(grouped && (key === "seed" || key === "fold")));
  const heading = ({ key, label: name, low, show }) =>
    el(
      "th",
      { scope: "col", class: show ? "number" : null, "aria-sort": view.sort === key ? (view.descending ? "descending" : "ascending") : null },
      el("button", { type: "button", "data-sort": key, click: () => sortBy(key, low || !show) }, name),
    );
  const head = el("tr", {}, ...keys.map(heading), ...numbers.map(heading));
  head.append(el("th", { scope: "col" }, grouped ? `Records by ${repeat}` : "Record"));
  $("jobs").replaceChildren(el("thead", {}, head), el("tbody", {}, ...view.rows.map((row) => line(row, keys))));
}

function line(row, keys) {
  const [run] = row.runs;
  const single = row.runs.length === 1;
  // The row's name takes the keyboard's focus; its numbers, links too, need not be walked through.
  const cells = keys.map(({ key }, k) => {
    if (k === 0) return el("th", { scope: "row" }, single ? el("a", { href: recordOf(run) }, row.architecture) : row.architecture);
    if (key === "method") return el("td", {}, el("span", { class: "swatch", style: `--c:${methodColour(row)}` }), row.method);
    return el("td", {}, String(row[key] ?? ""));
  });
  if (row.status !== "done")
    cells.push(el("td", { class: "failed", colspan: numbers.length }, [row.status, row.reason].filter(Boolean).join(": ")));
  for (const number of row.status === "done" ? numbers : []) {
    const value = row[number.key];
    if (value === undefined) {
      cells.push(el("td", { class: "number none" }, "–"));
      continue;
    }
    const spread = number.key === "dice" && row.sd !== undefined ? ` ± ${row.sd.toFixed(3)}` : "";
    const verdict = comparedWith(row, number.against)[3];
    const bad = verdict === "harm" || verdict === "worse";
    const text = number.against ? difference(number, row) + (bad ? " ↓" : "") : shown(number, value) + spread;
    const link = single ? el("a", { href: recordOf(run), tabindex: -1 }, text) : text;
    const claim = !number.against || bad || verdict === "gain" || verdict === "as good";
    cells.push(el("td", { class: `number ${number.key}${claim ? "" : " unclear"}`, title: verdict ?? null }, link));
  }
  const records = row.runs.flatMap((job, k) => [
    k ? " " : "",
    el("a", { href: recordOf(job), tabindex: single ? -1 : null }, single ? job.id.slice(0, 8) : String(job[repeat])),
  ]);
  return el("tr", {}, ...cells, el("td", { class: "id" }, ...records));
}
