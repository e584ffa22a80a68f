"""The words that a reader of a page has before them without opening anything: those of components in shadow roots too,
not those of menus, folded parts, tooltips and what only a screen reader hears. Tokens of a solution are what is
looked at, not words that have to be read, and neither are numbers and symbols: a word has two letters.
"""

from __future__ import annotations

from playwright.sync_api import Page

_SEEN = r"""() => {
    const leftOut = '.token, .glyph, .katex-mathml, .live, .curve-token, script, style, '
        + '[data-testid="stIconMaterial"], [role="img"][aria-label$=" icon"]';
    const isHeardOnly = (style) => style.clipPath === 'inset(50%)' || style.clip === 'rect(0px, 0px, 0px, 0px)';
    const found = [];
    const look = (node) => {
        if (node.nodeType === Node.TEXT_NODE) {
            found.push(node.data);
            return;
        }
        if (node.nodeType === Node.ELEMENT_NODE) {
            if (node.matches(leftOut) || !node.checkVisibility({ opacityProperty: true, visibilityProperty: true })) {
                if (getComputedStyle(node).display !== 'contents') return;
            }
            if (isHeardOnly(getComputedStyle(node))) return;
            if (node.tagName === 'SELECT') return void found.push(` ${node.selectedOptions[0]?.text ?? ''} `);
            if (node.tagName === 'INPUT' && node.type === 'text') found.push(` ${node.value} `);
        }
        const gap = /^(inline|contents)$/.test(getComputedStyle(node).display) ? '' : ' ';
        found.push(gap);
        for (const child of (node.shadowRoot ?? node).childNodes) look(child);
        found.push(gap);
    };
    look(document.querySelector('[data-testid="stMain"]'));
    return found.join('').split(/\s+/).filter((word) => /\p{L}.*\p{L}/u.test(word));
}"""


def words_seen(page: Page) -> list[str]:
    return page.evaluate(_SEEN)
