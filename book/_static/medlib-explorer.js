// The explorer of test scores: move the threshold, see what it does. The page holds the scores; all
// numbers are defined as in medlib (thresholds.py, metrics.py, trust/calibration.py), and a browser
// test compares them. A case is called positive where its score is at or above the threshold.
"use strict";

const EXPLORER_TOP = 1.001; // above every probability: nothing is called positive
const EXPLORER_BINS = 15; // of the calibration, (low, high] as in medlib
const EXPLORER_BARS = 20; // of the histogram
const EXPLORER_PICTURES = 40; // shown of each class; the numbers are listed without a limit
const EXPLORER_IMAGES = new URL("../_images/", document.currentScript.src);

// ---------- numbers ----------

function countAt({ labels, scores }, threshold) {
  const counts = { tp: 0, fn: 0, fp: 0, tn: 0 };
  scores.forEach((score, i) => {
    const called = score >= threshold;
    counts[labels[i] ? (called ? "tp" : "fn") : called ? "fp" : "tn"] += 1;
  });
  return counts;
}

// Hits and alarms at every threshold that decides differently, from the strictest; ties in one step.
function cumulate({ labels, scores }) {
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  const points = [{ tp: 0, fp: 0 }];
  order.forEach((i, place) => {
    const { tp, fp } = points.at(-1);
    const tied = place > 0 && scores[i] === scores[order[place - 1]];
    points.splice(tied ? -1 : points.length, 1, { tp: tp + labels[i], fp: fp + 1 - labels[i] });
  });
  return points;
}

function steps(points) {
  return points.slice(1).map((point, i) => [points[i], point]);
}

function areaUnderRoc(points) {
  const { tp, fp } = points.at(-1);
  const twice = steps(points).map(([a, b]) => (b.fp - a.fp) * (a.tp + b.tp));
  return twice.reduce((sum, area) => sum + area, 0) / 2 / (tp * fp);
}

function averagePrecision(points) {
  const parts = steps(points).map(([a, b]) => ((b.tp - a.tp) * b.tp) / (b.tp + b.fp));
  return parts.reduce((sum, part) => sum + part, 0) / points.at(-1).tp;
}

function calibrationBins({ labels, scores }) {
  const bins = Array.from({ length: EXPLORER_BINS }, () => ({ count: 0, stated: 0, true: 0 }));
  scores.forEach((score, i) => {
    const bin = bins[Math.min(Math.max(Math.ceil(score * EXPLORER_BINS) - 1, 0), EXPLORER_BINS - 1)];
    bin.count += 1;
    bin.stated += score;
    bin.true += labels[i];
  });
  return bins.filter((bin) => bin.count);
}

function calibrationGap(bins) {
  const gaps = bins.map((bin) => Math.abs(bin.true - bin.stated));
  return gaps.reduce((sum, gap) => sum + gap, 0) / bins.reduce((sum, bin) => sum + bin.count, 0);
}

// Predictive value by Bayes' rule where a share of the cases has what was called; right and wrong are
// pairs of counts (called so, not called so) among those who have it and those who have not.
// The interval takes the share as known (Mercaldo, Lau and Zhou, 2007), as OperatingPoint.ppv_at.
function predictiveValue(right, wrong, share) {
  const rate = ([called, not]) => called / (called + not);
  const hits = rate(right) * share;
  const value = hits / (hits + rate(wrong) * (1 - share));
  const extra = [...right, ...wrong].includes(0) ? 0.5 : 0;
  const [a, b, c, d] = [...right, ...wrong].map((count) => count + extra);
  const centre = Math.log((share / (1 - share)) * (rate([a, b]) / rate([c, d])));
  const half = NORMAL_95 * Math.sqrt(b / (a * (a + b)) + d / (c * (c + d)));
  const [low, high] = [centre - half, centre + half].map((end) => 1 / (1 + Math.exp(-end)));
  return { value, low: Math.min(low, value), high: Math.max(high, value) };
}

