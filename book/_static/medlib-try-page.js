// The page "Try a model" after the click: choose a picture, read what the networks say about it.
// Nothing leaves the browser. All numbers are defined as in medlib, and a browser test compares them.
"use strict";

const TRY_TOLERANCE = 1e-4; // of logits, against PyTorch's in the model's file

const TRY_PAGE = `
  <fieldset class="try-pictures"><legend>Picture (of films: with the data set's label)</legend><div></div></fieldset>
  <div class="try-own">
    <label>Your own picture, PNG or JPEG <input type="file" accept="image/png,image/jpeg"></label>
    <p>Or drop a file here, or paste a picture. It stays in this browser.</p>
    <p class="try-refused" role="alert"></p>
  </div>
  <label class="try-change">Shown to the network <select></select></label>
  <div class="try-views">
    <div class="try-answer"><dl></dl><p class="try-side"></p></div>
    <figure><canvas class="try-seen" width="28" height="28" role="img"></canvas>
      <figcaption>What the network sees: 28 × 28 pixels, enlarged.</figcaption></figure>
    <figure><div class="try-map"><canvas width="28" height="28" aria-hidden="true"></canvas></div>
      <figcaption>Each square is covered with grey, and the network asked again:
        <span class="try-key try-lowers">covering lowers the log-odds of pneumonia</span>,
        <span class="try-key try-raises">covering raises them</span>. Full colour:
        <span class="try-scale"></span>.</figcaption></figure>
  </div>
  <p class="try-strongest"></p>
  <p class="visually-hidden" role="status"></p>
  <div class="try-words"></div>
  <p><strong>No medical device.</strong> This number is no diagnosis, and no probability that a person is
    ill. The network gives one for any picture, also for a cat.</p>
  <div class="explorer-scroll" tabindex="0" role="region" aria-label="Trainings of the same recipe"><table
    class="try-trainings"><caption>Trainings of the same recipe</caption><thead><tr><th scope="col">Training</th>
    <th scope="col">Stated</th><th scope="col">Calibrated</th><th scope="col">Threshold</th>
    <th scope="col">Called</th></tr></thead><tbody></tbody></table></div>
  <p class="try-more"><button type="button"></button></p>
  <p class="try-problem" role="alert"></p>
  <details class="try-bins"><summary>How the probability was calibrated</summary><div></div></details>
  <details class="try-values"><summary>The map as numbers</summary><div class="explorer-scroll" tabindex="0"
    role="region" aria-label="The map as numbers"></div></details>
  <p class="try-speed"></p>`;

// ---------- words ----------

