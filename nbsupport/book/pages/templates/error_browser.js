// The error browser: which pictures are found, and all about the one that was chosen.

const PAGE = 20;
const THUMB = Math.min(WIDTH * Math.max(1, Math.round(128 / WIDTH)), 160); // CSS pixels
const OUTCOMES = { found: "✓ found", passed: "✓ passed", miss: "✗ miss", "false alarm": "✗ false alarm" };
const state = { found: [], first: 0, chosen: null };
const holes = data.holes.map(() => null);
const heats = data.heat ? bytes(data.heat.values) : null;

const holeOf = (item) => (item.hole < 0 ? null : (holes[item.hole] ??= unpack(data.holes[item.hole])));
const probability = (item, detector) => item.scores[detector] / 1000;
const outcome = (item, detector) => item.fake
  ? (probability(item, detector) >= data.threshold ? "found" : "miss")
  : (probability(item, detector) >= data.threshold ? "false alarm" : "passed");
const right = (name) => name === "found" || name === "passed";
const error = (item, detector) => Math.abs(probability(item, detector) - (item.fake ? 1 : 0));
const single = data.detectors.map((d, n) => n).filter((n) => !data.detectors[n].ensemble);
for (const item of data.items) item.wrong = single.filter((d) => !right(outcome(item, d))).length;

function picture(item) {
  return item.splice ? spliced(stored(item.splice[0]), stored(item.splice[1]), holeOf(item)) : stored(item.picture);
}

// --- filters ---

const SORTS = {
  "most confident errors first": (item, d) => -error(item, d),
  "most certainly right first": (item, d) => error(item, d),
  "probability, high first": (item, d) => -probability(item, d),
  "probability, low first": (item, d) => probability(item, d),
  "wrong detectors, many first": (item) => -item.wrong,
  "hole, large first": (item) => -item.coverage,
  "hole, small first": (item) => item.coverage,
};
const CHOICES = { outcome: "outcome", arm: "arm", kind: "hole", species: "species", part: "part hidden", by: "painted by" };
const RANGES = {
  coverage: ["hole's area in %", 0, 100, (item) => 100 * item.coverage],
  probability: ["probability of “inpainted”", 0, 1, (item, d) => probability(item, d)],
  error: ["confidence of being wrong", 0, 1, (item, d) => error(item, d)],
  wrong: ["how many detectors are wrong", 0, single.length, (item) => item.wrong],
};
const controls = {};

function addSelect(place, name, label, options) {
  const select = el("select", { id: `filter-${name}` });
  for (const [value, text] of options) select.append(el("option", { value, textContent: text }));
  byId(place).append(el("label", { className: name === "sort" ? "wide" : "" }, label, select));
  controls[name] = select;
}

function addRange(place, name) {
  const [label, low, high] = RANGES[name];
  const step = high === 1 ? 0.01 : 1;
  const ends = ["from", "to"].map((end, n) => el("input", {
    type: "number", min: low, max: high, step, value: n ? high : low, id: `filter-${name}-${end}`,
    "attr:aria-label": `${label}, ${end}`,
  }));
  const group = el("div", { className: "range", "attr:role": "group", "attr:aria-label": label },
    el("span", { textContent: label }), el("div", {}, ends[0], "to", ends[1]));
  byId(place).append(group);
  controls[name] = ends;
}

function build() {
  document.documentElement.style.setProperty("--thumb", `${THUMB}px`);
  addSelect("main-filters", "detector", "detector", data.detectors.map((d, n) => [n, d.name]));
  controls.detector.value = data.best;
  for (const [name, label] of Object.entries(CHOICES)) {
    const held = name === "outcome" ? Object.keys(OUTCOMES) : data.values[name];
    addSelect(["outcome", "arm", "kind"].includes(name) ? "main-filters" : "more-filters", name, label,
      [["", "any"], ...held.map((value) => [value, value])]);
  }
  for (const name of Object.keys(RANGES)) addRange("more-filters", name);
  addSelect("main-filters", "sort", "sort by", Object.keys(SORTS).map((name) => [name, name]));
  const { shown, total, photographs, run } = data.counts;
  const cut = shown < total ? `${shown.toLocaleString("en")} of the ${total.toLocaleString("en")} test pictures` : `All ${total.toLocaleString("en")} test pictures`;
  const why = shown < total ? " The others are left out to keep this page small; they were chosen by photograph, at random." : "";
  show("about", `${cut} of the run “${run}”, made from ${photographs.toLocaleString("en")} synthetic birds, as ${data.detectors.length} detectors and ensembles judged them.${why}`);
}

