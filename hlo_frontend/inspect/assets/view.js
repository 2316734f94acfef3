// Drawing, moving around, selecting.

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const view = { x: 0, y: 0, scale: 1 };
const state = { fn: null, tree: null, all: false, selected: null, drawn: new Map(), edges: [] };
const trees = new Map();

function count(value) {
  const units = ["", "k", "M", "G", "T", "P"];
  let n = 0;
  while (value >= 1000 && n < units.length - 1) { value /= 1000; n += 1; }
  return (n ? value.toPrecision(3) : String(value)) + (n ? " " + units[n] : "");
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let n = 0;
  while (value >= 1024 && n < units.length - 1) { value /= 1024; n += 1; }
  return (n ? value.toFixed(1) : value) + " " + units[n];
}

function flops(value) {
  return value ? count(value) + (value < 1000 ? " " : "") + "FLOP" : "";
}

function labels(item) {
  if (item.group) {
    const parts = [`${item.count} instruction${item.count === 1 ? "" : "s"}`, flops(item.flops)];
    return [item.name, parts.filter(Boolean).join(" · ")];
  }
  const { node } = item;
  if (node.op === "parameter") return [node.operator || node.name, node.type];
  const value = node.op === "constant" ? node.attributes.literal || "" : "";
  return [value ? `${node.op} ${value}` : node.op, node.type];
}

function fitted(text, width, size) {
  const room = Math.max(Math.floor((width - 22) / (size * GLYPH)), 3);
  return text.length <= room ? text : text.slice(0, room - 1) + "…";
}

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

// Edges between what is shown: from, to, and how many instructions' edges they stand for.
function visibleEdges() {
  const known = new Map(), found = [];
  for (const leaf of state.tree.leaves) {
    if (leaf.quiet && !state.all) continue;
    for (const o of new Set(leaf.node.operands)) {
      const source = state.tree.leaves[o];
      if (source.quiet && !state.all) continue;
      const [a, b] = [standIn(source), standIn(leaf)];
      if (a === b) continue;
      if (!known.has(a)) known.set(a, new Map());
      const edge = known.get(a).get(b);
      if (edge) { edge.count += 1; continue; }
      const made = { a, b, count: 1, steps: [] };
      known.get(a).set(b, made);
      found.push(made);
    }
  }
  return found;
}

// Each edge goes out of the open layers around its start and into those around its end by ports of
// these layers, so that each layer leads it around its own boxes. Edges by layer, each pair once.
function stepsByLayer(edges) {
  const levels = new Map(), ports = new Map();
  const entry = (map, key, create) => {
    if (!map.has(key)) map.set(key, create());
    return map.get(key);
  };
  const port = (group, item, way) => {
    const create = () => ({ port: way, w: 6, h: 0, first: item.first, group });
    return entry(entry(ports, group, () => new Map()), item, create);
  };
  const step = (edge, group, from, to) => {
    const pairs = entry(entry(levels, group, () => new Map()), from, () => new Map());
    edge.steps.push(entry(pairs, to, () => ({ group, from, to })));
  };
  for (const edge of edges) {
    const { a, b } = edge, around = ancestors(a), into = [];
    let to = b;
    while (!around.includes(to.parent)) into.unshift((to = to.parent));
    let item = a;
    for (const group of around.slice(0, around.indexOf(to.parent))) {
      step(edge, group, item, port(group, a, "out"));
      item = group;
    }
    step(edge, to.parent, item, to);
    into.forEach((group, n) => step(edge, group, port(group, a, "in"), into[n + 1] || b));
  }
  const list = (pairs) => [...pairs.values()].flatMap((to) => [...to.values()]);
  return { levels: new Map([...levels].map(([group, pairs]) => [group, list(pairs)])), ports };
}

