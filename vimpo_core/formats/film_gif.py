"""The film of a solution as an animated GIF: its tokens coloured step by step, with the problem, the run, the step and
the scale, readable at 800 pixels.

A GIF opens in slides, chats and READMEs without a player. It is drawn here, not in a browser, so the same film is the
same bytes and the command line makes it too. Colours are the app's theme, mixed as its style sheets mix them; the fonts
are those that come with matplotlib, so no machine draws it otherwise. Imports Pillow late.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import math
import tomllib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vimpo_core.mistake import Mistake
from vimpo_core.paths import ROOT
from vimpo_core.solutions import lenses
from vimpo_core.types import CreditTrace
from vimpo_core.views import credit_view

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

WIDTH = 800
MARGIN = 28
MOST_FRAMES = 120
MOST_ROWS = 12
"""Rows of tokens; of a longer solution those around the token that stands out, and what is left out is said."""
THEMES = ("light", "dark")
FIRST_MS, LAST_MS, WHOLE_MS = 1000, 2500, 8000
_NEAR_ZERO = 0.02
"""Of the scale: below it neither colour nor underline claims a sign, as in the browser (colours.js)."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    paper: Colour
    text: Colour
    blue: Colour
    orange: Colour
    red: Colour
    violet: Colour

    @property
    def faint(self) -> Colour:
        return mixed(self.paper, self.text, 0.72)


@dataclass(frozen=True)
class Cell:
    """A token and where it stands: x from the left, its row, its width."""

    index: int
    text: str
    x: int
    row: int
    width: int


@dataclass(frozen=True)
class Scale:
    """What the colours mean: `largest` is the strongest one, `centre` the value without colour."""

    lens: lenses.Lens
    largest: float
    centre: float
    middle: str

    def share(self, value: float) -> tuple[float, str]:
        """How strong a value is coloured, 0 to 1, and the sign that its colour claims: "+", "-" or ""."""
        if not math.isfinite(value) or not self.largest:
            return 0.0, ""
        share = min(1.0, abs(value - self.centre) / self.largest)
        if not self.lens.signed or share < _NEAR_ZERO:
            return share, ""
        return share, "+" if value > self.centre else "-"


def film_gif(
    frames: Sequence[CreditTrace],
    lens: str,
    beta: float,
    gae_lambda: float,
    about: dict,
    theme: str = "light",
    tell: Callable[[int, int], object] | None = None,
) -> bytes:
    """The file. The same arguments give the same bytes.

    Args:
        frames: of `film.film_solution`; of more than MOST_FRAMES so many are shown, evenly, with the last.
        lens: a key of `credit_view.FILM_LENSES`.
        about: {"title": the problem, "facts": lines below it}, from `formats.about`.
        theme: one of THEMES.
        tell: is told how many frames of how many are drawn.

    Raises:
        Mistake: the lens needs what was not recorded, or is none of a film; no such theme.
    """
    _check(frames, lens, beta, gae_lambda, theme)
    payload = credit_view.film_payload(frames, beta, gae_lambda)
    shown = [frames[i] for i in chosen(len(frames))]
    colours, scale = _theme(theme), _scale(payload, frames[0], lens)
    cells, left_out = laid_out(payload)
    still, top = _still(payload, about, colours, scale, cells, left_out)
    palette = Palette(colours)
    pictures = []
    for number, frame in enumerate(shown):
        values = lenses.lens_values([frame], 0, lens, beta, gae_lambda)
        picture = _frame(still, top, colours, scale, cells, values, payload, frame.step, frames[-1].step)
        pictures.append(palette.picture(picture))
        if tell is not None:
            tell(number + 1, len(shown))
    return _joined(pictures)


def chosen(count: int) -> list[int]:
    """Which frames of a film are shown: all, or MOST_FRAMES evenly, the first and the last among them."""
    if count <= MOST_FRAMES:
        return list(range(count))
    return [round(i * (count - 1) / (MOST_FRAMES - 1)) for i in range(MOST_FRAMES)]


def _check(frames, lens: str, beta: float, gae_lambda: float, theme: str) -> None:
    if theme not in THEMES:
        raise Mistake(f"there is no theme {theme!r}. Choose from {', '.join(THEMES)}.")
    if lens not in credit_view.FILM_LENSES:
        raise Mistake(f"a film has no lens {lens!r}. Choose from {', '.join(credit_view.FILM_LENSES)}.")
    if lenses.lens_values(frames[:1], 0, lens, beta, gae_lambda) is None:
        raise Mistake(f"{lenses.LENSES[lens].label} was not recorded for this solution. Choose another lens.")


