"use strict";
/* What every part of the page shares. What comes from the study becomes text nodes and attribute values,
   never markup. */

const study = window.benchStudy;
const jobs = study.jobs;
const done = jobs.filter((job) => job.status === "done");
const $ = (id) => document.getElementById(id);

/** An element; functions among the attributes are listeners, null and false leave an attribute out. */
function el(tag, attributes = {}, ...children) {
  const node = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const significant = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
const signed = (value, digits) =>
  `${value > 0 ? "+" : value < 0 ? "−" : "±"}${Math.abs(value).toFixed(digits)}`;

/** What a job or a cell is compared with: [difference, low, high, verdict, share of the gap], in points of Dice. */
const comparedWith = (row, against) => row.over?.[against] ?? [];
for (const job of jobs) {
  [job.gain] = comparedWith(job, "baseline");
  job.closed = comparedWith(job, "baseline")[4] ?? undefined;
  [job.gap] = comparedWith(job, "teacher");
  job.updates_asked ??= "usual";
}

/** The numbers of a job, in the matrix' order. `against`: a difference, with its interval; `scale` divides; `cost` columns can be plotted against Dice;
    `low`: less is better, and sorts first. */
const numbers = [
  { key: "dice", label: `Dice (${study.part})`, short: "Dice", show: (v) => v.toFixed(3) },
  { key: "gain", label: "Gain, points", short: "gain", against: "baseline", show: (v) => signed(v, 1) },
  { key: "closed", label: "Gap closed", show: (v) => `${Math.round(100 * v)} %` },
  { key: "gap", label: "To teacher, points", short: "to the teacher", against: "teacher", show: (v) => signed(v, 1) },
  { key: "parameters", label: "Parameters", show: (v) => Math.round(v).toLocaleString("en"), low: true, cost: "parameters" },
  { key: "macs", label: "GMACs", scale: 1e9, show: significant, low: true, cost: "MACs (10⁹)" },
  { key: "size_mb", label: "MB", show: significant, low: true, cost: "file size, MB" },
  { key: "dice_drop", label: "Lost to source, points", scale: 0.01, show: (v) => signed(v, 2), low: true },
  { key: "latency_cpu_1_ms_p50", label: "1 thread ms, p50", show: significant, low: true, cost: "CPU latency on one thread, ms (p50, batch 1)" },
  { key: "latency_cpu_ms_p50", label: "CPU ms, p50", show: significant, low: true, cost: "CPU latency, ms (p50, batch 1)" },
  { key: "latency_gpu_ms_p50", label: "GPU ms, p50", show: significant, low: true, cost: "GPU latency, ms (p50, batch 1)" },
  { key: "peak_memory_inference_mb", label: "Memory MB", show: significant, low: true, cost: "peak memory of one inference, MB" },
  { key: "train_seconds", label: "Training s", show: (v) => Math.round(v).toLocaleString("en"), low: true, cost: "training time, s" },
  { key: "updates", label: "Updates", show: (v) => Math.round(v).toLocaleString("en"), low: true },
  ...study.classes.map(({ name }) => ({ key: `dice_${name}`, label: `Dice, ${name}`, show: (v) => v.toFixed(3) })),
  { key: "nsd", label: `NSD at 1 ${study.unit}`, show: (v) => v.toFixed(3) },
  { key: "hd95", label: `HD95, ${study.unit}`, show: (v) => v.toFixed(1), low: true },
  { key: "precision", label: "Precision", show: (v) => v.toFixed(3) },
  { key: "sensitivity", label: "Sensitivity", show: (v) => v.toFixed(3) },
].filter(({ key }) => jobs.some((job) => job[key] !== undefined));

/** What a mean is over. Where every fold has one seed, the seed says nothing. */
const repeat = study.folds ? "fold" : "seed";
const distinct = (rows, key) => new Set(rows.map((row) => row[key])).size;
const oneSeedAFold = study.folds && distinct(jobs, "seed") === distinct(jobs, "fold");

/** What tells jobs apart, and whether it does in this study. */
const facets = [
  ["architecture", "Network"], ["method", "Method"], ["seg_loss", "L_seg"], ["sees", "Sees"], ["teacher", "Teacher"],
  ["image_size", "Image size"], ["labels", "Labels"], ["teacher_labels", "Teacher’s labels"],
  ["unlabelled", "Unlabelled"], ["drawn", "Labels drawn"], ["plugin", "Plug-in"], ["updates_asked", "Updates asked"], ["fold", "Fold"], ["seed", "Seed"], ["version", "Code"], ["status", "Status"],
  ["runtime", "Runtime"], ["artefact_precision", "Precision"],
].filter(([key]) => key !== "seed" || !oneSeedAFold).map(([key, name]) => ({ key, label: name, values: [...new Set(jobs.map((job) => job[key] ?? ""))] }));
const varies = (wanted) =>
  facets.find(({ key }) => key === wanted)?.values.filter((value) => value !== "").length > 1;

/** A number as text; words, such as "no gap", stay as they are. */
const shown = (number, value) => (typeof value === "string" ? value : number.show(value / (number.scale ?? 1)));
/** A difference of a row with its 95 % interval: +0.9 [−0.3, +2.1]. */
function difference(number, row) {
  const [, low, high] = comparedWith(row, number.against);
  const range = low === null || low === undefined ? "" : ` [${number.show(low)}, ${number.show(high)}]`;
  return number.show(row[number.key]) + range;
}
const recordOf = (job) => `records/${encodeURIComponent(job.id)}.json`;

const side = (job) => `${job.image_size}${job.spatial_dims === 3 ? "³" : "²"}`;

/** For people: network, method, fold or seed and what else differs within the study. */
function label(row) {
  const parts = [row.architecture, row.method];
  if (varies("seg_loss")) parts.push(row.seg_loss);
  if (varies("sees")) parts.push(row.sees);
  if (varies("teacher") && row.teacher) parts.push(`of ${row.teacher}`);
  if (varies("image_size")) parts.push(side(row));
  if (varies("labels")) parts.push(`${row.labels} labels`);
  if (row.drawn) parts.push(`drawn ${row.drawn}`);
  if (row.given) parts.push(row.given);
  if (row.plugin) parts.push(row.plugin);
  if (varies("teacher_labels") && row.teacher) parts.push(`teacher’s labels ${row.teacher_labels}`);
  if (varies("unlabelled")) parts.push(`unlabelled ${row.unlabelled}`);
  if (varies("updates_asked")) parts.push(`${row.updates_asked} updates`);
  const [run] = row.runs;
  if (row.runs.length > 1) parts.push(`${distinct(row.runs, repeat)} ${repeat}s`);
  else parts.push(...(study.folds ? [`fold ${run.fold}`] : []), ...(oneSeedAFold ? [] : [`seed ${run.seed}`]));
  return parts.join(" · ");
}
for (const job of jobs) job.runs = [job];

/** Colour a method, sign a network: those of the figures. Another L_seg, slices beside volumes, and other updates
    have hollow signs and dashed curves. */
const colourOf = Object.fromEntries(study.methods.map((method) => [method.name, method.colour]));
const methodColour = (row) => colourOf[row.kind] ?? "#888888";
const signOf = (row) => study.marks[row.architecture] ?? "M-1 0L1 0";
const dashes = [[], [6, 3], [2, 2], [8, 2, 2, 2], [4, 1], [1, 3]];
const recipe = (row) => ["seg_loss", "sees", "updates_asked"].filter(varies).map((key) => row[key]).join(", ");
const usualFirst = (a, b) => (b.seg_loss === "dice-bce") - (a.seg_loss === "dice-bce") || (b.sees === "volumes") - (a.sees === "volumes") || (b.updates_asked === "usual") - (a.updates_asked === "usual");
const recipes = [...new Set([...done].sort(usualFirst).map(recipe))];
const isUsual = (row) => recipe(row) === recipes[0];
const dashOf = (row) => dashes[Math.max(recipes.indexOf(recipe(row)), 0) % dashes.length];

/** Draws the networks' signs at the points of a plot whose rows are known. */
const signs = {
  id: "signs",
  afterDatasetDraw({ ctx, data }, { index, meta }) {
    const { rows, drawn = () => true } = data.datasets[index];
    if (!rows) return;
    meta.data.forEach((point, k) => {
      if (!drawn(k)) return;
      const { radius } = point.options;
      const colour = methodColour(rows[k]);
      const path = new Path2D();
      path.addPath(new Path2D(signOf(rows[k])), new DOMMatrix().translate(point.x, point.y).scale(radius));
      ctx.save();
      ctx.strokeStyle = colour;
      ctx.fillStyle = `${colour}55`;
      ctx.lineWidth = 1.6;
      if (isUsual(rows[k])) ctx.fill(path);
      ctx.stroke(path);
      ctx.restore();
    });
  },
};

/** The colour that a CSS variable has now, in the theme that holds. */
function themed(variable) {
  const probe = document.body.appendChild(el("span", { hidden: true }));
  probe.style.color = `var(${variable})`;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