// The nearest threshold at which the decision on at least one case is another.
function nextThreshold(scores, threshold, up) {
  const rising = [...new Set(scores)].sort((a, b) => a - b);
  if (!up) return rising.findLast((score) => score < threshold) ?? threshold;
  const place = rising.findIndex((score) => score >= threshold);
  if (place < 0) return threshold;
  return rising[place + 1] ?? Math.min(rising[place] + 0.001, EXPLORER_TOP);
}

// ---------- words ----------

function threeDigits(value) {
  return Number.isNaN(value) ? "not defined" : value.toFixed(3);
}

// A threshold with all its digits where it has more than three: it may lie on a case's score.
function thresholdText(value) {
  return String(value).length > 5 ? String(value) : value.toFixed(3);
}

// ---------- drawings ----------

const EXPLORER_X = (value) => 40 + 210 * value;
const EXPLORER_Y = (value) => 236 - 210 * value;

function polyline(points, name) {
  const path = points.map(([x, y]) => `${EXPLORER_X(x).toFixed(2)},${EXPLORER_Y(y).toFixed(2)}`);
  return draw("polyline", { points: path.join(" "), class: name });
}

function dot([x, y], radius, name) {
  return draw("circle", { cx: EXPLORER_X(x), cy: EXPLORER_Y(y), r: radius, class: name });
}

function plot(title, xName, yName, description, ...content) {
  const text = (x, y, words, more = {}) => draw("text", { x, y, ...more }, words);
  const middle = { "text-anchor": "middle" };
  const ticks = [0, 0.5, 1].flatMap((value) => [
    text(EXPLORER_X(value), 251, String(value), middle),
    text(34, EXPLORER_Y(value) + 4, String(value), { "text-anchor": "end" }),
  ]);
  return draw(
    "svg",
    { viewBox: "0 0 260 274", role: "img", "aria-label": `${title}. ${description}` },
    text(40, 16, title, { class: "explorer-title" }),
    draw("rect", { x: 40, y: 26, width: 210, height: 210, class: "explorer-frame" }),
    ...ticks,
    text(145, 268, xName, middle),
    text(0, 0, yName, { ...middle, transform: "translate(11 131) rotate(-90)" }),
    ...content,
  );
}

function drawRoc({ points, counts, kept }) {
  const { tp, fp } = points.at(-1);
  const place = (point) => [point.fp / fp, point.tp / tp];
  const [x, y] = place(counts);
  return plot(
    "ROC curve", "1 − specificity", "sensitivity",
    `The threshold lies at a sensitivity of ${threeDigits(y)} and a specificity of ${threeDigits(1 - x)}.`,
    polyline([[0, 0], [1, 1]], "explorer-guide"), polyline(points.map(place), "explorer-curve"),
    dot(place(kept), 6, "explorer-ring"), dot(place(counts), 5, "explorer-dot"),
  );
}

// Precision stays what it was until the next positive case is found: the area below is the average
// precision.
function drawPrecision({ points, counts, kept }) {
  const positives = points.at(-1).tp;
  const place = ({ tp, fp }) => [tp / positives, tp + fp ? tp / (tp + fp) : NaN];
  const stairs = steps(points).flatMap(([a, b]) => [[a.tp / positives, place(b)[1]], place(b)]);
  const prevalence = positives / (positives + points.at(-1).fp);
  const dots = [[kept, 6, "explorer-ring"], [counts, 5, "explorer-dot"]];
  const shown = dots.filter(([point]) => point.tp + point.fp);
  return plot(
    "Precision and recall", "sensitivity (recall)", "precision",
    `The threshold lies at a precision of ${threeDigits(place(counts)[1])}; the dotted line is the share of positive cases.`,
    polyline([[0, prevalence], [1, prevalence]], "explorer-guide"),
    polyline(stairs, "explorer-curve"),
    ...shown.map(([point, radius, name]) => dot(place(point), radius, name)),
  );
}

function thresholdLine(threshold, name) {
  return polyline([[Math.min(threshold, 1), 0], [Math.min(threshold, 1), 1]], name);
}