def _scale(payload: dict, trace: CreditTrace, lens: str) -> Scale:
    """One scale for all frames, that of the film strip. V is coloured by its distance from R."""
    kind = lenses.LENSES[lens]
    is_value = lens in lenses.VALUE_LENSES
    return Scale(kind, payload["scales"][kind.scale], trace.reward if is_value else 0.0, "R" if is_value else "0")


# --- colours and letters ---------------------------------------------------------------------------------------------


def mixed(paper: Colour, ink: Colour, share: float) -> Colour:
    """Ink of an opacity on paper."""
    r, g, b = (round(p + (i - p) * share) for p, i in zip(paper, ink, strict=True))
    return r, g, b


@functools.lru_cache(maxsize=2)
def _theme(name: str) -> Theme:
    """The app's own colours."""
    settings = tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"][name]

    def colour(key: str, usual: str = "") -> Colour:
        text = settings.get(key, usual)
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)

    violet = colour("violetColor", "#803df5" if name == "light" else "#b27eff")
    paper, text, blue, orange, red = (colour(f"{key}Color") for key in ("background", "text", "blue", "orange", "red"))
    return Theme(paper, text, blue, orange, red, violet)


def _paper_of(theme: Theme, share: float, sign: str, is_signed: bool) -> Colour:
    """As tokens.css has it: 65 % of a hue at the end of the scale, 34 % of the text's colour where there is no sign."""
    if not is_signed:
        return mixed(theme.paper, theme.text, 0.34 * share)
    hue = {"+": theme.blue, "-": theme.orange}.get(sign, theme.paper)
    return mixed(theme.paper, hue, 0.65 * share)


class Palette:
    """256 colours for every frame alike, and which of them is nearest to any other. Pillow's own search is rough: it
    tints white paper."""

    def __init__(self, theme: Theme):
        self.colours = np.array(_colours(theme), dtype=np.int32)
        self._nearest = np.full(1 << 24, -1, dtype=np.int16)

    def picture(self, image: Image.Image) -> Image.Image:
        from PIL import Image

        packed = (np.asarray(image, dtype=np.int32) * (65536, 256, 1)).sum(axis=2)
        if len(new := np.unique(packed[self._nearest[packed] < 0])):
            parts = np.stack([new >> 16, (new >> 8) & 255, new & 255], axis=1)
            distance = ((parts[:, None] - self.colours[None]) ** 2).sum(axis=2)
            self._nearest[new] = distance.argmin(axis=1)
        found = Image.fromarray(self._nearest[packed].astype(np.uint8), "P")
        found.putpalette(self.colours.astype(np.uint8).tobytes())
        return found


def _colours(theme: Theme) -> list[Colour]:
    """The ramps, and each ink on each paper as letters' edges mix them."""
    ramps = [mixed(theme.paper, hue, 0.65 * i / 20) for hue in (theme.blue, theme.orange) for i in range(1, 21)]
    ramps += [mixed(theme.paper, theme.text, 0.34 * i / 10) for i in range(1, 11)]
    found = [theme.paper, theme.text, *ramps]
    found += [mixed(paper, theme.text, i / 4) for paper in ramps[3::4] + ramps[-1:] for i in range(1, 4)]
    found += [mixed(theme.paper, theme.text, i / 12) for i in range(1, 12)]
    underlines = [(hue, i) for hue in (theme.blue, theme.orange) for i in range(9)]
    found += [mixed(theme.paper, hue, 0.35 + 0.65 * i / 8) for hue, i in underlines]
    found += [mixed(theme.paper, hue, i / 4) for hue in (theme.red, theme.violet, theme.faint) for i in range(1, 5)]
    return list(dict.fromkeys(found))[:256]


@functools.lru_cache(maxsize=16)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


