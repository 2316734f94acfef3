// The instructions of a function as a tree of layers.

const OPENING = 60; // items that a view opens with, at most
const FEW = 4; // layers side by side that may open one by one
const RUN = 100; // instructions that stand side by side in a layer, at most

const MATRIX = new Set(["dot", "convolution"]);
const MOVES = new Set(("bitcast bitcast-convert broadcast concatenate copy dynamic-slice " +
  "dynamic-update-slice gather get-tuple-element iota pad reshape reverse slice transpose tuple " +
  "convert").split(" "));
const OTHERS = new Set(("call cholesky conditional custom-call fft fusion rng " +
  "rng-bit-generator scatter sort topk triangular-solve while").split(" "));
const SCALAR = new Set(("cosine erf exponential exponential-minus-one log log-plus-one logistic " +
  "rsqrt sine sqrt tanh tan power cbrt").split(" "));
const ENGINE_KINDS = {
  PE: "matrix", Activation: "scalar", DVE: "vector", Pool: "other", SP: "move" };

function kindOf(node) {
  if (node.op === "parameter") return "input";
  if (node.engine) return ENGINE_KINDS[node.engine] || "other";
  if (MATRIX.has(node.op)) return "matrix";
  if (OTHERS.has(node.op)) return "other";
  if (MOVES.has(node.op) || node.op === "constant") return "move";
  return SCALAR.has(node.op) ? "scalar" : "vector";
}

function makeGroup(name, path, parent) {
  return { group: true, name, path, parent, items: [], open: false,
    count: 0, flops: 0, read: 0, written: 0, ops: new Map(), first: Infinity };
}

// A tree whose leaves are the instructions; every leaf knows its node, position and group.
function buildTree(fn) {
  const root = makeGroup(fn.name, "", null);
  root.open = true;
  const leaves = fn.instructions.map((node, position) => (
    { group: false, node, position, parent: root, first: position, users: [], quiet: false,
      layers: node.layer ? node.layer.split(".") : [] }));
  for (const leaf of leaves) {
    for (const o of new Set(leaf.node.operands)) leaves[o].users.push(leaf.position);
  }
  markQuiet(leaves, fn.name === DATA.entry);
  fillGroup(root, leaves, 0, leaves);
  finishGroup(root);
  openSome(root);
  return { root, leaves };
}

// Puts leaves into a group, those of deeper layers into groups below it, one for every call.
function fillGroup(group, members, depth, leaves) {
  const below = new Map();
  for (const leaf of members) {
    const name = leaf.layers[depth];
    if (name === undefined) {
      leaf.parent = group;
      group.items.push(leaf);
    } else if (below.has(name)) below.get(name).push(leaf);
    else below.set(name, [leaf]);
  }
  for (const [name, inside] of below) {
    const path = group.path ? group.path + "." + name : name;
    callsOf(inside, leaves).forEach((call, n) => {
      const made = makeGroup(n ? `${name} (${n + 1})` : name, path, group);
      group.items.push(made);
      fillGroup(made, call, depth + 1, leaves);
    });
  }
}

// The instructions of a layer, apart by call: what reads, by way of other layers, a result of the
// layer itself belongs to a later call. So the boxes of layers never depend on each other in turn.
function callsOf(members, leaves) {
  const first = members[0].position, last = members[members.length - 1].position;
  const inside = new Uint8Array(last - first + 1), call = new Int32Array(last - first + 1).fill(-1);
  for (const { position } of members) inside[position - first] = 1;
  for (let p = first; p <= last; p += 1) {
    const leaf = leaves[p], own = inside[p - first];
    if (leaf.quiet) continue;
    let n = own ? 0 : -1;
    for (const o of leaf.node.operands) {
      if (o < first || call[o - first] < 0) continue;
      const leaving = inside[o - first] && !own ? 1 : 0;
      n = Math.max(n, call[o - first] + leaving);
    }
    call[p - first] = n;
  }
  for (const leaf of [...members].reverse()) {
    if (!leaf.quiet) continue;
    const readers = leaf.users.filter((u) => u <= last && inside[u - first]);
    const calls = readers.map((u) => Math.max(call[u - first], 0));
    call[leaf.position - first] = calls.length ? Math.min(...calls) : 0;
  }
  const calls = [];
  for (const leaf of members) (calls[call[leaf.position - first]] ||= []).push(leaf);
  return calls.filter(Boolean);
}

