"""What the browser tests look at, and how long they wait for it."""

from tests.support.browser import scrolls_sideways

BUNDLED = "vimpo-beta-0.3"
SETTLED_MS = 400
"""A selection is reported 150 ms after it was made: after this time a frame would have been sent."""


def expect_no_sideways_scrolling(page, height=1000):
    for width in (1440, 800, 390):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(SETTLED_MS)
        assert not scrolls_sideways(page), width


def cut_words(page):
    """Words of plots that reach out of their picture, which cuts them; pictures in shadow roots too."""
    return page.evaluate(
        """() => {
            const cut = [];
            const look = (root) => {
                for (const text of root.querySelectorAll("svg text")) {
                    const word = text.getBoundingClientRect(), picture = text.ownerSVGElement.getBoundingClientRect();
                    const fits = word.left >= picture.left - 1 && word.right <= picture.right + 1
                        && word.top >= picture.top - 1 && word.bottom <= picture.bottom + 1;
                    if (word.width > 0 && !fits) cut.push(text.textContent);
                }
                for (const one of root.querySelectorAll("*")) if (one.shadowRoot) look(one.shadowRoot);
            };
            look(document);
            return cut;
        }"""
    )