function draw() {
  const { root } = state.tree;
  const edges = visibleEdges();
  const { levels, ports } = stepsByLayer(edges);
  layoutGroup(root, levels, ports, state.all);
  Object.assign(root, { x: root.w / 2, y: 0 });
  const world = $("world");
  world.replaceChildren();
  state.drawn.clear();
  const boxes = element("g", {}, world), lines = element("g", {}, world);
  const items = element("g", {}, world);
  drawItems(root, 0, 0, 0, boxes, items);
  state.edges = edges;
  for (const edge of edges) edge.path = drawEdge(edge, lines);
  mark();
}

function drawItems(group, left, top, depth, boxes, items) {
  for (const item of shownItems(group, state.all)) {
    const open = item.group && item.open;
    item.left = left + item.x - item.w / 2;
    item.top = top + item.y;
    drawItem(item, depth, open ? boxes : items);
    if (open) drawItems(item, item.left, item.top, depth + 1, boxes, items);
  }
}

function drawItem(item, depth, parent) {
  const open = item.group && item.open;
  const kind = item.group ? "layer" : kindOf(item.node);
  const [title, subtitle] = labels(item);
  const g = element("g", {
    class: `item kind-${kind}` + (item.group ? " group" : "") + (open ? " open" : "") +
      (depth % 2 ? " odd" : ""),
    transform: `translate(${item.left} ${item.top})`,
    tabindex: "0", role: "button", "aria-label": `${title}, ${subtitle}`,
  }, parent);
  if (item.group) g.setAttribute("aria-expanded", String(Boolean(open)));
  element("rect", { class: "box", width: item.w, height: item.h, rx: item.group ? 9 : 6 }, g);
  const stripe = `M0 6a6 6 0 0 1 6-6v${item.h}a6 6 0 0 1-6-6z`;
  if (!item.group) element("path", { class: "stripe", d: stripe }, g);
  const name = element("text", { class: "name", x: 13, y: open ? 20 : item.group ? 21 : 18 }, g);
  name.textContent = (item.group ? (open ? "▾ " : "▸ ") : "") + fitted(title, item.w, 12.5);
  if (open) {
    const at = 13 + textWidth(name.textContent, 13) + 10;
    if (at + textWidth(subtitle, 11) < item.w) {
      element("text", { class: "small", x: at, y: 20 }, g).textContent = subtitle;
    }
  } else {
    const y = item.group ? 37 : 34;
    element("text", { class: "small", x: 13, y }, g).textContent = fitted(subtitle, item.w, 11);
    const share = item.group && state.tree.root.flops ? item.flops / state.tree.root.flops : 0;
    if (share > 0.001) {
      element("rect", { class: "share", x: 8, y: item.h - 5, height: 3, rx: 1.5,
        width: Math.max((item.w - 16) * share, 2) }, g);
    }
  }
  g.addEventListener("click", (event) => { event.stopPropagation(); clicked(item, event); });
  g.addEventListener("dblclick", (event) => event.stopPropagation());
  g.addEventListener("focus", () => { if (g.matches(":focus-visible")) select(item, false); });
  state.drawn.set(item, g);
}

// A click opens a closed layer, and closes an open one by its head: the rest is for moving around.
function clicked(item, event) {
  const top = $("canvas").getBoundingClientRect().top;
  const y = (event.clientY - top - view.y) / view.scale - item.top;
  if (item.group && (!item.open || y < HEAD)) toggle(item);
  select(item, false);
}

function origin(group) {
  return group.parent ? [group.left, group.top] : [0, 0];
}

