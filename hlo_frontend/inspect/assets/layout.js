// A layered layout: data flows downwards. Each open layer is laid out by itself, then stands as one
// box in the layer around it; so the work is that of what is shown, whatever the size of the whole.

const GAP_X = 24, GAP_Y = 32, PAD = 16, HEAD = 30, FAR = 24;
const GLYPH = 0.61; // the width of a letter, of its size

function textWidth(text, size) {
  return text.length * size * GLYPH;
}

function sizeOf(item) {
  const [title, subtitle] = labels(item);
  const width = Math.max(textWidth(title, 12.5), textWidth(subtitle, 11)) + 26;
  item.w = Math.min(Math.max(width, 90), 250);
  item.h = item.group ? 50 : 42;
}

// Positions (centre x, top y) of everything below a group, relative to it, and its edges' paths.
function layoutGroup(group, levels, ports, all) {
  const boxes = shownItems(group, all);
  for (const item of boxes) {
    if (item.group && item.open) layoutGroup(item, levels, ports, all);
    else sizeOf(item);
  }
  const items = [...boxes, ...(ports.get(group)?.values() || [])];
  const level = levels.get(group) || [];
  const graph = ranked(items, level);
  const rows = withDummies(graph, level);
  order(rows);
  place(rows);
  const width = Math.max(...rows.flat().map((v) => v.x + v.w / 2), 60);
  const title = textWidth(labels(group)[0], 13) + 40;
  group.w = Math.max(width, title) + 2 * PAD;
  const shift = (group.w - width) / 2;
  let y = HEAD + PAD;
  for (const row of rows) {
    const height = Math.max(...row.map((v) => v.h), 0);
    for (const v of row) {
      v.x += shift;
      v.y = y + (height - v.h) / 2;
      [v.top, v.bottom] = [y, y + height];
      if (v.item) Object.assign(v.item, { x: v.x, y: v.y });
    }
    y += row.every((v) => v.item?.port) ? 8 : height + GAP_Y;
  }
  group.h = Math.max(y - GAP_Y + PAD, HEAD + PAD);
  const sides = (d) => [[d.x, d.top], [d.x, d.bottom]];
  for (const e of level) e.bends = e.back ? [] : e.dummies.flatMap(sides);
}

// Each item's row: the longest way from what it reads. Edges that close a circle do not count.
function ranked(items, level) {
  const box = (item) => ({ item, w: item.w, h: item.h, in: [], out: [], rank: 0 });
  const v = new Map(items.map((item) => [item, box(item)]));
  for (const e of level) {
    v.get(e.from).out.push(e);
    v.get(e.to).in.push(e);
  }
  const start = items.some((item) => item.port === "in") ? 1 : 0;
  for (const [item, at] of v) at.rank = item.port === "in" ? 0 : start;
  const sequence = sequenceOf(items, v);
  sequence.forEach((item, n) => (v.get(item).turn = n));
  for (const item of sequence) {
    const at = v.get(item);
    for (const e of at.in) {
      const from = v.get(e.from);
      e.back = from.turn > at.turn;
      if (!e.back) at.rank = Math.max(at.rank, from.rank + 1);
    }
  }
  for (const item of sequence.reverse()) {
    const at = v.get(item);
    const next = at.out.filter((e) => !e.back).map((e) => v.get(e.to).rank);
    if (next.length && !item.port && !at.in.some((e) => !e.back)) at.rank = Math.min(...next) - 1;
  }
  const inner = [...v.values()].filter(({ item }) => item.port !== "out");
  const last = Math.max(...inner.map((at) => at.rank), 0);
  for (const [item, at] of v) if (item.port === "out") at.rank = last + 1;
  return v;
}

