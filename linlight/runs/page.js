const by = id => document.getElementById(id);
const data = JSON.parse(by("data").textContent);
// On a phone the drawing is smaller, so that its text is as large as on a desk.
const NARROW = matchMedia("(max-width: 30rem)").matches;
const WIDTH = NARROW ? 340 : 520, HEIGHT = NARROW ? 300 : 344, LEFT = 62, RIGHT = 12, TOP = 10, BOTTOM = 44;
const INSIDE = {x: LEFT, y: TOP, width: WIDTH - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM};

function add(parent, name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(element, attributes);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}
function set(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
}
const short = value => value === null ? "-" : value === 0 ? "0" :
  Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? String(+value.toPrecision(4)) : value.toExponential(2).replace(/\.?0*e\+?/, "e");

// Round numbers within a range: four to eight steps, half as many on a phone, each 1, 2 or 5 times a power of ten; `whole` rounds them.
function ticks(low, high, whole) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 4));
  let step = [1, 2, 5, 10].map(k => k * power).filter(s => (high - low) / s <= (NARROW ? 4 : 8))[0];
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

// A panel with its axes. `x` and `y` map numbers to places on the drawing, `back` maps a place on the screen to numbers.
// `ground` lies under the axes; `inside` lies over them and is clipped to them.
function panel(title, xLabel, yLabel, [x0, x1], [y0, y1], yText, whole) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  caption.textContent = title;
  figure.append(caption);
  by("panels").append(figure);
  const svg = add(figure, "svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title});
  const x = v => LEFT + (v - x0) / (x1 - x0) * INSIDE.width;
  const y = v => HEIGHT - BOTTOM - (v - y0) / (y1 - y0) * INSIDE.height;
  const ground = add(svg, "g", {});
  for (const a of ticks(x0, x1, whole)) {
    add(svg, "line", {class: "axis", x1: x(a), x2: x(a), y1: TOP, y2: HEIGHT - BOTTOM});
    add(svg, "text", {x: x(a), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle"}, short(a));
  }
  for (const b of ticks(y0, y1, yText)) {
    add(svg, "line", {class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(b), y2: y(b)});
    add(svg, "text", {x: LEFT - 6, y: y(b) + 4, "text-anchor": "end"}, (yText || short)(b));
  }
  add(svg, "text", {x: WIDTH / 2, y: HEIGHT - 8, "text-anchor": "middle"}, xLabel);
  add(svg, "text", {x: 14, y: HEIGHT / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${HEIGHT / 2})`}, yLabel);
  const clip = add(svg, "clipPath", {id: `inside${by("panels").children.length}`});
  add(clip, "rect", INSIDE);
  const inside = add(svg, "g", {"clip-path": `url(#${clip.id})`});
  const back = (clientX, clientY) => {
    const box = svg.getBoundingClientRect(), px = (clientX - box.left) * WIDTH / box.width, py = (clientY - box.top) * HEIGHT / box.height;
    return [x0 + (px - LEFT) / INSIDE.width * (x1 - x0), y0 + (HEIGHT - BOTTOM - py) / INSIDE.height * (y1 - y0)];
  };
  return {svg, ground, inside, x, y, back};
}

// An image of one pixel a shade, in rows from the top, which the browser smooths.
function picture(parent, shades, colors) {
  const canvas = Object.assign(document.createElement("canvas"), {width: shades[0].length, height: shades.length});
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  shades.flat().forEach((shade, k) => image.data.set([...colors[shade], 255], 4 * k));
  context.putImageData(image, 0, 0);
  add(parent, "image", {href: canvas.toDataURL(), ...INSIDE, preserveAspectRatio: "none"});
}

// The points of a path up to an epoch, at least the first.
const upTo = (path, epoch, of) => path.filter((point, i) => i === 0 || of(point) <= epoch);
const asked = () => +(/epoch=(\d+)/.exec(location.hash) || [0, 0])[1];
