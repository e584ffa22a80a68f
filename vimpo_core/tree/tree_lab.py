"""A small token tree as numbers to draw: probabilities, values and terms under each policy, and both descents. NumPy
only.

Nodes are listed depth by depth, the root first, in `tabular`'s order: node i of depth d is prefix i, and everything a
node holds about a choice (its probability, its rho) is that of the edge which leads to it.

Rewards travel as whole thousandths, probabilities as ten-thousandths. Only two rounded numbers say all terms of a path,
so that what is shown adds up to the last digit: V_t at each node and kappa at each choice. A drawing takes

    delta = V(sa) - V(s),   rho = delta + kappa (rho = delta without kappa),   residual = V(leaf) - R

which is off from the exact delta by at most one thousandth and from the exact rho by at most one and a half.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from vimpo_core.mistake import Mistake
from vimpo_core.tree import tabular
from vimpo_core.tree.tabular import Levels, Tree

MOST_LEAVES = 256
REWARD_UNIT = 1000
PROBABILITY_UNIT = 10_000
STEPS, LEARNING_RATE = 60, 0.15
"""Of a descent: slow enough to follow by eye, and within 0.01 in path total variation of its end for beta 0.02 to 2."""
DESCENTS = {"kappa": True, "rho": False}
"""Which loss descends -> whether it has the term kappa."""
FRAME_ARRAYS = ("probability", "plain", "implied", "kappa")
_INT16 = 2**15 - 1


@dataclass(frozen=True)
class TreeSettings:
    """What a tree is made from.

    share: percent of leaves that the seed rewards; rewards: one 0 or 1 a leaf in place of the seed's, or None.
    edited: (prefix, percent of each token) for choices whose reference is not the seed's; a prefix is a tuple of
        tokens.

    Raises Mistake where something does not fit; the message says what may be given.
    """

    vocab: int = 3
    depth: int = 3
    seed: int = 53
    share: int = 40
    beta: float = 0.2
    rewards: tuple[int, ...] | None = None
    edited: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()

    def __post_init__(self):
        leaves = self.vocab**self.depth
        if leaves > MOST_LEAVES:
            raise Mistake(
                f"a tree of {self.vocab} tokens and depth {self.depth} has {leaves:,} leaves, more than the "
                f"{MOST_LEAVES} that can be drawn. Lower the depth or the number of tokens."
            )
        if self.rewards is not None and (len(self.rewards) != leaves or not set(self.rewards) <= {0, 1}):
            raise Mistake(f"rewards must be {leaves} numbers 0 or 1, one a leaf, got {len(self.rewards)} numbers.")
        for prefix, percents in self.edited:
            if len(prefix) >= self.depth or not all(0 <= token < self.vocab for token in prefix):
                raise Mistake(f"an edited reference names prefix {prefix}, which this tree has not.")
            if len(percents) != self.vocab or min(percents) < 1 or sum(percents) != 100:
                raise Mistake(
                    f"an edited reference needs {self.vocab} percentages of at least 1 that sum to 100, got {percents}."
                )


def most_depth(vocab: int, depths: tuple[int, ...]) -> int:
    """The largest of `depths` whose tree can still be drawn."""
    return max(depth for depth in depths if vocab**depth <= MOST_LEAVES)


def make_tree(settings: TreeSettings) -> tuple[Tree, Levels]:
    """The tree and its reference. More share with the same seed only adds rewarded leaves; edits change only what they
    name.
    """
    rng = np.random.default_rng(settings.seed)
    tree = tabular.random_tree(settings.vocab, settings.depth, rng, settings.share / 100)
    reference = tabular.random_policy(tree, rng)
    if settings.rewards is not None:
        tree = Tree(settings.vocab, settings.depth, np.array(settings.rewards, dtype=np.float64))
    for prefix, percents in settings.edited:
        reference[len(prefix)][row_of(prefix, settings.vocab)] = np.log(np.array(percents) / 100)
    return tree, reference


def row_of(prefix: tuple[int, ...], vocab: int) -> int:
    """Where `tabular` keeps a prefix among those of its length."""
    row = 0
    for token in prefix:
        row = row * vocab + token
    return row


def rescaled(weights: tuple[int, ...], token: int, percent: int) -> tuple[int, ...]:
    """Percentages with `percent` for one token and the rest shared among its siblings as `weights` share it.

    Every token keeps at least 1 percent and they sum to 100; `percent` is clipped to what that leaves room for.
    """
    others = len(weights) - 1
    percent = int(np.clip(percent, 1, 100 - others))
    left = 100 - percent - others  # beyond the one percent that each sibling has anyway
    siblings = np.array([max(0, w) for i, w in enumerate(weights) if i != token], dtype=np.float64)
    share = siblings / siblings.sum() if siblings.sum() else np.full(others, 1 / others)
    wanted = np.maximum(0, share * (100 - percent) - 1)
    wanted *= left / wanted.sum() if wanted.sum() else 0
    given = np.floor(wanted + 1e-9).astype(int)
    for i in np.argsort(given - wanted, kind="stable")[: left - given.sum()]:  # largest remainders first
        given[i] += 1
    percents = (given + 1).tolist()
    percents.insert(token, percent)
    return tuple(percents)


def likeliest_leaf(tree: Tree, reference: Levels) -> tuple[int, ...]:
    """The tokens of the rewarded solution that the reference samples most often; of any, where none is rewarded."""
    chances = np.exp(tabular.path_logprobs(reference))
    leaf = int(np.argmax(chances + tree.rewards))
    return tuple(leaf // tree.vocab ** (tree.depth - 1 - t) % tree.vocab for t in range(tree.depth))


def tree_payload(tree: Tree, reference: Levels, beta: float, frames_of: str | None = None) -> dict:
    """Reference, local fixed point and soft optimum, both descents as curves, one of them frame by frame.

    `policies` holds for each one a list a node: `probability`, `plain` (V^pi), `implied` and `implied_rho`
    (start-anchored, with and without kappa), and `kappa`, a list an inner node. `soft` is V_soft of every node, which
    no policy changes. `curves` holds, for each of DESCENTS, the loss that descends and the path total variation to both
    optima, [STEPS + 1].

    Args:
        frames_of: one of DESCENTS to get `frames`, every policy of it: base64 of little-endian int16
            [STEPS + 1, FRAME_ARRAYS, nodes]; `implied` is that of the loss that descends, and kappa 0 at leaves.
    """
    local = tabular.local_fixed_point(tree, reference, beta)
    soft, soft_values, _ = tabular.soft_optimum(tree, reference, beta)
    policies = {"reference": reference, "local": local, "soft": soft}
    descents = {
        name: _together(tabular.descent(tree, reference, beta, STEPS, LEARNING_RATE, with_kappa))
        for name, with_kappa in DESCENTS.items()
    }
    return {
        "vocab": tree.vocab,
        "depth": tree.depth,
        "rewards": tree.rewards.astype(int).tolist(),
        "reward_unit": REWARD_UNIT,
        "probability_unit": PROBABILITY_UNIT,
        "soft": _whole([*soft_values, tree.rewards], REWARD_UNIT).tolist(),
        "policies": {
            name: {key: numbers.tolist() for key, numbers in _under(tree, policy, reference, beta).items()}
            for name, policy in policies.items()
        },
        "curves": {
            name: {
                "loss": tabular.value_loss(tree, policies, reference, beta, DESCENTS[name]).round(6).tolist(),
                "local": tabular.path_total_variation(policies, local).round(5).tolist(),
                "soft": tabular.path_total_variation(policies, soft).round(5).tolist(),
            }
            for name, policies in descents.items()
        },
        "apart": round(float(tabular.path_total_variation(local, soft)), 5),
        "is_flat": bool(np.ptp(tree.rewards) == 0),
        "frames": frames_of and _frames(_under(tree, descents[frames_of], reference, beta), frames_of),
    }


def _together(policies: list[Levels]) -> Levels:
    return [np.stack(level) for level in zip(*policies, strict=True)]


def _frames(numbers: dict[str, np.ndarray], frames_of: str) -> str:
    implied = numbers["implied" if DESCENTS[frames_of] else "implied_rho"]
    kappa = np.zeros_like(implied)
    kappa[:, : numbers["kappa"].shape[1]] = numbers["kappa"]
    arrays = numbers | {"implied": implied, "kappa": kappa}
    frames = np.stack([arrays[name] for name in FRAME_ARRAYS], axis=1)
    return base64.b64encode(np.clip(frames, -_INT16, _INT16).astype("<i2").tobytes()).decode("ascii")


def _under(tree: Tree, policy: Levels, reference: Levels, beta: float) -> dict[str, np.ndarray]:
    """Whole numbers, [nodes] each; with a policy of many steps [steps, nodes]."""
    start = np.ones(policy[0].shape[:-1])
    chosen = [start, *(np.exp(level).reshape(*level.shape[:-2], -1) for level in policy)]
    leaves = np.broadcast_to(tree.rewards, (*start.shape[:-1], tree.rewards.size))
    return {
        "probability": _whole(chosen, PROBABILITY_UNIT),
        "plain": _whole([*tabular.plain_values(tree, policy)[0], leaves], REWARD_UNIT),
        "implied": _whole(tabular.implied_values(tree, policy, reference, beta), REWARD_UNIT),
        "implied_rho": _whole(tabular.implied_values(tree, policy, reference, beta, False), REWARD_UNIT),
        "kappa": _whole([beta * level for level in tabular.kl(policy, reference)], REWARD_UNIT),
    }


def _whole(levels: Levels, unit: int) -> np.ndarray:
    return np.rint(np.concatenate(levels, axis=-1) * unit).astype(int)
