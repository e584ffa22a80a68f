// What can be seen to be wrong on a page as it is drawn: it scrolls sideways, words lie on words, words are cut, words are
// faint, a box scrolls sideways without saying so. Open shadow roots are looked into. `window.pageFaults()` lists them.
(() => {
  const HIDES = new Set(["hidden", "clip"]);
  const SCROLLS = new Set(["auto", "scroll"]);
  const LARGE = 24, LARGE_BOLD = 18.66;
  const styles = new Map();
  const styleOf = (node) => styles.get(node) ?? (styles.set(node, getComputedStyle(node)), styles.get(node));
  const around = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host ?? null;

  function chainOf(node) {
    const chain = [];
    for (let at = node; at; at = around(at)) chain.push(at);
    return chain;
  }

  function* elements(root) {
    for (const node of root.querySelectorAll("*")) {
      yield node;
      if (node.shadowRoot) yield* elements(node.shadowRoot);
    }
  }

  const shorten = (text) => text.replace(/\s+/g, " ").trim().slice(0, 60);

  function nameOf(node) {
    const names = [];
    for (let at = node; at && names.length < 3; at = around(at)) {
      const id = at.dataset?.testid ?? at.className?.baseVal ?? at.className;
      names.unshift(at.tagName.toLowerCase() + (id ? "." + String(id).split(" ").slice(0, 2).join(".") : ""));
    }
    return names.join(" > ");
  }

  // --- the words that are seen --------------------------------------------------------------------------------------

  // The part of a box that is seen, were the page as high as it is long; and what cuts off the rest for good.
  function letThrough(rect, chain) {
    let { left, right, top, bottom } = rect;
    let cutBy = null, canScrollX = false, canScrollY = false;
    const beyond = 0.35 * (bottom - top);
    for (const node of chain) {
      const style = styleOf(node);
      if (node.dataset.testid === "stMain") break;
      if (style.display === "contents" || style.display === "inline") continue;
      const { overflowX, overflowY } = style;
      if (overflowX === "visible" && overflowY === "visible") continue;
      const box = node.getBoundingClientRect();
      if (overflowX !== "visible") {
        if (HIDES.has(overflowX) && !canScrollX && (left < box.left - 2 || right > box.right + 2)) cutBy ??= node;
        canScrollX ||= SCROLLS.has(overflowX);
        left = Math.max(left, box.left);
        right = Math.min(right, box.right);
      }
      if (overflowY !== "visible") {
        if (HIDES.has(overflowY) && !canScrollY && (top < box.top - beyond || bottom > box.bottom + beyond)) cutBy ??= node;
        canScrollY ||= SCROLLS.has(overflowY);
        top = Math.max(top, box.top);
        bottom = Math.min(bottom, box.bottom);
      }
    }
    return { left, right, top, bottom, cutBy };
  }

  function isSeen(node, chain) {
    if (!node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return false;
    return !chain.some((at) => {
      const style = styleOf(at);
      const isTiny = style.position === "absolute" && at.clientWidth <= 2 && at.clientHeight <= 2 && style.overflowX !== "visible";
      return isTiny || (style.clipPath !== "none" && at.clientWidth <= 2);
    });
  }

  function wordsOf(node) {
    return [...node.childNodes].filter((child) => child.nodeType === 3 && /[^\s\u200b]/.test(child.data));
  }

  function seenWords() {
    const found = [];
    for (const node of elements(document)) {
      if (["SCRIPT", "STYLE", "TITLE", "DESC", "OPTION", "NOSCRIPT"].includes(node.tagName.toUpperCase())) continue;
      const texts = wordsOf(node);
      if (!texts.length) continue;
      const chain = chainOf(node);
      if (!isSeen(node, chain)) continue;
      const size = parseFloat(styleOf(node).fontSize);
      for (const text of texts) {
        const range = document.createRange();
        range.selectNodeContents(text);
        const rects = [...range.getClientRects()].filter((rect) => rect.width > 0.5 && rect.height > 0.5);
        if (rects.length) found.push({ node, chain, text, size, rects });
      }
    }
    return found;
  }

  // --- what is wrong with them --------------------------------------------------------------------------------------

  // Formulas are set by KaTeX, which lays accents and bars on letters.
  const formulaOf = (chain) => chain.find((node) => node.classList?.contains("katex"));
  const svgOf = (chain) => chain.find((node) => node instanceof SVGSVGElement);

  function floats(chain, other) {
    const theirs = new Set(other);
    return chain.some((node) => {
      if (theirs.has(node)) return false;
      const style = styleOf(node);
      if (!["sticky", "fixed", "absolute"].includes(style.position)) return false;
      return colourOf(style.backgroundColor)[3] > 0.9;
    });
  }

  function overlaps(words) {
    const boxes = words.flatMap((word) => word.rects.map((rect) => {
      const seen = letThrough(rect, word.chain);
      const middle = (rect.top + rect.bottom) / 2, half = 0.32 * word.size;
      return { word, left: seen.left + 0.5, right: seen.right - 0.5, top: Math.max(seen.top, middle - half), bottom: Math.min(seen.bottom, middle + half) };
    })).filter((box) => box.right > box.left && box.bottom > box.top).sort((a, b) => a.top - b.top);
    const found = [];
    boxes.forEach((a, i) => {
      for (let j = i + 1; j < boxes.length && boxes[j].top < a.bottom - 1; j++) {
        const b = boxes[j];
        if (a.word === b.word) continue;
        const narrower = Math.min(a.right - a.left, b.right - b.left);
        if (Math.min(a.right, b.right) - Math.max(a.left, b.left) <= Math.min(1.5, 0.1 * narrower)) continue;
        if (Math.min(a.bottom, b.bottom) - b.top <= 1.5) continue;
        const formula = formulaOf(a.word.chain);
        if (formula && formula === formulaOf(b.word.chain)) continue;
        if (floats(a.word.chain, b.word.chain) || floats(b.word.chain, a.word.chain)) continue;
        found.push({ kind: "overlap", where: nameOf(a.word.node), text: `${shorten(a.word.text.data)} / ${shorten(b.word.text.data)}` });
      }
    });
    return found;
  }

  function cuts(words) {
    const found = [];
    for (const { node, chain, text, rects } of words) {
      if (chain.some((at) => at.title || at.dataset?.cut !== undefined)) continue;
      const by = rects.map((rect) => letThrough(rect, chain).cutBy).find(Boolean);
      if (by) found.push({ kind: "cut", where: `${nameOf(node)} by ${nameOf(by)}`, text: shorten(text.data) });
    }
    for (const input of elements(document)) {
      if (!(input instanceof HTMLInputElement) || !["text", "search", "number"].includes(input.type) || !input.value || input.title) continue;
      if (input.checkVisibility() && input.scrollWidth > input.clientWidth + 1 && input.clientWidth > 4) {
        found.push({ kind: "cut", where: nameOf(input), text: `${shorten(input.value)} (${input.scrollWidth} in ${input.clientWidth})` });
      }
    }
    return found;
  }

  function sideways() {
    const found = [];
    for (const box of [document.documentElement, document.querySelector('[data-testid="stMain"]')]) {
      if (box.scrollWidth <= box.clientWidth) continue;
      let widest = null;
      for (const node of elements(box)) {
        const right = node.getBoundingClientRect().right;
        if (node.clientWidth && (!widest || right > widest.right)) widest = { right, node };
      }
      found.push({ kind: "sideways", where: nameOf(widest?.node ?? box), text: `${box.scrollWidth} in ${box.clientWidth}` });
    }
    for (const node of elements(document)) {
      const style = styleOf(node);
      if (!SCROLLS.has(style.overflowX) || node.scrollWidth <= node.clientWidth + 2 || !node.clientWidth) continue;
      if (node.dataset.testid === "stMain" || !isSeen(node, chainOf(node))) continue;
      if (style.backgroundAttachment.includes("local") || node.dataset.scrolls !== undefined) continue;
      found.push({ kind: "silent", where: nameOf(node), text: `${node.scrollWidth} in ${node.clientWidth}: ${shorten(node.textContent)}` });
    }
    return found;
  }

  // --- contrast -----------------------------------------------------------------------------------------------------

  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colours = new Map();

  // [red, green, blue, alpha], each from 0 to 255 but alpha, which is from 0 to 1, of any colour that CSS writes.
  function colourOf(css) {
    if (!colours.has(css)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = "#000";
      canvas.fillStyle = css;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      colours.set(css, css === "none" ? [0, 0, 0, 0] : [r, g, b, a / 255]);
    }
    return colours.get(css);
  }

  const mixed = (over, under, alpha) => [0, 1, 2].map((i) => alpha * over[i] + (1 - alpha) * under[i]);
  const laid = (over, under) => mixed(over, under, over[3]);

  function luminance(colour) {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrastOf(word) {
    const { chain, node } = word;
    const rect = letThrough(word.rects[0], chain), x = (rect.left + rect.right) / 2, y = (rect.top + rect.bottom) / 2;
    const isBehind = (box) => box.left <= x && box.right >= x && box.top <= y && box.bottom >= y;
    let under = [255, 255, 255], isOnPage = false;
    const fades = [];
    for (const at of [...chain].reverse()) {
      isOnPage ||= at.dataset.testid === "stMain"; // what lies around it is as high as the window
      const style = styleOf(at), before = under;
      const colour = colourOf(style.backgroundColor);
      if (colour[3] && (!isOnPage || style.display === "inline" || isBehind(at.getBoundingClientRect()))) under = laid(colour, under);
      if (Number(style.opacity) < 1) fades.unshift([Number(style.opacity), before]);
    }
    const svg = svgOf(chain);
    if (svg) under = shapesUnder(svg, node, isBehind).reduce((below, colour) => laid(colour, below), under);
    let ink = laid(colourOf(svg ? styleOf(node).fill : styleOf(node).color), under);
    for (const [opacity, before] of fades) [ink, under] = [mixed(ink, before, opacity), mixed(under, before, opacity)];
    const [light, dark] = [luminance(ink), luminance(under)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }

  function shapesUnder(svg, text, isBehind) {
    const found = [];
    for (const shape of svg.querySelectorAll("rect, circle")) {
      if (!(shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING) || !shape.checkVisibility()) continue;
      const style = styleOf(shape);
      if (!isBehind(shape.getBoundingClientRect()) || style.fill === "none" || style.fill.startsWith("url")) continue;
      const [r, g, b, a] = colourOf(style.fill);
      found.push([r, g, b, a * Number(style.fillOpacity) * Number(style.opacity)]);
    }
    return found;
  }

  // A button or field that cannot be used just now may be pale; what it offers to read may not.
  const isOff = (chain) => chain.some((node) => node.matches?.(":disabled, [aria-disabled='true']"));

  function faint(words) {
    return words.filter(({ chain }) => !isOff(chain)).flatMap((word) => {
      const isBold = Number(styleOf(word.node).fontWeight) >= 700;
      const needs = word.size >= LARGE || (isBold && word.size >= LARGE_BOLD) ? 3 : 4.5;
      const has = contrastOf(word);
      if (has >= needs - 0.01) return [];
      return [{ kind: "faint", where: nameOf(word.node), text: `${has.toFixed(2)}: ${shorten(word.text.data)}` }];
    });
  }

  window.pageFaults = () => {
    styles.clear();
    const words = seenWords();
    return { words: words.length, faults: [...sideways(), ...overlaps(words), ...cuts(words), ...faint(words)] };
  };
})();
