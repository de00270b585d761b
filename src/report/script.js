"use strict";
// What the reader chose. It outlives a part of the page that is replaced by a newer one.
const chosen = { order: new Map(), words: new Map(), hidden: new Set(), smooth: false };
const nameOf = (table) => {
  const section = table.closest("section");
  return `${section.id} ${[...section.querySelectorAll("table")].indexOf(table)}`;
};
const made = (tag, properties) => Object.assign(document.createElement(tag), properties);

function enhance(root) {
  for (const table of root.querySelectorAll("table.sortable")) sortable(table);
  for (const table of root.querySelectorAll("table.arms")) filterable(table);
  for (const legend of root.querySelectorAll("ul.legend")) {
    selectable(legend);
    smoothable(legend);
  }
  for (const image of root.querySelectorAll("figure img")) enlargeable(image);
  for (const figure of root.querySelectorAll("figure")) redraw(figure);
}

// Tables: a click on a heading sorts, a field above the arms leaves out rows.
function sortable(table) {
  const heads = [...table.querySelectorAll("thead th")];
  const sort = (column, up) => {
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.children[column];
      return cell.dataset.sort ?? cell.textContent.trim();
    };
    const numeric = (text) => (text === "" ? NaN : Number(text));
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      const [p, q] = [numeric(x), numeric(y)];
      if (Number.isNaN(p) !== Number.isNaN(q)) return Number.isNaN(p) ? 1 : -1;
      const order = Number.isNaN(p) ? x.localeCompare(y) : p - q;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
    chosen.order.set(nameOf(table), [column, up]);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(column, head.getAttribute("aria-sort") !== "ascending"));
  });
  const before = chosen.order.get(nameOf(table));
  if (before && heads[before[0]]) sort(...before);
}
function filterable(table) {
  const name = nameOf(table);
  const field = made("input", { type: "search", placeholder: "name, setting, verdict", value: chosen.words.get(name) ?? "" });
  const found = made("span", { role: "status" });
  const filter = () => {
    chosen.words.set(name, field.value);
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    found.textContent = words.length ? `${shown} of ${rows.length}` : "";
  };
  field.addEventListener("input", filter);
  const label = made("label", { className: "filter" });
  label.append("Filter arms ", field, found);
  table.before(label);
  filter();
}

// Charts: pictures, until an arm is hidden or curves are smoothed; then the drawing takes their place.
function selectable(legend) {
  for (const item of legend.children) {
    const arm = item.textContent.trim();
    const button = document.createElement("button");
    button.append(...item.childNodes);
    item.append(button);
    const tell = () => button.setAttribute("aria-pressed", !chosen.hidden.has(arm));
    button.addEventListener("click", () => {
      if (!chosen.hidden.delete(arm)) chosen.hidden.add(arm);
      tell();
      redrawAll();
    });
    tell();
  }
  legend.after(made("p", { className: "note on-screen", textContent: "A click on an arm hides it in these charts." }));
}
function smoothable(legend) {
  const drawings = [...legend.closest("section").querySelectorAll("template")];
  if (!drawings.some(({ content }) => longLines(content).length)) return;
  const box = made("input", { type: "checkbox", checked: chosen.smooth });
  box.addEventListener("change", () => {
    chosen.smooth = box.checked;
    redrawAll();
  });
  const label = made("label", { className: "note option on-screen" });
  label.append(box, " Smooth the curves: means over a fifth of their length, less towards their ends. As measured they stay, faint.");
  legend.after(label);
}

// Lines of enough points to be smoothed.
const longLines = (root) => [...root.querySelectorAll("[data-arm] > polyline")].filter(({ points }) => points.length >= 8);

// Each point becomes the mean of the line over as much before it as after it, so ends stay and nothing moves in time.
function smoothed(points) {
  const [first, last] = [points[0].x, points.at(-1).x];
  const areas = [0]; // under the line, from its beginning to each point
  for (let i = 1; i < points.length; i++)
    areas.push(areas[i - 1] + ((points[i].x - points[i - 1].x) * (points[i].y + points[i - 1].y)) / 2);
  const area = (x) => {
    const i = Math.max(1, points.findIndex((point) => point.x >= x));
    const [a, b] = [points[i - 1], points[i]];
    const y = b.x > a.x ? a.y + ((b.y - a.y) * (x - a.x)) / (b.x - a.x) : b.y;
    return areas[i - 1] + ((x - a.x) * (a.y + y)) / 2;
  };
  return points.map(({ x, y }) => {
    const reach = Math.min((last - first) / 10, x - first, last - x);
    return [x, reach > 0 ? (area(x + reach) - area(x - reach)) / (2 * reach) : y];
  });
}
function smooth(line) {
  const measured = line.cloneNode();
  measured.setAttribute("stroke-opacity", 0.3);
  line.before(measured);
  line.setAttribute("points", smoothed([...line.points]).map(([x, y]) => `${x},${y.toFixed(2)}`).join(" "));
}

const narrow = matchMedia("screen and (max-width: 640px)");
const redrawAll = () => document.querySelectorAll("figure").forEach(redraw);
narrow.addEventListener("change", redrawAll);
function redraw(figure) {
  const drawings = [...figure.querySelectorAll("template")];
  if (drawings.length === 0) return;
  figure.querySelector(".drawing")?.remove();
  const picture = figure.querySelector("picture");
  const isSmooth = chosen.smooth && figure.closest("section").querySelector("ul.legend") !== null;
  picture.hidden = drawings.some(({ content }) =>
    (isSmooth && longLines(content).length > 0) ||
    [...content.querySelectorAll("[data-arm]")].some((lines) => chosen.hidden.has(lines.dataset.arm)));
  if (!picture.hidden) return;
  const drawing = drawings.find((one) => one.hasAttribute("data-narrow") === narrow.matches) ?? drawings[0];
  const place = made("div", { className: "drawing", role: "img", ariaLabel: picture.querySelector("img").alt });
  place.append(drawing.content.cloneNode(true));
  for (const lines of place.querySelectorAll("[data-arm]"))
    if (chosen.hidden.has(lines.dataset.arm)) lines.remove();
  if (isSmooth) longLines(place).forEach(smooth);
  picture.after(place);
}

// Pictures: a click or Enter shows one large, Escape or a click closes it.
const dialog = document.getElementById("enlarged");
function enlargeable(image) {
  image.classList.add("enlargeable");
  image.tabIndex = 0;
  const open = () => {
    dialog.querySelector("img").src = image.currentSrc || image.src;
    dialog.querySelector("img").alt = image.alt;
    dialog.querySelector("p").textContent = image.alt;
    dialog.showModal();
  };
  image.addEventListener("click", open);
  image.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // the key would go on to the button that closes
    open();
  });
}
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.tagName === "IMG") dialog.close();
});
enhance(document);