// Weights, constants and what is made of them alone: known before the program runs.
function markQuiet(leaves, main) {
  for (const leaf of leaves) {
    const { op, operands, attributes } = leaf.node;
    if (op === "parameter") leaf.quiet = main && DATA.inputs[attributes.number]?.kind === "weight";
    else if (op === "constant" || op === "iota") leaf.quiet = true;
    else leaf.quiet = operands.length > 0 && operands.every((o) => leaves[o].quiet);
  }
  if (leaves.length && leaves.every((leaf) => leaf.quiet)) leaves.forEach((l) => (l.quiet = false));
}

// Merges layers that only hold one layer, cuts long lists into runs, sums up.
function finishGroup(group) {
  group.items = group.items.map((item) => (item.group ? merged(item) : item));
  const leaves = group.items.filter((item) => !item.group);
  const busy = leaves.filter((leaf) => !leaf.quiet);
  if (busy.length > RUN) group.items = cut(group, leaves);
  for (const item of group.items) {
    if (item.group) finishGroup(item);
    addTo(group, item);
  }
  if (group.first === Infinity) group.first = Math.min(...group.items.map((item) => item.first));
  group.items.sort((a, b) => a.first - b.first);
}

function merged(group) {
  while (group.items.length === 1 && group.items[0].group) {
    const only = group.items[0];
    only.name = group.name + "." + only.name;
    only.parent = group.parent;
    group = only;
  }
  return group;
}

function cut(group, leaves) {
  const made = [];
  const size = Math.max(RUN, Math.ceil(leaves.length / RUN));
  for (let start = 0; start < leaves.length; start += size) {
    const part = leaves.slice(start, start + size);
    const name = `${part[0].node.name} … ${part[part.length - 1].node.name}`;
    const run = makeGroup(name, group.path, group);
    run.items = part;
    part.forEach((leaf) => (leaf.parent = run));
    made.push(run);
  }
  return made.length > 1 ? [...group.items.filter((item) => item.group), ...made] : group.items;
}

function addTo(group, item) {
  if (item.group) {
    for (const key of ["count", "flops", "read", "written"]) group[key] += item[key];
    for (const [op, n] of item.ops) group.ops.set(op, (group.ops.get(op) || 0) + n);
  } else {
    group.count += 1;
    group.flops += item.node.flops;
    group.read += item.node.bytes_read;
    group.written += item.node.bytes_written;
    group.ops.set(item.node.op, (group.ops.get(item.node.op) || 0) + 1);
  }
  if (!isQuiet(item)) group.first = Math.min(group.first, item.first);
}

// Items that a group shows; quiet ones only where asked.
function shownItems(group, all) {
  return group.items.filter((item) => all || !isQuiet(item));
}

function isQuiet(item) {
  if (!item.group) return item.quiet;
  if (item.silent === undefined) item.silent = item.items.every(isQuiet);
  return item.silent;
}

// Opens layers, the outermost first, as long as the view stays small: all that stand side by side,
// or, where they are few, those that fit.
function openSome(root, limit = OPENING) {
  const queue = [root];
  let room = limit - shownItems(root, false).length;
  while (queue.length) {
    const groups = shownItems(queue.shift(), false).filter((item) => item.group);
    const sizes = groups.map((group) => shownItems(group, false).length);
    const all = sizes.reduce((sum, size) => sum + size, 0) <= room;
    groups.forEach((group, n) => {
      if (!all && (groups.length > FEW || sizes[n] > room)) return;
      room -= sizes[n];
      group.open = true;
      queue.push(group);
    });
  }
}

function eachGroup(group, visit) {
  for (const item of group.items) {
    if (item.group) {
      visit(item);
      eachGroup(item, visit);
    }
  }
}

function ancestors(item) {
  const found = [];
  for (let at = item.parent; at; at = at.parent) found.push(at);
  return found;
}

// What stands for an item on the screen: itself, or the outermost closed layer around it.
function standIn(item) {
  const closed = ancestors(item).filter((group) => !group.open);
  return closed.length ? closed[closed.length - 1] : item;
}
