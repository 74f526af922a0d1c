"use strict";
/* The case browser: image, ground truth and two jobs side by side, Dice beside each. Pictures lie in
   page/cases/ as scripts that call back, for a page from disk may load nothing else. */

const pictures = { cases: null, jobs: new Map(), wanted: false, patient: undefined };
const patients = [...new Set(study.cases.map(({ patient }) => patient))];
const casesOf = (patient) => study.cases.map((row, index) => ({ ...row, index })).filter((row) => row.patient === patient);
const scored = done.filter((job) => job.cases);
const jobA = () => scored[$("job-a").value];
const jobB = () => scored[$("job-b").value];
const mean = (values) => {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((a, b) => a + b) / known.length : null;
};
const patientDice = (job, patient) => mean(casesOf(patient).map(({ index }) => job.cases[index]));
/** What B has more than A on a patient, from the cases that both have a Dice for. */
const patientGap = (a, b, patient) =>
  mean(casesOf(patient).map(({ index: k }) => (a.cases[k] === null || b.cases[k] === null ? null : b.cases[k] - a.cases[k])));

/** Called by page/cases/truth.js with pairs of case and picture. */
window.benchPictures = (cases) => {
  pictures.cases = new Map(cases);
  drawCase();
};

/** Called by page/cases/jobs/ID.js with pairs of case and outlines. */
window.benchPrediction = (id, outlines) => {
  pictures.jobs.set(id, new Map(outlines));
  drawCase();
};

function load(source, failed) {
  document.head.append(el("script", { src: source, error: failed }));
}

function buildCases() {
  if (!scored.length) {
    $("browser").replaceChildren("No finished job has scores of cases yet.");
    return;
  }
  $("case-label").textContent = study.volumes ? "Volume" : "Slice";
  for (const id of ["job-a", "job-b"]) {
    $(id).append(...scored.map((job, k) => el("option", { value: k }, label(job))));
    $(id).addEventListener("change", () => changeJob(id));
  }
  const [a, b] = usualPair();
  $("job-a").value = scored.indexOf(a);
  $("job-b").value = scored.indexOf(b);
  $("order").addEventListener("change", () => (orderPatients(), choosePatient($("patient").options[0].value)));
  $("patient").addEventListener("change", () => choosePatient($("patient").value));
  $("case").addEventListener("change", newCase);
  $("plane").addEventListener("input", drawViews);
  $("contours").addEventListener("change", drawViews);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  orderPatients();
  choosePatient($("patient").options[0].value);
  if (!study.pictures) return noPictures();
  // Pictures are read when the reader comes near them.
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    pictures.wanted = true;
    load("page/cases/truth.js", noPictures);
  }, { rootMargin: "600px" }).observe($("cases"));
}

/** The smallest network that was distilled both ways, plain beside distilled; else the first two jobs. */
function usualPair() {
  for (const network of [...study.networks].reverse()) {
    const own = scored.filter((job) => job.architecture === network);
    const plain = own.find((job) => job.kind === "baseline");
    const other = own.find((job) => job.kind === "combined") ?? own.find((job) => job.kind !== "baseline");
    if (plain && other) return [plain, other];
  }
  return [scored[0], scored[1] ?? scored[0]];
}

/** A job was chosen. Folds share no patient, so the other one is taken from the same fold. */
function changeJob(id) {
  const [job, other, otherId] = id === "job-a" ? [jobA(), jobB(), "job-b"] : [jobB(), jobA(), "job-a"];
  if (study.folds && other.fold !== job.fold) {
    const same = (run) => run.fold === job.fold && cellKeys.every((key) => run[key] === other[key]);
    $(otherId).value = scored.indexOf(scored.find(same) ?? job);
  }
  orderPatients();
  const listed = [...$("patient").options].map(({ value }) => value);
  if (pictures.patient !== undefined && !listed.includes(pictures.patient)) choosePatient(listed[0]);
  else drawCase();
}

/** From elsewhere on the page: this job as B. */
function compare(job) {
  if (!scored.includes(job)) return;
  $("job-b").value = scored.indexOf(job);
  changeJob("job-b");
  $("cases").scrollIntoView();
  $("cases").focus({ preventScroll: true });
}

function noPictures() {
  pictures.cases = null;
  study.pictures = false;
  $("no-pictures").textContent = study.synthetic
    ? "The pictures of these cases are not here yet; python run_bench.py report STUDY writes them."
    : "The pictures of these cases are not here, so they are shown by their numbers. With the dataset at hand, " +
      "python run_bench.py report STUDY --data FOLDER puts the pictures beside this page.";
  $("no-pictures").hidden = false;
  $("contours-label").hidden = true;
  $("plane-field").hidden = true;
  $("views").replaceChildren();
}

function orderPatients() {
  const rank = {
    name: () => 0,
    worst: (patient) => patientDice(jobA(), patient) ?? 2,
    gap: (patient) => -Math.abs(patientGap(jobA(), jobB(), patient) ?? 0),
  }[$("order").value];
  const now = $("patient").value;
  const own = patients.filter((patient) => patientDice(jobA(), patient) !== null);
  const listed = study.folds && own.length ? own : patients;
  const ranked = listed.map((patient) => [rank(patient), patient]).sort((a, b) => a[0] - b[0]);
  $("patient").replaceChildren(...ranked.map(([, patient]) => el("option", { value: patient }, patient)));
  if (listed.includes(now)) $("patient").value = now;
}

function choosePatient(patient, last = false) {
  $("patient").value = pictures.patient = patient;
  const own = casesOf(patient);
  $("case").replaceChildren(...own.map((row) => el("option", { value: row.index }, row.case)));
  $("case").value = own.at(last ? -1 : 0).index;
  newCase();
}

