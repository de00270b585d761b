// What must hold of a page; each gives a list of what breaks it.
const told = (element) =>
  `<${element.tagName.toLowerCase()} class="${element.className}"> ${element.textContent.trim().slice(0, 60)}`;
const inView = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

// Pictures that did not load, are empty, or say nothing to those who cannot see them.
async function pictures() {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const all = [...document.images].filter((image) => !image.closest("dialog"));
  for (const image of all) {
    image.scrollIntoView();
    await image.decode().catch(() => {});
  }
  window.scrollTo(0, 0);
  return [
    ...(all.length ? [] : ["no picture at all"]),
    ...all
      .filter((image) => !image.complete || image.naturalWidth === 0 || image.alt.trim().length < 10)
      .map((image) => `${image.naturalWidth} px: ${image.alt}`),
  ];
}

// Text whose contrast with what lies under it is below 4.5 : 1 (WCAG AA).
function contrast() {
  // rgb(0 to 255) or, of a mixed colour, color(srgb 0 to 1)
  const channels = (colour) => {
    const scale = colour.startsWith("color(") ? 255 : 1;
    const [r, g, b, opacity = 1] = colour.match(/[\d.]+(?:e-?\d+)?/g).map(Number);
    return { r: r * scale, g: g * scale, b: b * scale, opacity };
  };
  const luminance = ({ r, g, b }) => {
    const linear = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  };
  const over = (above, below) => {
    const mixed = (channel) => above.opacity * above[channel] + (1 - above.opacity) * below[channel];
    return { r: mixed("r"), g: mixed("g"), b: mixed("b"), opacity: 1 };
  };
  const paper = (element) => {
    if (!element) return { r: 255, g: 255, b: 255, opacity: 1 };
    const colour = channels(getComputedStyle(element).backgroundColor);
    return colour.opacity === 1 ? colour : over(colour, paper(element.parentElement));
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !inView(element) || element.closest("svg, script, style, template")) continue;
    const [ink, under] = [channels(getComputedStyle(element).color), paper(element)].map(luminance);
    const ratio = (Math.max(ink, under) + 0.05) / (Math.min(ink, under) + 0.05);
    if (ratio < 4.5) found.add(`${ratio.toFixed(2)}: ${told(element)}`);
  }
  return [...found];
}

// What reaches over the right edge: of the page or, unless it can be scrolled to, of whatever clips it.
function overflow(mayScroll) {
  const width = document.documentElement.clientWidth;
  const found = [];
  if (document.documentElement.scrollWidth > width)
    found.push(`the page is ${document.documentElement.scrollWidth} wide, not ${width}`);
  for (const element of document.querySelectorAll("body *")) {
    if (!inView(element) || element.closest("svg, .skip, dialog")) continue;
    const style = getComputedStyle(element);
    const clips = style.overflowX === "hidden" || style.overflowX === "clip" || (!mayScroll && style.overflowX !== "visible");
    if (clips && element.scrollWidth > element.clientWidth + 1) found.push(`clipped: ${told(element)}`);
    if (element.closest("table, pre")) continue;
    if (element.getBoundingClientRect().right > width + 1) found.push(`beyond the edge: ${told(element)}`);
  }
  return found;
}
