// The details of what is selected, and the search. All text goes in as text, never as markup.

function make(name, text, parent, attributes = {}) {
  const made = document.createElement(name);
  if (text !== "" && text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

function link(text, parent, action) {
  const made = make("a", text, parent, { role: "link", tabindex: "0" });
  made.addEventListener("click", action);
  made.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.stopPropagation(); action(); }
  });
  return made;
}

function facts(parent, pairs) {
  const list = make("dl", "", parent);
  for (const [name, value] of pairs) {
    if (value === "" || value === undefined || value === null) continue;
    make("dt", name, list);
    make("dd", value, list);
  }
  return list;
}

function section(title) {
  make("h3", title, $("panel"));
  return make("ul", "", $("panel"));
}

function crumbs(item) {
  const path = [item, ...ancestors(item)].reverse().filter((i) => i.group && i.parent);
  if (!path.length) return;
  const line = make("div", "", $("panel"));
  path.forEach((group, n) => {
    if (n) line.append(" › ");
    link(group.name, line, () => select(group)).className = "crumb";
  });
}

function showPanel(item) {
  $("panel").replaceChildren();
  $("panel").scrollTop = 0;
  if (item.group) showGroup(item);
  else showNode(item);
}

function showNode(leaf) {
  const { node } = leaf, panel = $("panel");
  make("h2", node.op, panel);
  make("code", node.name, panel);
  crumbs(leaf);
  facts(panel, [
    ["shape", node.type],
    ["operator", node.operator],
    ["source", node.source],
    ["engine", node.engine],
    ["region", node.region],
    ["buffer", node.buffer],
    ["operations", flops(node.flops)],
    ["reads", bytes(node.bytes_read)],
    ["writes", bytes(node.bytes_written)],
  ]);
  const attributes = Object.entries(node.attributes);
  if (attributes.length) {
    make("h3", "Attributes", panel);
    facts(panel, attributes).className = "mono";
  }
  neighbours("Operands", node.operands);
  neighbours("Users", leaf.users);
  if (node.calls.length) {
    const list = section("Calls");
    for (const name of node.calls) link(name, make("li", "", list), () => openFunction(name));
  }
}

const LISTED = 60;

function neighbours(title, positions) {
  if (!positions.length) return;
  const list = section(`${title} (${positions.length})`);
  for (const position of positions.slice(0, LISTED)) {
    const leaf = state.tree.leaves[position];
    const row = make("li", "", list);
    link(leaf.node.op, row, () => select(leaf));
    row.append(` ${leaf.node.type} `);
    make("small", leaf.node.name, row);
  }
  if (positions.length > LISTED) make("li", `… ${positions.length - LISTED} more`, list);
}

function showGroup(group) {
  const panel = $("panel"), root = state.tree.root;
  make("h2", group === root ? DATA.name : group.name, panel);
  if (group === root) make("code", `function ${group.name}`, panel);
  else crumbs(group);
  facts(panel, [
    ["instructions", group.count.toLocaleString("en")],
    ["operations", flops(group.flops)],
    ["reads", bytes(group.read)],
    ["writes", bytes(group.written)],
  ]);
  if (group !== root && root.flops) {
    const share = (100 * group.flops) / root.flops;
    make("div", `${share.toFixed(1)} % of all operations`, panel).style.marginTop = "8px";
    const bar = make("div", "", panel, { class: "bar" });
    make("i", "", bar).style.width = `${share}%`;
    const button = make("button", group.open ? "Close this layer" : "Open this layer", panel);
    button.style.marginTop = "10px";
    button.addEventListener("click", () => {
      if (standIn(group) !== group) reveal(group);
      toggle(group);
      showPanel(group);
    });
  }
  if (group === root) ports();
  const inner = group.items.filter((item) => item.group);
  if (inner.length) {
    const list = section(`Layers (${inner.length})`);
    for (const item of inner.slice(0, LISTED)) {
      const row = make("li", "", list);
      link(item.name, row, () => select(item));
      make("small", " " + labels(item)[1], row);
    }
  }
  const ops = [...group.ops].sort((a, b) => b[1] - a[1]);
  const list = section("Opcodes");
  for (const [op, n] of ops) make("li", `${op} × ${n}`, list);
  if (group === root) help();
}