function fits(item, detector) {
  for (const name of Object.keys(CHOICES)) {
    const wanted = controls[name].value;
    if (wanted && (name === "outcome" ? outcome(item, detector) : item[name]) !== wanted) return false;
  }
  for (const [name, [, low, high, value]] of Object.entries(RANGES)) {
    const ends = controls[name].map((input, n) => (input.value === "" ? [low, high][n] : Number(input.value)));
    const own = value(item, detector);
    if ((ends[0] > low && own < ends[0] - 1e-9) || (ends[1] < high && own > ends[1] + 1e-9)) return false;
  }
  return true;
}

function search(keep = null) {
  const detector = Number(controls.detector.value);
  const key = SORTS[controls.sort.value];
  const items = data.items.filter((item) => fits(item, detector));
  const keys = new Map(items.map((item) => [item, key(item, detector)]));
  state.found = items.sort((a, b) => keys.get(a) - keys.get(b) || a.number - b.number);
  state.first = 0;
  const counts = {};
  for (const item of items) counts[outcome(item, detector)] = (counts[outcome(item, detector)] || 0) + 1;
  const words = Object.keys(OUTCOMES).filter((name) => counts[name]).map((name) => `${counts[name]} ${name}`);
  show("found", items.length ? `${items.length} of ${data.items.length} pictures: ${words.join(", ")}` : `0 of ${data.items.length} pictures`);
  byId("none").hidden = items.length > 0;
  choose(items.includes(keep) ? keep : items[0] ?? null);
}

// --- pictures found ---

function thumb(item, detector) {
  const canvas = emptyCanvas(WIDTH, HEIGHT);
  const name = outcome(item, detector);
  draw(canvas, picture(item), "", THUMB);
  canvas.removeAttribute("aria-label");
  canvas.setAttribute("aria-hidden", "true");
  canvas.removeAttribute("role");
  const value = two(probability(item, detector));
  const button = el("button", {
    type: "button", "attr:aria-pressed": String(item === state.chosen), tabIndex: item === state.chosen ? 0 : -1,
    "attr:aria-label": `${item.species}, ${item.arm}: ${name}, probability of inpainted ${value}`,
  }, canvas, el("span", { className: right(name) ? "right" : "wrong", textContent: OUTCOMES[name] }),
  el("span", { className: "soft", textContent: `${value} · ${item.arm}` }));
  button.addEventListener("click", () => { choose(item); focusChosen(); });
  return button;
}

function showPage() {
  const detector = Number(controls.detector.value);
  const shown = state.found.slice(state.first, state.first + PAGE);
  byId("thumbs").replaceChildren(...shown.map((item) => thumb(item, detector)));
  const pages = Math.max(1, Math.ceil(state.found.length / PAGE));
  show("where", `page ${Math.floor(state.first / PAGE) + 1} of ${pages}`);
  byId("back").disabled = state.first === 0;
  byId("next").disabled = state.first + PAGE >= state.found.length;
}

const focusChosen = () => { const button = document.querySelector('.thumbs [aria-pressed="true"]'); if (button) button.focus(); };

function choose(item) {
  state.chosen = item;
  if (item) state.first = Math.floor(state.found.indexOf(item) / PAGE) * PAGE;
  showPage();
  showDetail();
}

function step(by) {
  if (!state.found.length) return;
  const place = state.found.indexOf(state.chosen) + by;
  choose(state.found[Math.min(Math.max(place, 0), state.found.length - 1)]);
}

// --- the chosen picture ---

function heat(context, item) {
  const side = data.heat.side;
  const small = new ImageData(side, side);
  for (let n = 0; n < side * side; n++) {
    small.data.set([213, 94, 0, 0.85 * heats[item.place * side * side + n]], 4 * n);
  }
  const canvas = emptyCanvas(side, side);
  canvas.getContext("2d").putImageData(small, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, context.canvas.width, context.canvas.height);
}

