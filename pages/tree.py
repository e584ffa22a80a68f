"""Tree lab: a token tree small enough to know everything about, with both optima and the descents that lead to them."""

import streamlit as st

from app.tree import tree_lab


def main():
    st.markdown("### Tree lab")
    st.markdown(
        "A model that writes a few tokens, drawn whole: every way down is a solution, rewarded 1 or 0 at its leaf. The "
        "reference is where training starts, and β says how much reward one nat of moving away from it costs. Descent "
        "on the value loss ends at the **local fixed point**; leave its KL term κ out, and the same descent ends at "
        "another policy, the **soft optimum**. Press Play to watch, move β, and walk a path to see its terms add up."
    )
    tree_lab.show()


main()