function drawCalibration({ bins, threshold, scores, gap }) {
  const dots = bins.flatMap((bin) => {
    const x = bin.stated / bin.count;
    const { value, low, high } = wilsonShare(bin.true, bin.count);
    const radius = 2 + 9 * Math.sqrt(bin.count / scores.length);
    return [polyline([[x, low], [x, high]], "explorer-bar"), dot([x, value], radius, "explorer-bin")];
  });
  return plot(
    "Calibration", "stated probability", "share that was positive",
    `${bins.length} bins hold cases; the mean gap between stated and true share is ${threeDigits(gap)}.`,
    polyline([[0, 0], [1, 1]], "explorer-guide"), ...dots,
    thresholdLine(threshold, "explorer-cut"),
  );
}

// Positive cases upwards, the others downwards; heights are shares of their class.
function drawHistogram({ labels, scores, threshold, found, other }) {
  const bars = [1, 0].map((label) => {
    const mine = scores.filter((_, i) => labels[i] === label);
    const heights = new Array(EXPLORER_BARS).fill(0);
    mine.forEach((score) => {
      heights[Math.min(Math.floor(score * EXPLORER_BARS), EXPLORER_BARS - 1)] += 1 / mine.length;
    });
    return heights;
  });
  const tallest = Math.max(...bars.flat());
  const rectangles = bars.flatMap((heights, down) => heights.map((share, i) => {
    const height = (share / tallest) * 100;
    return draw("rect", {
      x: EXPLORER_X(i / EXPLORER_BARS) + 0.5, y: down ? 131 : 131 - height, height,
      width: 210 / EXPLORER_BARS - 1, class: down ? "explorer-other" : "explorer-found",
    });
  }));
  const words = [draw("text", { x: 145, y: 40, class: "explorer-name" }, `↑ ${found}`),
    draw("text", { x: 145, y: 229, class: "explorer-name" }, `↓ ${other}`)];
  const drawing = plot(
    "Scores", "stated probability", "share of each class",
    `${found} upwards, ${other} downwards; the threshold stands at ${thresholdText(threshold)}.`,
    ...rectangles, thresholdLine(threshold, "explorer-cut"), ...words,
  );
  drawing.querySelectorAll("text[text-anchor=end]").forEach((tick) => tick.remove());
  return drawing;
}

// ---------- the page ----------

const EXPLORER_CONTROLS = `
  <div class="explorer-controls">
    <label>Data set and model <select></select></label>
    <label>Threshold
      <input type="range" min="0" max="${EXPLORER_TOP}" step="0.001"></label>
    <label>Exact threshold
      <input type="number" name="threshold" min="0" max="${EXPLORER_TOP}" step="any"></label>
    <label>Prevalence elsewhere, %
      <input type="number" name="prevalence" min="0.01" max="99.99" step="any" value="5"></label>
    <div class="explorer-buttons">
      <button type="button" name="down">Next case, lower</button>
      <button type="button" name="up">Next case, higher</button>
      <button type="button" name="keep">Compare with this threshold</button>
    </div>
  </div>
  <p class="explorer-summary"></p>
  <p class="visually-hidden" role="status"></p>
  <div class="explorer-plots"></div>
  <p class="explorer-hint">Filled dot and solid line: the threshold. Ring: the threshold to compare
    with. Bars at the dots of the calibration: 95 % intervals.</p>
  <div class="explorer-scroll" tabindex="0" role="region" aria-label="Confusion matrix">
    <table class="explorer-matrix"><caption>Confusion matrix</caption>
      <thead><tr><td></td><th scope="col">called positive</th><th scope="col">called negative</th></tr></thead>
      <tbody></tbody></table></div>
  <div class="explorer-scroll" tabindex="0" role="region" aria-label="Numbers at this threshold">
    <table class="explorer-numbers"><caption>Numbers at this threshold, and of the whole curve</caption>
      <thead><tr><th scope="col">Number</th><th scope="col">Value</th><th scope="col">95 % interval</th>
      <th scope="col">Cases</th></tr></thead><tbody></tbody></table></div>
  <p class="explorer-change"></p>
  <div class="explorer-flips" tabindex="0" role="region" aria-label="Cases that change side"></div>`;

