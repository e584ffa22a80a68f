// Text broken into lines that fit, since SVG breaks none.

// width: of a line, in what `measure(text)` gives; most: lines, of which the last one says that there is more.
export function wrapped(text, width, measure, most = Infinity) {
  const lines = text.split("\n").flatMap((line) => brokenAt(line.trim(), width, measure)).filter(Boolean);
  if (lines.length <= most) return lines;
  let last = lines[most - 1];
  while (last && measure(`${last} …`) > width) last = [...last].slice(0, -1).join("");
  return [...lines.slice(0, most - 1), `${last} …`];
}

function brokenAt(text, width, measure) {
  const lines = [""];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const together = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (measure(together) <= width) lines[lines.length - 1] = together;
    else if (measure(word) <= width) lines.push(word);
    else lines.push(...cut(word, width, measure));
  }
  return lines;
}

// A word that is longer than a line.
function cut(word, width, measure) {
  const pieces = [""];
  for (const letter of word) {
    if (pieces.at(-1) && measure(pieces.at(-1) + letter) > width) pieces.push("");
    pieces[pieces.length - 1] += letter;
  }
  return pieces;
}