function ports() {
  if (state.fn !== DATA.entry) return;
  const inputs = DATA.inputs.filter((p) => p.kind !== "weight");
  const weights = DATA.inputs.length - inputs.length;
  for (const [title, list] of [["Inputs", inputs], ["Outputs", DATA.outputs]]) {
    const rows = section(title);
    for (const port of list.slice(0, LISTED)) {
      const kind = port.kind === "state" ? " state" : "";
      make("small", port.type + kind, make("li", port.name + " ", rows));
    }
    if (title === "Inputs" && weights) make("li", `and ${weights} weights`, rows);
  }
}

function help() {
  make("h3", "Keys", $("panel"));
  const list = make("dl", "", $("panel"));
  for (const [key, text] of [["/", "search"], ["Enter", "open or close a layer"],
    ["↑ ↓", "what it reads, what reads it"], ["← →", "its neighbours"], ["+ −", "zoom"],
    ["0", "show everything"], ["Esc", "select nothing"]]) {
    make("kbd", key, make("dt", "", list));
    make("dd", text, list);
  }
}

// Search: every word must occur in the name, op, layer, shape, operator or source line.
const SHOWN = 40;
let index = null, chosen = -1, results = [];

function searchIndex() {
  if (index) return index;
  index = [];
  const layers = new Set();
  for (const fn of DATA.functions) {
    fn.instructions.forEach((node, position) => {
      const words = [node.name, node.op, node.layer, node.type, node.operator, node.source,
        node.engine, node.type.replace(/[\[\]]/g, " ")];
      index.push({ fn: fn.name, position, text: words.join(" ").toLowerCase(), node });
    });
    if (fn.name !== DATA.entry) continue;
    for (const { layer } of fn.instructions) {
      for (let end = layer.length; end > 0; end = layer.lastIndexOf(".", end - 1)) {
        layers.add(layer.slice(0, end));
      }
    }
  }
  for (const layer of layers) index.push({ fn: DATA.entry, layer, text: layer.toLowerCase() });
  const rank = (entry) => (entry.fn === DATA.entry ? 2 : 0) + (entry.layer ? 1 : 0);
  index.sort((a, b) => rank(b) - rank(a));
  return index;
}

function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hit = (entry) => words.every((word) => entry.text.includes(word));
  const all = words.length ? searchIndex().filter(hit) : [];
  const exact = (e) => (e.layer ?? e.node.name).toLowerCase() === text.toLowerCase().trim();
  results = [...all.filter(exact), ...all.filter((e) => !exact(e))].slice(0, SHOWN);
  chosen = results.length ? 0 : -1;
  const list = $("found");
  list.replaceChildren();
  results.forEach((entry, n) => {
    const text = entry.layer ?? `${entry.node.op} ${entry.node.type}`;
    const row = make("li", text, list, { role: "option", id: `found-${n}` });
    make("small", entry.layer ? "layer" : `${entry.node.name} ${entry.node.layer}`, row);
    row.addEventListener("mousedown", (event) => { event.preventDefault(); take(n); });
  });
  if (words.length && !results.length) make("li", "nothing found", list);
  if (all.length > SHOWN) make("li", `… ${all.length - SHOWN} more`, list);
  list.hidden = !words.length;
  $("search").setAttribute("aria-expanded", String(!list.hidden));
  choose(chosen);
}

function choose(n) {
  chosen = n;
  [...$("found").children].forEach((row, k) => row.setAttribute("aria-selected", String(k === n)));
  $("found").children[n]?.scrollIntoView({ block: "nearest" });
  $("search").setAttribute("aria-activedescendant", n >= 0 ? `found-${n}` : "");
}

function take(n) {
  const entry = results[n];
  if (!entry) return;
  $("found").hidden = true;
  $("search").setAttribute("aria-expanded", "false");
  if (state.fn !== entry.fn) openFunction(entry.fn);
  if (entry.layer === undefined) { select(state.tree.leaves[entry.position]); return; }
  let best = state.tree.root;
  eachGroup(state.tree.root, (group) => {
    const inside = group.path === entry.layer || group.path.startsWith(entry.layer + ".");
    if (inside && (best === state.tree.root || group.path.length < best.path.length)) best = group;
  });
  if (!best.open) {
    best.open = true;
    draw();
  }
  select(best);
}
