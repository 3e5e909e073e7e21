// The demo: a bird, a hole and a caption are chosen; the fill and the verdicts were computed when the book was built.

const SIGNS = { real: "● real", unsure: "◆ unsure", inpainted: "▲ inpainted" };
const KINDS = { centre: "centre", part: "a part", object: "within the bird", strokes: "strokes" };
const CAPTIONS = {
  "true colour": "the true colour of what is hidden",
  "another colour": "another colour for it", "another bird's": "what was written of another bird", none: "nothing is said",
};
const INPAINTERS = { tdanet: "TDANet, reads the caption", telea: "Telea, reads nothing" };
const ARMS = { spliced: "the hole only (spliced)", regenerated: "all the network made (regenerated)" };
const HOLE_COLOUR = [204, 121, 167, 255];
const chosen = { bird: 0, hole: 0, caption: 0, inpainter: "tdanet", seed: data.seeds[0], arm: "spliced" };
const unpacked = new Map();

function holeOf(number) {
  if (!unpacked.has(number)) unpacked.set(number, unpack(data.holes[number]));
  return unpacked.get(number);
}

/** Radio buttons for a choice; `options` are (value, content) pairs. */
function radios(id, name, options) {
  byId(id).replaceChildren(...options.map(([value, ...content]) => {
    const input = el("input", { type: "radio", name, value, checked: String(chosen[name]) === String(value) });
    input.addEventListener("change", () => { chosen[name] = typeof chosen[name] === "number" ? Number(value) : value; react(name); });
    return el("label", {}, input, ...content);
  }));
}

function buildBirds() {
  radios("birds", "bird", data.birds.map((bird, n) => {
    const canvas = emptyCanvas(WIDTH, HEIGHT);
    draw(canvas, stored(bird.picture), "", 64);
    canvas.style.width = "100%";
    canvas.removeAttribute("role");
    canvas.setAttribute("aria-hidden", "true");
    return [n, canvas, el("span", { className: "unseen", textContent: bird.species })];
  }));
}

function buildHoles() {
  const holes = data.birds[chosen.bird].holes;
  chosen.hole = Math.min(chosen.hole, holes.length - 1);
  radios("holes", "hole", holes.map((hole, n) =>
    [n, hole.kind === "part" ? `the ${hole.hidden}` : KINDS[hole.kind] || hole.kind]));
}

function buildCaptions() {
  const hole = data.birds[chosen.bird].holes[chosen.hole];
  radios("captions", "caption", hole.captions.map(([kind, text], n) =>
    [n, text || "(no caption)", el("span", { textContent: CAPTIONS[kind] || kind })]));
}

function react(name) {
  if (name === "bird") buildHoles();
  if (name === "bird" || name === "hole") buildCaptions();
  showResult();
}

const words = (said, n) => data.verdicts[Number(said.v[n])];

function row(name, n, said, original) {
  const [now, saved] = said, verdict = words(now, n), after = words(saved, n), before = words(original[0], n);
  const small = (value, word, what) => el("td", { className: "after", "attr:data-what": `${what}:`, colSpan: 2 },
    el("span", { className: "number", textContent: `${two(value / 1000)} ` }), el("b", { className: word, textContent: SIGNS[word] }));
  return el("tr", {},
    el("th", { scope: "row", textContent: name }),
    el("td", { className: "wide" }, bar(now.p[n] / 1000, verdict, data.bands[n])),
    el("td", { className: "number", textContent: two(now.p[n] / 1000) }),
    el("td", { className: `words ${verdict}`, textContent: SIGNS[verdict] }),
    small(saved.p[n], after, `saved as ${data.condition}`), small(original[0].p[n], before, "the original"));
}

function showResult() {
  const bird = data.birds[chosen.bird], hole = bird.holes[chosen.hole];
  const reads = chosen.inpainter === "tdanet", mask = holeOf(hole.hole);
  const fill = hole.fills[reads ? `tdanet ${chosen.caption} ${chosen.seed}` : "telea"];
  for (const id of ["caption-set", "seed-set", "arm-set"]) byId(id).disabled = !reads;
  const arm = reads ? chosen.arm : "spliced";
  const original = stored(bird.picture), output = stored(fill.picture);
  const picture = arm === "spliced" ? spliced(original, output, mask) : output;
  const caption = hole.captions[chosen.caption][1];
  show("species", bird.species);
  draw(byId("original"), original, `The original: a ${bird.species}`);
  draw(byId("masked"), painted(original, mask, HOLE_COLOUR), `The same with its hole: ${hole.kind}, ${percent(hole.coverage)} of the picture`);
  draw(byId("filled"), picture, `The hole filled by ${chosen.inpainter}, ${arm}`);
  draw(byId("difference"), difference(original, picture, data.gain), "What differs between original and filled picture");
  show("masked-words", `masked: ${percent(hole.coverage)} hidden`);
  show("filled-words", `filled: ${arm}`);
  show("difference-words", `difference × ${data.gain}`);
  show("sentence", reads ? (caption ? `“${caption}”` : "(no caption)") : "Telea paints from the hole's edge alone: caption and seed change nothing.");
  const said = fill.said[arm], vote = data.detectors.length - 1;
  const verdict = words(said[0], vote), after = words(said[1], vote);
  byId("verdict").className = `verdict ${verdict}`;
  show("verdict", `${SIGNS[verdict]} – probability ${two(said[0].p[vote] / 1000)}`);
  const votes = data.detectors.slice(0, vote).map((_, n) => words(said[0], n));
  const counted = data.verdicts.map((name) => [name, votes.filter((vote) => vote === name).length]).filter(([, n]) => n);
  const kept = after === verdict ? `Saved again as ${data.condition}, it stays so.` : `Saved again as ${data.condition}, it becomes: ${SIGNS[after]}.`;
  show("vote-words", `The soft vote of ${votes.length} detectors (${counted.map(([name, n]) => `${n} ${name}`).join(", ")}). ${kept}`);
  show("saved-head", `saved as ${data.condition}`);
  byId("scores").replaceChildren(...data.detectors.map((name, n) => row(name, n, said, bird.said)));
}

function build() {
  buildBirds();
  buildHoles();
  buildCaptions();
  radios("inpainters", "inpainter", Object.entries(INPAINTERS));
  radios("seeds", "seed", data.seeds.map((seed) => [seed, `seed ${seed}`]));
  radios("arms", "arm", Object.entries(ARMS));
  const fills = data.birds.reduce((sum, bird) => sum + bird.holes.reduce((n, hole) => n + Object.keys(hole.fills).length, 0), 0);
  show("about", `${data.birds.length} synthetic birds${data.held_out ? " that no network was trained on" : ""}, ${fills} fills, and the verdicts of the run “${data.run}”, all computed when this book was built.`);
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  onWidth(showResult);
  showResult();
}

loadSheets().then(() => { build(); document.body.dataset.ready = "true"; settle(); });
