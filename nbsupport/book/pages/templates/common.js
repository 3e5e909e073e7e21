"use strict";
// Shared by both pages: reading the data, drawing pictures pixel by pixel, and living inside a page of the book.
// Texts of the data reach the page by textContent alone, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const [HEIGHT, WIDTH] = data.size;

/** An element with properties, attributes (by "attr:name") and children. */
function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("attr:")) made.setAttribute(name.slice(5), value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);
const show = (id, text) => { byId(id).textContent = text; };
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const two = (number) => number.toFixed(2);

function bytes(text) {
  const raw = atob(text);
  return Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
}

/** A hole packed eight pixels a byte -> one byte (0 or 1) a pixel; 1 = hole. */
function unpack(text) {
  const packed = bytes(text);
  return Uint8Array.from({ length: HEIGHT * WIDTH }, (_, n) => (packed[n >> 3] >> (7 - (n & 7))) & 1);
}

function emptyCanvas(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

const sheets = [];

async function loadSheets() {
  for (const source of data.sheets.sources) {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = emptyCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    sheets.push(context);
  }
}

/** The pixels of one stored picture as ImageData. */
function stored(number) {
  const { each, columns } = data.sheets;
  const place = number % each;
  const x = (place % columns) * WIDTH, y = Math.floor(place / columns) * HEIGHT;
  return sheets[Math.floor(number / each)].getImageData(x, y, WIDTH, HEIGHT);
}

/** `inside` where the hole is, `outside` elsewhere. */
function spliced(outside, inside, hole) {
  const made = new ImageData(new Uint8ClampedArray(outside.data), WIDTH, HEIGHT);
  for (let n = 0; n < hole.length; n++) {
    if (hole[n]) made.data.set(inside.data.subarray(4 * n, 4 * n + 4), 4 * n);
  }
  return made;
}

function painted(picture, hole, colour) {
  const made = new ImageData(new Uint8ClampedArray(picture.data), WIDTH, HEIGHT);
  for (let n = 0; n < hole.length; n++) if (hole[n]) made.data.set(colour, 4 * n);
  return made;
}

function difference(first, second, gain) {
  const made = new ImageData(WIDTH, HEIGHT);
  for (let n = 0; n < made.data.length; n++) {
    made.data[n] = n % 4 === 3 ? 255 : gain * Math.abs(first.data[n] - second.data[n]);
  }
  return made;
}

function grey(picture) {
  const made = new ImageData(new Uint8ClampedArray(picture.data), WIDTH, HEIGHT);
  for (let n = 0; n < made.data.length; n += 4) {
    const light = 0.299 * made.data[n] + 0.587 * made.data[n + 1] + 0.114 * made.data[n + 2];
    made.data.fill(light, n, n + 3);
  }
  return made;
}

/** The largest whole number of screen pixels for a picture's pixel that fits into `room`, in CSS pixels. */
const factorFor = (room) => Math.max(1, Math.floor((room * window.devicePixelRatio) / WIDTH));

/** Draw a picture on a canvas, as large as its place allows, each pixel a square of the same size. */
function draw(canvas, picture, label, room = canvas.parentElement.clientWidth || 256) {
  const factor = factorFor(room);
  canvas.width = WIDTH * factor;
  canvas.height = HEIGHT * factor;
  canvas.style.width = `${Math.min(room, canvas.width / window.devicePixelRatio)}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  const small = emptyCanvas(WIDTH, HEIGHT);
  small.getContext("2d").putImageData(picture, 0, 0);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  return context;
}

/** Draw the border of a hole: pink with a dark rim, along the edges of its pixels. */
function outline(context, hole) {
  const factor = context.canvas.width / WIDTH;
  const path = new Path2D();
  const at = (x, y) => x >= 0 && y >= 0 && x < WIDTH && y < HEIGHT && hole[y * WIDTH + x];
  for (let y = 0; y <= HEIGHT; y++) {
    for (let x = 0; x <= WIDTH; x++) {
      if (x < WIDTH && Boolean(at(x, y)) !== Boolean(at(x, y - 1))) {
        path.moveTo(x * factor, y * factor);
        path.lineTo((x + 1) * factor, y * factor);
      }
      if (y < HEIGHT && Boolean(at(x, y)) !== Boolean(at(x - 1, y))) {
        path.moveTo(x * factor, y * factor);
        path.lineTo(x * factor, (y + 1) * factor);
      }
    }
  }
  const thin = Math.max(1, context.canvas.width / 128);
  for (const [width, colour] of [[3 * thin, "#000000"], [1.8 * thin, "#ff00be"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
}

/** A bar from 0 to 1; `marks` are drawn as lines across it. */
function bar(value, kind, marks) {
  const filled = el("i", { className: kind });
  filled.style.width = `${100 * value}%`;
  const lines = marks.filter((mark) => mark > 0 && mark < 1).map((mark) => {
    const line = el("b");
    line.style.left = `${100 * mark}%`;
    return line;
  });
  return el("div", { className: "bar", "attr:aria-hidden": "true" }, filled, ...lines);
}

/** Call `action` when the width of the page has changed, since pictures are as large as their places. */
function onWidth(action) {
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth !== width) { width = window.innerWidth; action(); }
  });
}

/** Inside a page of the book: its colours, and a frame as high as what it holds. */
function settle() {
  if (window.parent === window) return;
  document.documentElement.classList.add("inside");
  document.body.classList.add("embedded");
  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.data && event.data.nbsupport === "theme") {
      document.documentElement.dataset.theme = event.data.dark ? "dark" : "light";
    }
  });
  const tell = () => window.parent.postMessage({ nbsupport: "height", height: document.body.scrollHeight }, "*");
  new ResizeObserver(tell).observe(document.body);
  window.parent.postMessage({ nbsupport: "ready" }, "*");
  tell();
}
