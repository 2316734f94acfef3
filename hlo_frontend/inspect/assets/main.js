// The page: data in, events wired, the entry function shown.

const DATA = JSON.parse($("data").textContent);

function neighbour(key) {
  const from = state.selected && standIn(state.selected);
  if (!from) return [...state.drawn.keys()].sort((a, b) => a.top - b.top)[0];
  const { edges } = state;
  if (key === "ArrowDown") return nearest(from, edges.filter((e) => e.a === from).map((e) => e.b));
  if (key === "ArrowUp") return nearest(from, edges.filter((e) => e.b === from).map((e) => e.a));
  const distance = (item) => Math.abs(item.top + item.h / 2 - from.top - from.h / 2);
  const beside = (item) => item.parent === from.parent && distance(item) < 30;
  const row = [...state.drawn.keys()].filter(beside).sort((a, b) => a.left - b.left);
  return row[row.indexOf(from) + (key === "ArrowRight" ? 1 : -1)];
}

function nearest(from, items) {
  const middle = from.left + from.w / 2;
  const distance = (item) => Math.abs(item.left + item.w / 2 - middle);
  return items.sort((a, b) => distance(a) - distance(b))[0];
}

function inView(item) {
  const box = $("canvas").getBoundingClientRect();
  const x = view.x + (item.left + item.w / 2) * view.scale, y = view.y + item.top * view.scale;
  return x > 40 && x < box.width - 40 && y > 20 && y < box.height - 60;
}

function move(key) {
  const item = neighbour(key);
  if (!item) return;
  select(item, false);
  if (!inView(item)) centre(item);
  state.drawn.get(item)?.focus({ preventScroll: true });
}

function onKey(event) {
  const typing = event.target.matches("input[type=search], select");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    $("search").focus();
    $("search").select();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onCanvas = event.target === document.body || $("canvas").contains(event.target);
  if (event.key === "+" || event.key === "=") zoom(1.25);
  else if (event.key === "-") zoom(0.8);
  else if (event.key === "0") fit();
  else if (event.key === "Escape") { state.selected = null; mark(); showPanel(state.tree.root); }
  else if (onCanvas && event.key.startsWith("Arrow")) { event.preventDefault(); move(event.key); }
  else if (onCanvas && (event.key === "Enter" || event.key === " ")) {
    const item = state.selected && standIn(state.selected);
    if (!item) return;
    event.preventDefault();
    if (item.group) toggle(item);
    select(item, false);
    state.drawn.get(item)?.focus({ preventScroll: true });
  }
}

function onSearchKey(event) {
  const last = results.length - 1;
  if (event.key === "ArrowDown") choose(Math.min(chosen + 1, last));
  else if (event.key === "ArrowUp") choose(Math.max(chosen - 1, 0));
  else if (event.key === "Enter") take(chosen);
  else if (event.key === "Escape") { $("found").hidden = true; $("canvas").focus(); }
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function dragging() {
  const canvas = $("canvas");
  let start = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = [event.clientX, event.clientY];
    start = { x: at[0] - view.x, y: at[1] - view.y, moved: false, at };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start) return;
    const far = Math.hypot(event.clientX - start.at[0], event.clientY - start.at[1]);
    if (!start.moved && far < 4) return;
    if (!start.moved) canvas.setPointerCapture(event.pointerId);
    start.moved = true;
    canvas.classList.add("dragging");
    view.x = event.clientX - start.x;
    view.y = event.clientY - start.y;
    transform();
  });
  const end = () => { start = null; canvas.classList.remove("dragging"); };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const step = event.deltaMode ? event.deltaY * 30 : event.deltaY;
    zoom(Math.exp(-step / 500), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
}

// One level deeper, as long as a page can still draw it at once.
function expand() {
  const deeper = [];
  for (const item of state.drawn.keys()) if (item.group && !item.open) deeper.push(item);
  let room = 1500 - state.drawn.size;
  for (const group of deeper) {
    room -= shownItems(group, state.all).length;
    if (room < 0) break;
    group.open = true;
  }
  draw();
  fit();
}

function overview() {
  eachGroup(state.tree.root, (group) => (group.open = false));
  openSome(state.tree.root);
  draw();
  fit();
}

function theme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
}

function legend() {
  const engines = DATA.format === "neff";
  const kinds = [["matrix", "matrix", "PE"], ["vector", "elementwise, reduction", "DVE"],
    ["scalar", "function of one element", "Activation"], ["move", "data movement", "SP"],
    ["other", "other", "Pool"], ["input", "input", "input"]];
  for (const [kind, ops, engine] of kinds) {
    make("span", engines ? engine : ops, $("legend"), { class: `kind-${kind}` });
  }
}

function start() {
  const { summary } = DATA;
  const weights = `${count(summary.parameters)} parameters (${bytes(summary.parameter_bytes)})`;
  $("title").textContent = DATA.name;
  $("title").title = DATA.name;
  $("summary").textContent = [
    DATA.format === "neff" ? `NEFF for ${DATA.target}` : "HLO module",
    `${summary.instructions.toLocaleString("en")} instructions`, flops(summary.flops),
    summary.parameters ? weights : "",
  ].filter(Boolean).join(" · ");
  for (const fn of [...DATA.functions].reverse()) {
    const role = fn.name === DATA.entry ? " (entry)" : "";
    make("option", fn.name + role, $("function"), { value: fn.name });
  }
  $("function").hidden = DATA.functions.length < 2;
  $("function").addEventListener("change", () => openFunction($("function").value));
  $("constants").addEventListener("change", () => {
    state.all = $("constants").checked;
    draw();
    fit();
  });
  $("search").addEventListener("input", () => search($("search").value));
  $("search").addEventListener("keydown", onSearchKey);
  $("search").addEventListener("blur", () => ($("found").hidden = true));
  $("search").addEventListener("focus", () => $("search").value && search($("search").value));
  $("expand").addEventListener("click", expand);
  $("collapse").addEventListener("click", overview);
  $("fit").addEventListener("click", fit);
  $("in").addEventListener("click", () => zoom(1.25));
  $("out").addEventListener("click", () => zoom(0.8));
  $("theme").addEventListener("click", theme);
  document.addEventListener("keydown", onKey);
  dragging();
  legend();
  openFunction(DATA.entry);
}

start();