function showDetail() {
  const item = state.chosen;
  byId("detail").hidden = !item;
  if (!item) return;
  const detector = Number(controls.detector.value);
  const name = outcome(item, detector);
  const own = picture(item), hole = holeOf(item), original = item.original < 0 || item.arm === "original" ? null : stored(item.original);
  const marked = byId("show-hole").checked && hole, heated = data.heat && byId("show-heat").checked;
  const what = item.fake ? "a fake" : "a photograph";
  byId("untouched").parentElement.hidden = byId("changed").parentElement.hidden = !original;
  show("headline", `${OUTCOMES[name]}: ${what}, probability of “inpainted” ${two(probability(item, detector))}`);
  byId("headline").className = right(name) ? "right" : "wrong";
  const context = draw(byId("judged"), heated ? grey(own) : own,
    `The picture as judged: ${item.species}, ${item.arm}${marked ? ", hole outlined" : ""}${heated ? ", under its heat map" : ""}`);
  if (heated) heat(context, item);
  if (marked) outline(context, hole);
  if (original) {
    draw(byId("untouched"), original, `The untouched photograph of the ${item.species}`);
    draw(byId("changed"), difference(own, original, data.gain), "What differs between the two");
    show("changed-words", `difference × ${data.gain}`);
  }
  byId("heat-words").hidden = !heated;
  if (heated) show("heat-words", `Heat map of ${data.heat.detector}: where it sees signs of paint. It tells where, not how much.`);
  show("words", item.caption || "(no caption)");
  const facts = {
    picture: item.id, species: item.species, arm: item.arm, "painted by": item.fake ? item.by : "nobody; the hole is that of its fakes",
    hole: `${item.kind}, ${percent(item.coverage)} of the picture${item.part ? `, over the ${item.part}` : ""}`,
    "wrong detectors": `${item.wrong} of ${single.length}, ensembles not counted`,
  };
  byId("facts").replaceChildren(...Object.entries(facts).flatMap(([key, value]) =>
    [el("dt", { textContent: key }), el("dd", { textContent: value })]));
  byId("scores").replaceChildren(...data.detectors.map((d, n) => {
    const value = probability(item, n), said = outcome(item, n);
    return el("tr", { className: `${n === detector ? "asked" : ""} ${d.ensemble ? "ensemble" : ""}` },
      el("th", { scope: "row", textContent: d.name }),
      el("td", {}, bar(value, value >= data.threshold ? "inpainted" : "real", [data.threshold])),
      el("td", { className: "number", textContent: two(value) }),
      el("td", { className: `words ${right(said) ? "right" : "wrong"}`, textContent: OUTCOMES[said] }));
  }));
  byId("like").hidden = item.like === undefined || item.like < 0 || right(name) || detector !== data.best;
}

function connect() {
  byId("filters").addEventListener("input", () => search(state.chosen));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    for (const [name, control] of Object.entries(controls)) {
      if (Array.isArray(control)) control.forEach((input, n) => { input.value = RANGES[name][1 + n]; });
      else control.value = name === "detector" ? data.best : name === "sort" ? Object.keys(SORTS)[0] : "";
    }
    search();
  });
  byId("back").addEventListener("click", () => choose(state.found[Math.max(0, state.first - PAGE)]));
  byId("next").addEventListener("click", () => choose(state.found[Math.min(state.found.length - 1, state.first + PAGE)]));
  byId("thumbs").addEventListener("keydown", (event) => {
    const strip = getComputedStyle(byId("thumbs")).gridAutoFlow === "column"; // one row, on a narrow page
    const columns = strip ? 1 : getComputedStyle(byId("thumbs")).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: PAGE, PageUp: -PAGE,
      Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    step(steps[event.key]);
    focusChosen();
  });
  for (const id of ["show-hole", "show-heat"]) byId(id).addEventListener("change", showDetail);
  onWidth(showDetail);
  byId("heat-label").hidden = !data.heat;
  byId("neighbour").addEventListener("click", () => {
    const target = data.items[state.chosen.like];
    if (!state.found.includes(target)) byId("reset").click();
    choose(target);
    focusChosen();
  });
}

build();
connect();
loadSheets().then(() => { search(); document.body.dataset.ready = "true"; settle(); });
