"use strict";
/* Fill the page. */

function buildHeader() {
  const what = study.synthetic ? "synthetic data" : null;
  const seeds = [...new Set(done.map((job) => job.seed))].sort((a, b) => a - b);
  const sizes = [...new Set(done.map((job) => side(job)))].join(" and ");
  const others = jobs.length - done.length;
  const facts = [
    what, `${study.part} scores`, sizes,
    `${done.length} finished job${done.length === 1 ? "" : "s"}${others ? `, ${others} without a result` : ""}`,
    study.progress ? `so far ${study.progress}` : null,
    study.folds ? study.repeats : seeds.length ? `seed${seeds.length > 1 ? "s" : ""} ${seeds.join(", ")}` : null,
    study.updates ? `${study.updates} updates a job` : null,
    study.cases.length ? `${study.cases.length} cases of ${patients.length} patients` : null,
    study.tested && study.tested !== `${patients.length} patients` ? `${study.tested} a row of means` : null,
  ];
  document.title = `${study.dataset}${study.synthetic ? " (synthetic)" : ""} – lightseg-bench`;
  $("title").textContent = study.dataset;
  $("about").textContent = facts.filter(Boolean).join(" · ");
  $("note").textContent = [study.note, study.licence].filter(Boolean).join(". ");
  if (study.odd_data) {
    const lines = study.odd_data.map((line) => el("li", {}, line));
    $("note").after(el("div", { id: "odd", class: "quiet" }, "Odd about the data:", el("ul", {}, ...lines)));
  }
  if (study.synthetic) $("title").append(" ", el("span", { class: "badge" }, "synthetic"));
}

/** Light or dark: the system's choice, until the reader makes another. */
function buildTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const name = () => ($("theme").textContent = dark() ? "Light" : "Dark");
  try {
    root.dataset.theme = localStorage.getItem("lightseg-theme") ?? "";
  } catch {
    // No storage for pages from disk: the choice holds until the page is left.
  }
  name();
  system.addEventListener("change", () => (name(), drawPlots()));
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("lightseg-theme", root.dataset.theme);
    } catch {
      // As above.
    }
    name();
    drawPlots();
  });
}

/** Tables of this study and others, as the report wrote them. */
function buildBeside() {
  $("beside-section").hidden = !study.beside;
  for (const { caption, columns, rows } of study.beside ?? []) {
    const shown = columns.map((name, k) => [name, k]).filter(([name]) => name !== "records");
    $("beside-section").append(
      el("p", { class: "quiet" }, caption),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption.split(",")[0] },
        el("table", {},
          el("thead", {}, el("tr", {}, ...shown.map(([name]) => el("th", { scope: "col" }, name)))),
          el("tbody", {}, ...rows.map((row) => el("tr", {}, ...shown.map(([, k], first) => el(first ? "td" : "th", first ? {} : { scope: "row" }, row[k] || "–"))))))));
  }
}

buildTheme();
buildHeader();
buildBeside();
buildFilters();
buildCost();
buildCases();
refresh();