// Sources first, then what only reads those placed; in a circle, what the program has first.
function sequenceOf(items, v) {
  const waiting = new Map(items.map((item) => [item, v.get(item).in.length]));
  const rest = [...items].sort((a, b) => a.first - b.first);
  const ready = rest.filter((item) => !waiting.get(item));
  const done = new Set(), sequence = [];
  let next = 0;
  while (sequence.length < items.length) {
    if (!ready.length) {
      while (done.has(rest[next])) next += 1;
      ready.push(rest[next]);
    }
    const item = ready.shift();
    if (done.has(item)) continue;
    done.add(item);
    sequence.push(item);
    for (const e of v.get(item).out) {
      waiting.set(e.to, waiting.get(e.to) - 1);
      if (waiting.get(e.to) === 0 && !done.has(e.to)) ready.push(e.to);
    }
  }
  return sequence;
}

// Rows of boxes; an edge that passes rows has a thin place in each, so that it is led around boxes.
function withDummies(graph, level) {
  const rows = [];
  const put = (v, rank) => (rows[rank] ||= []).push(v);
  for (const v of [...graph.values()].sort((a, b) => a.turn - b.turn)) {
    v.up = [];
    v.down = [];
    put(v, v.rank);
  }
  for (const e of level) {
    let [from, to] = [graph.get(e.from), graph.get(e.to)];
    e.dummies = [];
    if (from.rank > to.rank) [from, to] = [to, from];
    if (from.rank === to.rank) continue;
    let last = from;
    if (to.rank - from.rank <= FAR) {
      for (let rank = from.rank + 1; rank < to.rank; rank += 1) {
        const dummy = { w: 8, h: 0, up: [last], down: [], rank };
        last.down.push(dummy);
        put(dummy, rank);
        e.dummies.push(dummy);
        last = dummy;
      }
    }
    last.down.push(to);
    to.up.push(last);
  }
  for (let rank = 0; rank < rows.length; rank += 1) rows[rank] ||= [];
  return rows;
}

// Fewer crossings: each row sorted by the middle of its neighbours, downwards and upwards in turn.
function order(rows) {
  const number = () => rows.forEach((row) => row.forEach((v, n) => (v.n = n)));
  number();
  for (let turn = 0; turn < 8; turn += 1) {
    const down = turn % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) {
      for (const v of row) {
        const near = (down ? v.up : v.down).map((u) => u.n).sort((a, b) => a - b);
        v.key = near.length ? (near[(near.length - 1) >> 1] + near[near.length >> 1]) / 2 : v.n;
      }
      row.sort((a, b) => a.key - b.key || a.n - b.n);
      row.forEach((v, n) => (v.n = n));
    }
  }
}

// Horizontal centres: near the neighbours, in order, without overlap.
function place(rows) {
  for (const row of rows) {
    let x = 0;
    for (const v of row) {
      v.x = x + v.w / 2;
      x += v.w + GAP_X;
    }
  }
  for (let turn = 0; turn < 10; turn += 1) {
    const down = turn % 2 === 0;
    for (const row of down ? rows : [...rows].reverse()) {
      for (const v of row) {
        const near = turn < 4 ? (down ? v.up : v.down) : [...v.up, ...v.down];
        v.want = near.length ? near.reduce((sum, u) => sum + u.x, 0) / near.length : v.x;
      }
      settle(row);
    }
  }
  const left = Math.min(...rows.flat().map((v) => v.x - v.w / 2), Infinity);
  for (const v of rows.flat()) v.x -= left;
}

// The places nearest to those wanted that keep the order and the gaps (least squares, by blocks).
function settle(row) {
  const blocks = [];
  let offset = 0;
  row.forEach((v, n) => {
    if (n) offset += (row[n - 1].w + v.w) / 2 + GAP_X;
    v.offset = offset;
    const weight = v.item && !v.item.port ? 1 : 3;
    let block = { sum: (v.want - offset) * weight, weight, members: [v] };
    while (blocks.length) {
      const last = blocks[blocks.length - 1];
      if (last.sum / last.weight <= block.sum / block.weight) break;
      blocks.pop();
      block = { sum: last.sum + block.sum, weight: last.weight + block.weight,
        members: [...last.members, ...block.members] };
    }
    blocks.push(block);
  });
  for (const block of blocks) {
    for (const v of block.members) v.x = block.sum / block.weight + v.offset;
  }
}