function numberRow(key, name, { value, low, high, part, cases }) {
  const interval = low === undefined || Number.isNaN(value) ? "–" : `${threeDigits(low)} to ${threeDigits(high)}`;
  const counted = cases === undefined ? "–" : `${part} of ${cases}`;
  const texts = [threeDigits(value), interval, counted];
  const cells = texts.map((text) => make("td", {}, text));
  return make("tr", { data: { number: key } }, make("th", { scope: "row" }, name), ...cells);
}

function numberRows({ counts: { tp, fn, fp, tn }, points, gap, prevalence, found }) {
  const elsewhere = `at a prevalence of ${+(100 * prevalence).toFixed(2)} %`;
  return [
    numberRow("sensitivity", `Sensitivity (${found} found)`, wilsonShare(tp, tp + fn)),
    numberRow("specificity", "Specificity", wilsonShare(tn, tn + fp)),
    numberRow("accuracy", "Accuracy", wilsonShare(tp + tn, tp + fn + fp + tn)),
    numberRow("ppv", "Positive predictive value, here", wilsonShare(tp, tp + fp)),
    numberRow("npv", "Negative predictive value, here", wilsonShare(tn, tn + fn)),
    numberRow("ppv-at", `Positive predictive value ${elsewhere}`, predictiveValue([tp, fn], [fp, tn], prevalence)),
    numberRow("npv-at", `Negative predictive value ${elsewhere}`, predictiveValue([tn, fp], [fn, tp], 1 - prevalence)),
    numberRow("auc", "Area under the ROC curve (no threshold)", { value: areaUnderRoc(points) }),
    numberRow("ap", "Average precision (no threshold)", { value: averagePrecision(points) }),
    numberRow("gap", `Mean gap of the calibration, ${EXPLORER_BINS} bins (no threshold)`, { value: gap }),
  ];
}

function matrixRows({ counts, found, other }) {
  const row = (name, [first, second]) => make(
    "tr", {}, make("th", { scope: "row" }, name),
    ...[first, second].map((key) => make("td", { data: { count: key } }, String(counts[key]))),
  );
  return [row(`truly ${found}`, ["tp", "fn"]), row(`truly ${other}`, ["fp", "tn"])];
}

// The cases on which the two thresholds disagree, as positions in `scores`.
function flipped({ scores, threshold, keptThreshold }) {
  const [low, high] = [threshold, keptThreshold].sort((a, b) => a - b);
  return [...scores.keys()].filter((i) => low <= scores[i] && scores[i] < high);
}

// A part of the sheet on which all test images of the set lie row by row.
function picture(sheet, place) {
  const part = (index, count) => `${(100 * index) / (count - 1)}%`;
  const node = make("span", { className: "explorer-picture", ariaLabel: `test image ${place}` });
  node.setAttribute("role", "img");
  node.style.backgroundImage = `url("${new URL(sheet.file, EXPLORER_IMAGES)}")`;
  node.style.backgroundSize = `${100 * sheet.columns}% ${100 * sheet.rows}%`;
  node.style.backgroundPosition =
    `${part(place % sheet.columns, sheet.columns)} ${part(Math.floor(place / sheet.columns), sheet.rows)}`;
  return node;
}

// For each class that changes side the numbers of its cases, and pictures of the first ones.
function flipLines({ labels, cases, flips, sheet, threshold, keptThreshold, found, other }) {
  const side = threshold > keptThreshold ? "now called negative" : "now called positive";
  return [1, 0].flatMap((label) => {
    const mine = flips.filter((i) => labels[i] === label);
    if (!mine.length) return [];
    const numbers = mine.map((i) => cases[i]).join(", ");
    const text = `${mine.length} ${label ? found : other}, ${side}: test images ${numbers}.`;
    const shown = sheet ? mine.slice(0, EXPLORER_PICTURES) : [];
    return [make("p", {}, text), make("div", {}, ...shown.map((i) => picture(sheet, cases[i])))];
  });
}