function step(by) {
  const at = $("case").selectedIndex + by;
  if (at >= 0 && at < $("case").options.length) {
    $("case").selectedIndex = at;
    return newCase();
  }
  const order = [...$("patient").options].map(({ value }) => value);
  const next = (order.indexOf($("patient").value) + by + order.length) % order.length;
  choosePatient(order[next], by < 0);
}

function newCase() {
  pictures.centre = true;
  drawCase();
}

function drawCase() {
  drawNumbers();
  const picture = pictures.cases?.get(study.cases[$("case").value].case);
  if (picture && pictures.centre) {
    $("plane").max = picture.outlines.length;
    // A volume opens where most of the object's outline is.
    const sizes = picture.outlines.map((plane) => plane.join("").length);
    $("plane").value = sizes.indexOf(Math.max(...sizes)) + 1;
    $("plane-field").hidden = picture.outlines.length === 1;
    pictures.centre = false;
  }
  drawViews();
}

function drawNumbers() {
  const patient = $("patient").value;
  const [a, b] = [jobA(), jobB()];
  const cell = (job, value) => el("td", { class: "number" },
    value === null ? "–" : el("a", { href: recordOf(job) }, value.toFixed(3)));
  const gap = (value) => el("td", { class: "number" }, value === null ? "–" : signed(100 * value, 1));
  const rows = casesOf(patient).map(({ case: name, index }) => {
    const choose = () => {
      $("case").value = index;
      newCase();
      document.querySelector("#patient-cases [aria-current] button")?.focus();
    };
    const current = String(index) === $("case").value ? "true" : null;
    return el("tr", { "aria-current": current },
      el("th", { scope: "row" }, el("button", { type: "button", click: choose }, name)),
      cell(a, a.cases[index]), cell(b, b.cases[index]), gap(a.cases[index] === null || b.cases[index] === null ? null : b.cases[index] - a.cases[index]));
  });
  const [x, y] = [patientDice(a, patient), patientDice(b, patient)];
  const columns = [study.volumes ? "Volume" : "Slice", "Dice A", "Dice B", "B − A, points"];
  $("patient-cases").replaceChildren(
    el("caption", {}, `Patient ${patient}, ${study.part} scores`),
    el("thead", {}, el("tr", {}, ...columns.map((name, k) => el("th", { scope: "col", class: k ? "number" : null }, name)))),
    el("tbody", {}, ...rows),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "mean"), cell(a, x), cell(b, y), gap(patientGap(a, b, patient)))),
  );
}

function drawViews() {
  if (!pictures.cases) return;
  const { case: name } = study.cases[$("case").value];
  const picture = pictures.cases.get(name);
  if (!picture) {
    $("views").replaceChildren(el("p", { class: "quiet" }, "No picture of this case."));
    return;
  }
  const plane = picture.outlines.length > 1 ? $("plane").value - 1 : 0;
  $("plane-number").textContent = `${plane + 1} of ${picture.outlines.length}`;
  const truth = picture.outlines[plane];
  const panes = [figure(picture, plane, "Image", [], ["Image"])];
  const classes = study.classes.flatMap((_, k) => [" ", className(k)]);
  panes.push(figure(picture, plane, "Ground truth", [[truth, "truth"]], ["Ground truth", ...classes]));
  for (const [letter, job] of [["A", jobA()], ["B", jobB()]]) {
    const own = prediction(job)?.get(name);
    const dice = job.cases[$("case").value];
    const caption = [
      `${letter}: ${label(job)}`, el("br"),
      "Dice ", dice === null ? "–" : el("a", { href: recordOf(job), class: "dice" }, dice.toFixed(3)),
      ...(job.classes ?? []).flatMap((values, k) => {
        const value = values[$("case").value];
        return [" · ", className(k), ` ${value === null ? "–" : value.toFixed(3)}`];
      }),
      own ? null : job.pictured ? " · reading …" : " · no masks here",
    ];
    // Of one class a job's outline has its method's colour, of several each has its own.
    const drawn = own ? [[truth, "truth thin"], [own[plane], "prediction", study.classes.length ? null : methodColour(job)]] : [];
    panes.push(figure(picture, plane, `Job ${letter}, ${label(job)}`, drawn, caption));
  }
  $("views").replaceChildren(...panes);
}

/** A class by its name, in its colour. */
const className = (k) => el("span", {}, el("span", { class: "swatch", style: `--c:${study.classes[k].colour}` }), study.classes[k].name);

/** A job's outlines by case, or what asks for them. */
function prediction(job) {
  if (!job.pictured) return null;
  if (!pictures.jobs.has(job.id)) {
    pictures.jobs.set(job.id, null);
    load(`page/cases/jobs/${encodeURIComponent(job.id)}.js`, () => (job.pictured = false, drawViews()));
  }
  return pictures.jobs.get(job.id);
}

/** One pane: the plane of an image whose planes lie below each other, under outlines in half pixels. */
function figure({ image, width, height, outlines }, plane, title, drawn, caption) {
  const contours = $("contours").checked ? drawn : [];
  const lines = contours.flatMap(([paths, kind, colour]) =>
    paths.flatMap((d, k) => {
      const own = study.classes[k]?.colour ?? colour;
      const path = (name) => el("svg:path", { d, class: name, style: own && name === kind ? `stroke:${own}` : null, "data-class": k });
      return [path("halo"), path(kind)];
    }));
  return el("figure", {},
    el("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}${contours.length ? ", with contours" : ""}` },
      el("svg:image", { href: `page/cases/${image}`, y: -plane * height, width, height: height * outlines.length }),
      el("svg:g", { transform: "scale(.5)" }, ...lines)),
    el("figcaption", {}, ...caption));
}
