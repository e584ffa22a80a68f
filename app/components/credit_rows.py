"""One solution in three rows on one scale: what GRPO pushes, what VIMPO pushes, what is read off; sliders for lambda
and beta move the picture in the browser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from app.components.aligned_strips import Row
from app.components.assets import as_data, register
from vimpo_core.views.payload import with_version

_mount = register("credit_rows", "tokens")


def credit_rows(payload: dict, *, key: str, more: Sequence[Row] = (), is_told: bool = True) -> None:
    """Draw a solution. Nothing that is moved or chosen here makes Python run.

    Args:
        payload: of `vimpo_core.views.credit_rows.credit_rows`; key: of the component.
        more: rows below the three, as they are: `label`, `says`, `values` with a `scale` of their own (None: that of
            the three; no values: the tokens without colours, `picks` outlined), `note` what follows; `absent` stands in
            place of the tokens.
        is_told: whether a sentence stands beside each of the three rows.
    """
    data = with_version(payload | {"more": [asdict(row) for row in more], "told": is_told})
    _mount(key=key, data=as_data(data), height="content")