function changeText({ keptThreshold, flips, cases }) {
  const from = thresholdText(keptThreshold);
  return `Compared with a threshold of ${from}, ${flips.length} of ${cases.length} test images change side.`;
}

function summary({ counts: { tp, fn, fp, tn }, threshold, found, other }) {
  return `At a threshold of ${thresholdText(threshold)}, ${tp} of ${tp + fn} ${found} cases are found, and ` +
    `${fp} of ${fp + tn} ${other} cases raise a false alarm.`;
}

const EXPLORER_PLOTS = [drawRoc, drawPrecision, drawCalibration, drawHistogram];

function show(live, state) {
  const find = (selector) => live.querySelector(selector);
  const exact = find("[name=threshold]");
  find("[type=range]").value = state.threshold;
  find("[type=range]").setAttribute("aria-valuetext", thresholdText(state.threshold));
  if (document.activeElement !== exact) exact.value = state.threshold; // not while one types
  find(".explorer-summary").textContent = summary(state);
  find(".explorer-plots").replaceChildren(...EXPLORER_PLOTS.map((each) => each(state)));
  find(".explorer-matrix tbody").replaceChildren(...matrixRows(state));
  find(".explorer-numbers tbody").replaceChildren(...numberRows(state));
  find(".explorer-change").textContent = changeText(state);
  find(".explorer-flips").replaceChildren(...flipLines(state));
  find(".explorer-flips").hidden = !state.flips.length; // Tab would stop at an empty box
  clearTimeout(live.announcing); // screen readers hear where the threshold stops, not each step
  live.announcing = setTimeout(() => {
    find("[role=status]").textContent = `${summary(state)} ${changeText(state)}`;
  }, 600);
}

// The select's options, in a group for each data set; returns what each option stands for.
function fillModels(select, tasks) {
  const chosen = tasks.flatMap((task) => task.models.map((model) => ({ ...task, ...model })));
  for (const { title } of tasks) {
    const mine = chosen.filter((each) => each.title === title);
    const options = mine.map((each) => make("option", { value: chosen.indexOf(each) }, `${title}: ${each.name}`));
    select.append(make("optgroup", { label: title }, ...options));
  }
  return chosen;
}

function startExplorer(box) {
  const live = box.querySelector(".explorer-live");
  live.innerHTML = EXPLORER_CONTROLS;
  box.querySelector("details").open = false;
  const find = (selector) => live.querySelector(selector);
  const models = fillModels(find("select"), JSON.parse(box.querySelector("script").textContent));
  const state = { threshold: 0.5, keptThreshold: 0.5, prevalence: 0.05 };

  function update(changes) {
    Object.assign(state, changes);
    state.counts = countAt(state, state.threshold);
    state.kept = countAt(state, state.keptThreshold);
    state.flips = flipped(state);
    show(live, state);
  }
  function choose() {
    const model = models[find("select").value];
    const bins = calibrationBins(model);
    update({ ...model, points: cumulate(model), bins, gap: calibrationGap(bins) });
  }
  function listen(selector, change) {
    find(selector).addEventListener("input", ({ target }) => {
      const valid = target.validity.valid && target.value !== "";
      target.setAttribute("aria-invalid", String(!valid));
      if (valid) update(change(Number(target.value)));
    });
  }
  const press = (selector, change) => find(selector).addEventListener("click", () => update(change()));

  find("select").addEventListener("change", choose);
  listen("[type=range]", (threshold) => ({ threshold }));
  listen("[name=threshold]", (threshold) => ({ threshold }));
  listen("[name=prevalence]", (percent) => ({ prevalence: percent / 100 }));
  find("[name=threshold]").addEventListener("blur", ({ target }) => {
    target.setAttribute("aria-invalid", "false");
    update({});
  });
  press("[name=down]", () => ({ threshold: nextThreshold(state.scores, state.threshold, false) }));
  press("[name=up]", () => ({ threshold: nextThreshold(state.scores, state.threshold, true) }));
  press("[name=keep]", () => ({ keptThreshold: state.threshold }));
  choose();
}

document.querySelectorAll(".medlib-explorer").forEach(startExplorer);