// A probability; no computed one is certain.
function percent(share) {
  if (share > 0.9995) return "over 99.9 %";
  if (share < 0.0005) return "under 0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

// A share of counted films, which may well be all of them.
function counted(part, films) {
  return films ? `${((100 * part) / films).toFixed(1)} %` : "–";
}

function calledText(share, threshold) {
  return share >= threshold ? "pneumonia" : "normal";
}

function signed(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

// The bin of a calibrated probability, (low, high] as in medlib.
function binOf(share, bins) {
  return Math.min(Math.max(Math.ceil(share * bins.length) - 1, 0), bins.length - 1);
}

function binName(place, bins) {
  return [place, place + 1].map((end) => Math.round((100 * end) / bins.length)).join("–") + " %";
}

// What validation says about films with such a probability.
function reliabilityText(share, { bins }) {
  const place = binOf(share, bins);
  const [films, ill] = bins[place];
  const range = `a calibrated probability of ${binName(place, bins)}`;
  if (!films) return `No validation film had ${range}: nothing is known about such answers.`;
  const { low, high } = wilsonShare(ill, films);
  return `Of ${films} validation films with ${range}, ${ill} showed pneumonia: ` +
    `${counted(ill, films)}, 95 % interval ${counted(low, 1)} to ${counted(high, 1)}.`;
}

function truthText({ kind, truth, done }, change) {
  const changed = change === "as it is" ? "" : ` It is shown ${change}: no illness changes by that.`;
  const known = {
    film: `A validation film, ${truth} in the data set. It had a part in the choice of threshold and temperature.`,
    phantom: `This is ${truth}, drawn by a program: no chest, no illness. The network answers all the same.`,
    noise: "Random numbers. The network answers all the same.",
    own: `Your picture: ${done}. Whether it is a chest film at all, the network cannot know.`,
  };
  return known[kind] + changed;
}

function thresholdSentence({ threshold, sensitivity, specificity }) {
  return `The threshold of ${percent(threshold)} was frozen on validation films. It finds ${percent(sensitivity)} of those ` +
    `with pneumonia, and calls ${percent(1 - specificity)} of the others pneumonia too.`;
}

// ---------- drawings ----------

function paint(canvas, pixels) {
  const image = new ImageData(TRY_SIDE, TRY_SIDE);
  pixels.forEach((pixel, i) => image.data.set([pixel, pixel, pixel, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Squares over the picture: one colour where covering lowers the log-odds, another where it raises them.
function drawMap(map, largest) {
  const squares = map.flatMap((row, y) => row.map((fall, x) => draw("rect", {
    x, y, width: 1, height: 1, class: fall > 0 ? "try-lowers" : "try-raises",
    "fill-opacity": (0.8 * Math.abs(fall) / largest).toFixed(3),
  })));
  const words = mapText(map);
  return draw("svg", { viewBox: `0 0 ${map.length} ${map.length}`, role: "img", "aria-label": words }, ...squares);
}

function strongest(map) {
  const all = map.flatMap((row, y) => row.map((fall, x) => ({ fall, x, y })));
  return all.reduce((best, each) => (Math.abs(each.fall) > Math.abs(best.fall) ? each : best));
}

function mapText(map) {
  const { fall, x, y } = strongest(map);
  return `Covering the square in row ${y + 1}, column ${x + 1} changes the log-odds of pneumonia most: by ${signed(-fall)}.`;
}

function tableOf(caption, heads, rows) {
  const cell = (tag, properties) => (text) => make(tag, properties, String(text));
  const head = make("tr", {}, ...heads.map(cell("th", { scope: "col" })));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, cell("th", { scope: "row" })(first), ...rest.map(cell("td", {}))));
  return make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
}

function valuesTable(map) {
  const columns = map.map((_, x) => x + 1);
  const rows = map.map((row, y) => [y + 1, ...row.map((fall) => signed(-fall))]);
  return tableOf("Change of the log-odds of pneumonia where the square is covered", ["Row", ...columns], rows);
}

function binsTable({ bins }, place) {
  const rows = bins.map(([films, ill], i) => [
    binName(i, bins) + (i === place ? " (this picture)" : ""), films, ill, counted(ill, films),
  ]);
  return tableOf("Validation films by calibrated probability", ["Probability", "Films", "With pneumonia", "Share"], rows);
}

function calibrationParts(answer, films) {
  const { calibration, calibrated } = answer;
  return [
    make("p", {}, `The log-odds are divided by a temperature of ${calibration.temperature.toFixed(3)}, the one number that makes ` +
      `the labels of the ${films} validation films most likely. Below 1 the network was less sure than it might have been. The ` +
      "same films gave the threshold and the table: for new films both look a little too good. And one number cannot mend " +
      "everything: where a row's share lies outside its range, the calibrated probability is wrong there too."),
    make("div", { className: "explorer-scroll", tabIndex: 0, role: "region", ariaLabel: "Validation films by calibrated probability" },
      binsTable(calibration, binOf(calibrated, calibration.bins))),
  ];
}

// ---------- answers ----------

// Refuse a network that does not find PyTorch's answers again; return the largest difference.
function largestDifference(network, { expected }, pictures) {
  const gaps = pictures.flatMap(({ pixels }, i) =>
    logitsOf(network, inputOf(pixels)).map((logit, k) => Math.abs(logit - expected[i][k])));
  const largest = gaps.reduce((most, gap) => (gap <= most ? most : gap), 0);
  if (!(largest < TRY_TOLERANCE)) throw new Error(`the logits differ by ${largest} from PyTorch's`);
  return largest;
}

function readNetworks(networks, pictures) {
  return networks.map((given) => {
    const network = readNetwork(given.layers);
    return { ...given, network, largest: largestDifference(network, given, pictures) };
  });
}

function answerOf(given, input) {
  const logits = logitsOf(given.network, input);
  const odds = logOdds(logits);
  const calibrated = given.calibration ? probabilityOf(odds, given.calibration.temperature) : undefined;
  return { ...given, logits, odds, stated: probabilityOf(odds), calibrated };
}

function trainingRows(answers, together, complete) {
  const rows = answers.map(({ seed, stated, calibrated, threshold }) => [
    `seed ${seed}`, percent(stated), calibrated === undefined ? "–" : percent(calibrated), percent(threshold), calledText(stated, threshold),
  ]);
  const mean = answers.reduce((sum, { stated }) => sum + stated, 0) / answers.length;
  const last = ["their mean", percent(mean), "–", percent(together), calledText(mean, together)];
  return complete ? [...rows, last] : rows;
}

// ---------- the page ----------

function choice(picture, place) {
  const canvas = make("canvas", { width: TRY_SIDE, height: TRY_SIDE, ariaHidden: "true" });
  paint(canvas, picture.pixels);
  const radio = make("input", { type: "radio", name: "try-picture", value: String(place) });
  const truth = picture.kind === "film" ? picture.truth.replace("labelled ", "") : "";
  return make("label", {}, radio, canvas, make("span", {}, picture.name), make("small", {}, truth));
}

function showAnswer(find, { answers, picture, change, together, complete, films }) {
  const [first] = answers;
  const { stated, calibrated, threshold } = first;
  const named = change === "as it is" ? picture.name : `${picture.name}, ${change}`;
  const called = calledText(stated, threshold);
  const after = calibrated === undefined ? "not known: the site was built without the validation films" : percent(calibrated);
  const terms = [["Probability of pneumonia, as the network states it", percent(stated)], ["After calibration", after]];
  find(".try-answer dl").replaceChildren(...terms.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
  const side = stated >= threshold ? "at or above" : "below";
  find(".try-side").textContent = `The stated probability lies ${side} the frozen threshold of ${percent(threshold)}: called ${called}.`;
  find("[role=status]").textContent = `${named}: ${percent(stated)} stated, ${after} after calibration, called ${called}.`;
  const sentences = [truthText(picture, change), thresholdSentence(first)];
  if (first.calibration) sentences.push(reliabilityText(calibrated, first.calibration));
  find(".try-words").replaceChildren(...sentences.map((words) => make("p", {}, words)));
  const rows = tableOf("", [], trainingRows(answers, together, complete)).querySelectorAll("tbody tr");
  find(".try-trainings tbody").replaceChildren(...rows);
  find(".try-bins").hidden = !first.calibration;
  if (first.calibration) find(".try-bins div").replaceChildren(...calibrationParts(first, films));
}

function showMap(find, map) {
  const largest = Math.max(Math.abs(strongest(map).fall), 1); // a weak map stays pale
  find(".try-map svg")?.remove();
  find(".try-map").append(drawMap(map, largest));
  find(".try-scale").textContent = largest.toFixed(2);
  find(".try-strongest").textContent = mapText(map);
  find(".try-values div").replaceChildren(valuesTable(map));
}

// The rows of the map one by one, so that the page answers meanwhile; undefined where another is wanted.
async function occlusionMap({ network, odds }, input, wanted) {
  const map = [];
  for (let row = 0; row < input.side / TRY_WINDOW; row += 1) {
    map.push(occlusionRow(network, input, odds, row));
    await new Promise((resolve) => { setTimeout(resolve); });
    if (!wanted()) return undefined;
  }
  return map;
}

function startTryPage(box, content) {
  const pictures = content.pictures.map((each) => ({ ...each, pixels: fromBase64(each.pixels) }));
  const state = { ...content, networks: readNetworks(content.networks, pictures), complete: false, turn: 0 };
  const live = box.querySelector(".try-live");
  live.innerHTML = TRY_PAGE;
  const find = (selector) => live.querySelector(selector);
  const list = find(".try-pictures div");

  async function update() {
    state.turn += 1;
    const { turn } = state;
    const begun = performance.now();
    const pixels = TRY_CHANGES[state.change](state.picture.pixels);
    const input = inputOf(pixels);
    state.answers = state.networks.map((each) => answerOf(each, input));
    const answered = performance.now();
    live.querySelectorAll(".try-views canvas").forEach((canvas) => paint(canvas, pixels));
    find(".try-seen").ariaLabel = `${state.picture.name}, ${state.change}, as the network sees it`;
    showAnswer(find, state);
    live.ariaBusy = "true";
    const map = await occlusionMap(state.answers[0], input, () => turn === state.turn);
    if (!map) return;
    state.map = map;
    showMap(find, map);
    live.ariaBusy = "false";
    const [answer, all] = [answered - begun, performance.now() - answered].map(Math.ceil);
    const gap = Math.max(...state.networks.map(({ largest }) => largest)).toExponential(0);
    find(".try-speed").textContent = `Computed in this browser: ${answer} ms for the answer, ${all} ms for the map. ` +
      `Checked on loading: for the pictures above the logits differ from PyTorch's by at most ${gap}.`;
  }

  function offer(picture) {
    pictures.push(picture);
    const label = choice(picture, pictures.length - 1);
    list.append(label);
    choose(label.querySelector("input"));
  }

  function choose(radio) {
    radio.checked = true;
    state.picture = pictures[radio.value];
    update();
  }

  async function readOwn(file) {
    find(".try-refused").textContent = "";
    try {
      const read = await readTryPicture(file);
      const number = pictures.filter(({ kind }) => kind === "own").length + 1;
      offer({ ...read, kind: "own", name: `Your picture ${number}` });
    } catch (error) {
      if (!(error instanceof PictureProblem)) throw error;
      find(".try-refused").textContent = error.message;
    }
  }

  async function loadOthers() {
    const others = await fetchTryModel(box.dataset.others);
    state.networks.push(...readNetworks(others.networks, pictures.slice(0, content.pictures.length)));
    state.complete = true;
    update();
    find(".try-more").remove();
    find("[aria-label^=Trainings]").focus();
  }

  list.append(...pictures.map(choice));
  list.addEventListener("change", ({ target }) => choose(target));
  find("select").append(...Object.keys(TRY_CHANGES).map((name) => make("option", {}, name)));
  state.change = find("select").value;
  find("select").addEventListener("change", ({ target }) => { state.change = target.value; update(); });
  acceptFiles(find(".try-own"), readOwn);
  find(".try-more button").textContent = `Ask the other trainings of the same recipe, ${box.dataset.othersSize}`;
  loadOnClick(find(".try-more button"), find(".try-problem"), loadOthers);
  box.querySelector(".try-start").remove();
  choose(list.querySelector("input"));
  list.querySelector("input").focus();
}

// Take one file by its field, by dropping it, by pasting it.
function acceptFiles(place, read) {
  const field = place.querySelector("input");
  const first = ({ files }) => { if (files.length) read(files[0]); };
  field.addEventListener("change", () => { first(field); field.value = ""; });
  document.addEventListener("paste", ({ clipboardData }) => first(clipboardData));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    place.addEventListener(kind, (event) => {
      event.preventDefault();
      place.classList.toggle("try-over", kind === "dragover");
      if (kind === "drop") first(event.dataTransfer);
    });
  }
}