WORDS, BOLD, CODE = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"
TOKEN_SIZE, ROW = 22, 44
LONG_TITLE = 160
"""Letters above which a problem is written smaller."""


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
    """A text in lines that fit; a word that is longer than a line is cut, and what has no room says so."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            while font.getlength(word) > width:
                cut = max(1, _fitting(word, font, width))
                lines += [part for part in (line, word[:cut]) if part]
                line, word = "", word[cut:]
            together = f"{line} {word}" if line else word
            if font.getlength(together) <= width:
                line = together
            else:
                lines.append(line)
                line = word
        if line:
            lines.append(line)
        if len(lines) > most:
            break
    if len(lines) <= most:
        return lines
    last = lines[most - 1]
    return [*lines[: most - 1], last[: _fitting(last, font, width - font.getlength(" …"))] + " …"]


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: float) -> int:
    """How many of its letters have room."""
    return bisect_right(range(1, len(text) + 1), width, key=lambda count: font.getlength(text[:count]))


# --- where the tokens stand ------------------------------------------------------------------------------------------


def laid_out(payload: dict) -> tuple[list[Cell], tuple[int, int]]:
    """The tokens that are drawn, in rows that fit, and how many stand before and behind them.

    A step of a solution stays in one row where it fits; a text with line breaks begins a row at each.
    """
    texts, starts = payload["text"], [*payload["line_starts"], len(payload["text"])]
    is_text = any("⏎" in text for text in texts)
    widths = _widths(payload)
    room = WIDTH - 2 * MARGIN
    cells: list[Cell] = []
    x = row = 0
    for first, last in pairwise(starts):
        if x and (is_text or x + sum(widths[first:last]) > room):
            x, row = 0, row + 1
        for t in range(first, last):
            if x and x + widths[t] > room:
                x, row = 0, row + 1
            cells.append(Cell(t, texts[t], x, row, min(widths[t], room)))
            x += widths[t]
    return _window(cells, payload["first_wrong"])


def _widths(payload: dict) -> list[int]:
    font = _font(CODE, TOKEN_SIZE)
    widths = [math.ceil(font.getlength(text)) + 5 for text in payload["text"]]
    for first, last, text in payload["units"]:  # several tokens that are one character
        widths[first:last] = [max(8, math.ceil((font.getlength(text) + 8) / (last - first)))] * (last - first)
    return widths


def _window(cells: list[Cell], marked: int | None) -> tuple[list[Cell], tuple[int, int]]:
    rows = cells[-1].row + 1 if cells else 0
    at = next((cell.row for cell in cells if cell.index == marked), 0)
    first = max(0, min(at - MOST_ROWS // 2, rows - MOST_ROWS))
    kept = [cell for cell in cells if first <= cell.row < first + MOST_ROWS]
    moved = [Cell(c.index, c.text, c.x, c.row - first, c.width) for c in kept]
    before = kept[0].index if kept else 0
    return moved, (before, len(cells) - before - len(kept))


# --- drawing ---------------------------------------------------------------------------------------------------------


def _still(payload, about, theme: Theme, scale: Scale, cells, left_out) -> tuple[Image.Image, int]:
    """All that does not change, and where what does begins."""
    from PIL import Image, ImageDraw

    lens = scale.lens
    heading = f"{lens.label} {lens.symbol}" + (f", in {lens.unit}" if lens.unit else "")
    size = 16 if len(about["title"]) > LONG_TITLE else 21
    texts = [(line, _font(BOLD, size), theme.text) for line in _wrap(about["title"], BOLD, size, 12)]
    texts += [(line, _font(WORDS, 14), theme.faint) for fact in about["facts"] for line in _wrap(fact, WORDS, 14, 4)]
    texts += [(line, _font(BOLD, 17), theme.text) for line in _wrap(heading, BOLD, 17, 2)]
    y, places = MARGIN, []
    for line, font, colour in texts:
        y += 8 if font is _font(BOLD, 17) else 0
        places.append((y, line, font, colour))
        y += round(1.4 * font.size)
    top = y + 10
    rows = cells[-1].row + 1 if cells else 1
    legend = top + 52 + rows * ROW + (22 if any(left_out) else 0) + 6
    image = Image.new("RGB", (WIDTH, legend + 96), theme.paper)
    draw = ImageDraw.Draw(image)
    for at, line, font, colour in places:
        draw.text((MARGIN, at), line, font=font, fill=colour)
    if any(left_out):
        said = " and ".join(f"{n} {where}" for n, where in zip(left_out, ("before", "behind"), strict=True) if n)
        draw.text((MARGIN, legend - 26), f"Tokens left out: {said}", font=_font(WORDS, 14), fill=theme.faint)
    _legend(draw, payload, theme, scale, legend)
    return image, top


def _wrap(text: str, font: str, size: int, most: int) -> list[str]:
    return wrapped(text, _font(font, size), WIDTH - 2 * MARGIN, most)


def _legend(draw: ImageDraw.ImageDraw, payload: dict, theme: Theme, scale: Scale, y: int) -> None:
    width, font = 220, _font(WORDS, 14)
    for i in range(width):
        at = (2 * i / (width - 1) - 1) if scale.lens.signed else i / (width - 1)
        colour = _paper_of(theme, abs(at), "+" if at > 0 else "-", scale.lens.signed)
        draw.line((MARGIN + i, y, MARGIN + i, y + 11), fill=colour)
    draw.rectangle((MARGIN, y, MARGIN + width, y + 12), outline=mixed(theme.paper, theme.text, 0.25))
    largest = f"{scale.largest:g}"
    ends = [f"−{largest}", scale.middle, f"+{largest}"] if scale.lens.signed else ["0", "", largest]
    for text, end, anchor in zip(ends, (MARGIN, MARGIN + width // 2, MARGIN + width), ("la", "ma", "ra"), strict=True):
        draw.text((end, y + 17), text, font=font, fill=theme.faint, anchor=anchor)
    x: float = MARGIN + width + 26
    if scale.lens.signed:
        above, below = ("above R", "below R") if scale.middle == "R" else ("positive", "negative")
        for said, colour, dash in ((above, theme.blue, 0), (below, theme.orange, 5)):
            draw.text((x, y - 2), said, font=font, fill=theme.faint)
            length = font.getlength(said)
            _underline(draw, x, x + length, y + 18, colour, dash)
            x += length + 18
    if payload["first_wrong"] is not None:
        said = "first wrong token"
        draw.text((x, y - 2), said, font=font, fill=theme.faint)
        _underline(draw, x, x + font.getlength(said), y + 18, theme.red, 0)
    small = _font(WORDS, 12)
    draw.text((MARGIN, y + 52), "VIMPO Lab. One scale for all steps.", font=small, fill=theme.faint)


def _underline(draw: ImageDraw.ImageDraw, x1: float, x2: float, y: int, colour: Colour, dash: int) -> None:
    for start, end in _dashes(round(x1), round(x2), dash):
        draw.rectangle((start, y, end - 1, y + 2), fill=colour)


def _dashes(start: int, end: int, dash: int) -> Iterator[tuple[int, int]]:
    if not dash:
        yield start, end
        return
    for x in range(start, end, dash + 3):
        yield x, min(end, x + dash)


def _frame(still, top, theme: Theme, scale: Scale, cells, values, payload, step: int, last: int) -> Image.Image:
    from PIL import ImageDraw

    image = still.copy()
    draw = ImageDraw.Draw(image)
    _clock(draw, theme, top, step, last)
    glyphs = {first: (last, text) for first, last, text in payload["units"]}
    parts = {t for first, last, _ in payload["units"] for t in range(first, last)}
    y0, font = top + 46, _font(CODE, TOKEN_SIZE)
    for cell in cells:
        x, y = MARGIN + cell.x, y0 + cell.row * ROW
        value = math.nan if values is None else float(values[cell.index])
        share, sign = scale.share(value)
        paper = _paper_of(theme, share, sign, scale.lens.signed)
        draw.rectangle((x, y, x + cell.width - 2, y + 29), fill=paper)
        if sign:
            ink = mixed(theme.paper, theme.blue if sign == "+" else theme.orange, 0.35 + 0.65 * share)
            _underline(draw, x, x + cell.width - 1, y + 30, ink, 0 if sign == "+" else 5)
        if cell.index == payload["first_wrong"]:
            _underline(draw, x, x + cell.width - 1, y + 35, theme.red, 0)
        if cell.index in parts:
            continue
        draw.text((x + (cell.width - 1) / 2, y + 15), cell.text, font=font, fill=theme.text, anchor="mm")
    for cell in cells:
        if cell.index in glyphs:
            behind, text = glyphs[cell.index]
            x = MARGIN + cell.x + cell.width * (behind - cell.index) / 2
            draw.text((x, y0 + cell.row * ROW + 15), text, font=font, fill=theme.text, anchor="mm")
    return image


def _clock(draw: ImageDraw.ImageDraw, theme: Theme, y: int, step: int, last: int) -> None:
    """The step in large figures, and a bar for how far training was."""
    big, small = _font(BOLD, 24), _font(WORDS, 15)
    said = f"step {step}"
    draw.text((MARGIN, y), said, font=big, fill=theme.text)
    behind = MARGIN + max(big.getlength(said), big.getlength(f"step {last}")) + 10
    draw.text((behind, y + 8), f"of {last}", font=small, fill=theme.faint)
    left, right = round(behind + small.getlength(f"of {last}") + 18), WIDTH - MARGIN
    draw.rectangle((left, y + 14, right, y + 17), fill=mixed(theme.paper, theme.text, 0.2))
    at = right if not last else left + round((right - left) * step / last)
    draw.rectangle((left, y + 14, max(left, at), y + 17), fill=theme.text)


def _joined(pictures: Sequence[Image.Image]) -> bytes:
    usual = min(700, max(80, WHOLE_MS // max(1, len(pictures))))
    durations = [FIRST_MS, *[usual] * (len(pictures) - 2), LAST_MS] if len(pictures) > 1 else [LAST_MS]
    file = io.BytesIO()
    pictures[0].save(
        file, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False, disposal=1
    )
    return file.getvalue()