// From the lower side of one box, around the boxes between, to the upper side of the other.
function drawEdge({ a, b, steps, count: times }, parent) {
  const points = [[a.left + a.w / 2, a.top + a.h]];
  for (const { group, from, to, bends } of steps) {
    const [dx, dy] = origin(group);
    if (from.port) points.push([from.x + dx, from.y + dy]);
    for (const [x, y] of bends) points.push([x + dx, y + dy]);
    if (to.port) points.push([to.x + dx, to.y + dy]);
  }
  points.push([b.left + b.w / 2, b.top]);
  lean(points[0], points[1], a.w);
  lean(points[points.length - 1], points[points.length - 2], b.w);
  const back = steps.some((step) => step.back);
  let d = `M${points[0][0]} ${points[0][1]}`;
  for (let n = 1; n < points.length; n += 1) {
    const [x0, y0] = points[n - 1], [x1, y1] = points[n];
    const pull = Math.max(Math.abs(y1 - y0) / 2, back ? 60 : 4);
    d += `C${x0} ${y0 + pull} ${x1} ${y1 - pull} ${x1} ${y1}`;
  }
  const kind = back ? "edge back" : "edge";
  const path = element("path", { class: kind, d, "marker-end": "url(#arrow)" }, parent);
  if (times > 1) path.style.strokeWidth = Math.min(1.2 + Math.log2(times) / 3, 3);
  return path;
}

// Edges leave and enter a box on the side they come from, so that they do not lie on each other.
function lean(end, next, width) {
  end[0] += Math.max(-1, Math.min(1, (next[0] - end[0]) / 200)) * width * 0.3;
}

function mark() {
  const { selected } = state;
  const shown = selected && standIn(selected);
  for (const [item, g] of state.drawn) g.classList.toggle("selected", item === shown);
  const inside = (item) => item === shown || ancestors(item).includes(shown);
  for (const { a, b, path } of state.edges) {
    const lit = shown && (shown.open ? inside(a) !== inside(b) : a === shown || b === shown);
    path.classList.toggle("lit", Boolean(lit));
  }
  $("canvas").classList.toggle("dim", Boolean(shown));
}

function transform() {
  $("world").setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
}

function zoom(factor, x, y) {
  const box = $("canvas").getBoundingClientRect();
  [x, y] = [x ?? box.width / 2, y ?? box.height / 2];
  const scale = Math.min(Math.max(view.scale * factor, 0.02), 4);
  view.x = x - (x - view.x) * (scale / view.scale);
  view.y = y - (y - view.y) * (scale / view.scale);
  view.scale = scale;
  transform();
}

// Everything, or as much of its top as can be read.
function fit() {
  const box = $("canvas").getBoundingClientRect(), { root } = state.tree;
  const whole = Math.min(box.width / (root.w + 20), box.height / (root.h + 20), 1.2);
  view.scale = Math.max(whole, Math.min(0.8, box.width / (root.w + 20)));
  view.x = (box.width - root.w * view.scale) / 2;
  view.y = Math.max((box.height - root.h * view.scale) / 2, 6);
  transform();
}

function centre(item) {
  const box = $("canvas").getBoundingClientRect();
  if (view.scale < 0.6) view.scale = 0.9;
  const height = item.open ? Math.min(item.h, box.height / view.scale) : item.h;
  view.x = box.width / 2 - (item.left + item.w / 2) * view.scale;
  view.y = box.height / 2 - (item.top + height / 2) * view.scale;
  transform();
}

// Opens or closes a layer; its corner stays where it is on the screen.
function toggle(group) {
  const [x, y] = [view.x + group.left * view.scale, view.y + group.top * view.scale];
  const middle = group.w / 2;
  group.open = !group.open;
  draw();
  view.x = x + (middle - group.w / 2) * view.scale - group.left * view.scale;
  view.y = y - group.top * view.scale;
  transform();
}

function select(item, move = true) {
  state.selected = item;
  if (move) reveal(item);
  mark();
  showPanel(item);
}

// Opens the layers around an item and brings it to the middle.
function reveal(item) {
  const closed = ancestors(item).filter((group) => !group.open);
  if (!item.group && item.quiet && !state.all) {
    state.all = $("constants").checked = true;
    closed.push(null);
  }
  closed.forEach((group) => group && (group.open = true));
  if (closed.length) draw();
  centre(item);
}

function openFunction(name) {
  if (!trees.has(name)) trees.set(name, buildTree(DATA.functions.find((f) => f.name === name)));
  state.fn = name;
  state.tree = trees.get(name);
  state.selected = null;
  $("function").value = name;
  draw();
  fit();
  showPanel(state.tree.root);
}
