// Texts with less contrast than WCAG's level AA asks for.
() => {
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const read = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const under = (node) => { for (; node; node = node.parentElement) { const c = read(getComputedStyle(node).backgroundColor); if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    if (!node.checkVisibility() || node.matches(":disabled, :disabled *, .unseen, .skip")) continue;
    if (![...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim())) continue;
    const a = light(read(getComputedStyle(node).color).slice(0, 3)), b = light(under(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${node.className || node.tagName}: ${node.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return found;
}
