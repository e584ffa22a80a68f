"""Every symbol of the lab as data: how the paper writes it, what the code calls it, what it means; the paper's claims.

The words of the Notation page, of the links to it and of the README's table of symbols. No computation happens here.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.words.citation import PAPER_CLEAN, PAPER_MODEL, PAPER_NOISY


@dataclass(frozen=True)
class Symbol:
    """One quantity. `paper`: as it is written, in plain characters; `latex`: the same typeset; `code`: its names in the
    code and in files; `where`: where one meets it in the app.
    """

    key: str
    paper: str
    latex: str
    code: tuple[str, ...]
    meaning: str
    unit: str
    where: str

    @property
    def anchor(self) -> str:
        """The id of its row on the Notation page."""
        return f"symbol-{self.key.replace('_', '-')}"

    @property
    def name(self) -> str:
        return self.paper


def _symbols(*found: Symbol) -> dict[str, Symbol]:
    return {symbol.key: symbol for symbol in found}


SYMBOLS: dict[str, Symbol] = _symbols(
    Symbol(
        "state",
        "sₜ",
        "s_t",
        ("prompt_ids", "ids"),
        "the state before token t: the prompt and the tokens written so far",
        "none",
        "every token strip: what stands to the left of a token",
    ),
    Symbol(
        "action",
        "yₜ",
        "y_t",
        ("ids",),
        "token t, the action taken in state sₜ; the end token is one too",
        "none",
        "every token strip",
    ),
    Symbol(
        "policy",
        "π",
        r"\pi",
        ("policy",),
        "the policy: the language model that is being trained",
        "none",
        "Train; Inspect, the bars of the alternatives",
    ),
    Symbol(
        "reference",
        "π_ref",
        r"\pi_{\mathrm{ref}}",
        ("reference",),
        "the frozen reference: the same model with the adapter switched off",
        "none",
        "Inspect, the bars of the alternatives",
    ),
    Symbol(
        "logprobs",
        "log π",
        r"\log \pi(y_t \mid s_t)",
        ("logprobs",),
        "log-probability of the token under the policy",
        "nats",
        "Inspect, lens Log-probability",
    ),
    Symbol(
        "ref_logprobs",
        "log π_ref",
        r"\log \pi_{\mathrm{ref}}(y_t \mid s_t)",
        ("ref_logprobs",),
        "the same under the frozen reference (adapter off)",
        "nats",
        "Inspect, lens Reference log-probability",
    ),
    Symbol(
        "old_logprobs",
        "log π_old",
        r"\log \pi_{\mathrm{old}}(y_t \mid s_t)",
        ("old_logprobs",),
        "log-probability of the token when it was sampled",
        "nats",
        "the actor loss, as the ratio π / π_old",
    ),
    Symbol(
        "kl",
        "KL",
        r"\mathrm{KL}(\pi, \pi_{\mathrm{ref}})",
        ("kl",),
        "KL(π, π_ref) over the whole vocabulary at this position",
        "nats",
        "Inspect, lens KL to the reference; Train, KL curve",
    ),
    Symbol(
        "beta", "β", r"\beta", ("beta",), "reward per nat", "reward/nat", "Train, settings; Inspect, the beta slider"
    ),
    Symbol(
        "rho",
        "ρ",
        r"\rho_t",
        ("rho",),
        "β (log π − log π_ref)",
        "reward",
        "Inspect, lens Scaled log-ratio; first term of the formula card",
    ),
    Symbol(
        "kappa",
        "κ",
        r"\kappa_t",
        ("kappa",),
        "β KL, no gradient",
        "reward",
        "Inspect, lens Scaled KL; second term of the formula card",
    ),
    Symbol(
        "td_terms",
        "δ",
        r"\delta_t",
        ("td_terms",),
        "ρ − κ: what this token alone changed; trained with the mean of groups of G it ends at (G − 1)/G of Q − V",
        "reward",
        "Start and Inspect, lens Token credit",
    ),
    Symbol(
        "rewards",
        "R",
        "R",
        ("rewards",),
        "reward of a whole solution, paid at its end",
        "reward",
        "Inspect, the verdict line; Train, mean reward",
    ),
    Symbol(
        "reward_now",
        "r",
        "r",
        ("REWARD_NOW",),
        "the reward that one token is paid: R for the last, 0 for all others",
        "reward",
        "chapter 3, the derivation",
    ),
    Symbol(
        "group_size",
        "G",
        "G",
        ("group_size",),
        "solutions sampled for one prompt; their mean reward holds the solution itself",
        "none",
        "Train, settings",
    ),
    Symbol(
        "baseline",
        "baseline",
        r"\bar R",
        ("baseline",),
        "mean reward over the group of solutions to one prompt",
        "reward",
        "Inspect, the dashed line of the value curve",
    ),
    Symbol(
        "values",
        "V",
        "V_t",
        ("values",),
        "value of a prefix. Start-anchored: V_0 = baseline, V_{t+1} = V_t + δ_t. End-anchored: V_T = R, V_t = V_{t+1} "
        "− δ_t",
        "reward",
        "Inspect, the value curve and the two Value lenses",
    ),
    Symbol(
        "q_values",
        "Q",
        "Q(s_t, y_t)",
        ("mc_values",),
        "value after token t was chosen: the success rate from there on",
        "reward",
        "Inspect, Is it right?",
    ),
    Symbol(
        "terminal_residual",
        "ξ",
        r"\xi",
        ("terminal_residual",),
        "terminal residual, Σ δ − (R − baseline): the gap that the value loss squares; a perfect V leaves 1/√G of its "
        "target",
        "reward",
        "Inspect, Reward against telescope; Train, terminal residual",
    ),
    Symbol(
        "value_loss",
        "L_V",
        r"L_V",
        ("value_loss",),
        "half the mean squared terminal residual, κ without gradient: the only place where the reward enters",
        "reward²",
        "Train, value loss",
    ),
    Symbol(
        "actor_loss",
        "L_A",
        r"L_A",
        ("ppo_clip_loss",),
        "clipped policy-gradient loss on whitened advantages; it holds no reward",
        "none",
        "Train, settings",
    ),
    Symbol(
        "advantages",
        "A",
        "A_t",
        ("advantages",),
        "A_t = δ_t + λ A_{t+1}: credit summed back from the end",
        "reward",
        "Inspect, lens Advantage, raw",
    ),
    Symbol(
        "advantages_whitened",
        "Ã",
        r"\tilde A_t",
        ("advantages_whitened",),
        "A_t less its mean over all tokens of the step, over their spread: what VIMPO's actor multiplies",
        "none",
        "Inspect, lens Advantage, whitened; chapter 5",
    ),
    Symbol(
        "ratio",
        "π / π_old",
        r"\pi / \pi_{\mathrm{old}}",
        ("ratio",),
        "PPO's ratio: probability of the token now, over that when it was sampled; 1 at the first update of a batch",
        "none",
        "chapter 5; Train, clip fraction",
    ),
    Symbol(
        "weights",
        "w",
        "w",
        ("weights",),
        "what a rule pushes a token's log-probability by: minus the gradient of its loss, at the policy that sampled",
        "loss/nat",
        "Start and chapter 1, the pushes; Inspect, Every rule",
    ),
    Symbol("actor_coef", "c_A", "c_A", ("actor_coef",), "weight of the actor loss", "none", "Train, settings"),
    Symbol(
        "gae_lambda",
        "λ",
        r"\lambda",
        ("gae_lambda",),
        "reach of a token's credit",
        "none",
        "Inspect, the lambda slider; Train, settings",
    ),
    Symbol(
        "multiplier",
        "μ",
        r"\mu",
        ("MULTIPLIER",),
        "Lagrange's multiplier: sees to it that probabilities add up to 1",
        "reward",
        "chapter 3, the derivation",
    ),
    Symbol(
        "grpo_advantages",
        "Â",
        r"\hat A",
        ("grpo_advantages",),
        "GRPO's advantage: R − baseline, over the group's spread, the same for every token. Dr. GRPO leaves out the "
        "spread",
        "none",
        "Inspect, the GRPO strip",
    ),
    Symbol(
        "surprisal",
        "−log π",
        r"-\log \pi(y_t \mid s_t)",
        ("surprisal",),
        "how unexpected the token was to the policy itself",
        "nats",
        "Inspect, lens Surprisal; Scorecard",
    ),
    Symbol(
        "entropy",
        "H",
        "H_t",
        ("entropy",),
        "how undecided the policy was at this position",
        "nats",
        "Inspect, lens Entropy; Train, entropy",
    ),
    Symbol(
        "soft_values",
        "V_soft",
        r"V_{\mathrm{soft}}",
        ("soft_value",),
        "value of a prefix for the best policy that pays β a nat for leaving π_ref",
        "reward",
        "Tree lab; Inspect, Is it right?",
    ),
    Symbol(
        "horizon",
        "T",
        "T",
        ("T",),
        "number of tokens of a solution, the end token included",
        "tokens",
        "every token strip",
    ),
)
"""key -> symbol; the key is its code name where it has one of its own. Those of the README's table stand there word for
word.
"""


@dataclass(frozen=True)
class Term:
    """A word of the field. name: as it is written; meaning: one sentence for somebody who has never met it."""

    key: str
    name: str
    meaning: str

    @property
    def anchor(self) -> str:
        """The id of its row on the Notation page."""
        return f"term-{self.key}"


TERMS: dict[str, Term] = {
    term.key: term
    for term in (
        Term(
            "actor",
            "actor",
            "the second part of VIMPO's loss: it pushes each token by its advantage, and holds no reward",
        ),
        Term("adam", "Adam", "the optimizer: steps of about the learning rate, however large or small the gradient is"),
        Term("adapter", "adapter", "the small matrices that training changes; the model below them stays frozen"),
        Term(
            "arm",
            "arm",
            "runs of equal settings that differ in their seed alone: what is compared, as the arms of a trial are",
        ),
        Term(
            "auc",
            "AUC",
            "area under the ROC curve: how often a credit suspects the wrong token more than another token of the same "
            "solution; 0.5 is guessing, 1 is always",
        ),
        Term("batch", "batch", "the solutions that one update learns from"),
        Term(
            "clipped",
            "clipped",
            "a token whose probability has moved by 20 to 28 % since it was written is pushed no further that way",
        ),
        Term("critic", "critic", "a second network, trained beside the policy to foresee the reward"),
        Term(
            "dead-group",
            "dead group",
            "all solutions to a prompt earned the same reward, so a rule that compares them with each other learns "
            "nothing from it",
        ),
        Term(
            "gradient",
            "gradient",
            "how fast a loss rises with each number that it is made of: training goes a small step the other way",
        ),
        Term(
            "interval",
            "95 % interval",
            "where the true number lies, by a rule that is right in 95 of 100 such experiments",
        ),
        Term(
            "kl",
            "KL",
            "Kullback-Leibler divergence: how far the policy's probabilities have moved from the reference's; 0 where "
            "they are equal",
        ),
        Term("lora", "LoRA", "low-rank adaptation: an adapter made of products of two thin matrices; rank: how thin"),
        Term("nat", "nat", "the unit of natural log-probabilities: one nat less is e = 2.72 times less likely"),
        Term(
            "reinforce",
            "REINFORCE",
            "the oldest rule: each token of a solution is pushed by the solution's reward less a baseline",
        ),
        Term(
            "seed", "seed", "fixes what chance decides: problems, samples and first numbers; another seed, another run"
        ),
        Term(
            "surrogate",
            "surrogate",
            "what the actor's loss is made of: each token's advantage times its ratio of probabilities",
        ),
        Term(
            "telescope",
            "telescope",
            "a sum whose inner parts cancel: the credits of a solution are differences of values, so they add up to "
            "the last value minus the first",
        ),
        Term(
            "token",
            "token",
            "a piece of text that the model writes at a time: here a digit or a sign, else part of a word",
        ),
        Term(
            "whitened",
            "whitened",
            "less the mean of all tokens of the step, over their spread: what is left has mean 0 and spread 1",
        ),
    )
}
"""key -> a word that pages use, in the order of the alphabet."""


@dataclass(frozen=True)
class Claim:
    """What the paper says beside what this lab measures. `lab` holds no number of its own: {names} are filled in by
    whoever shows it, from the bundled runs and from the results of the experiments.
    """

    paper: str
    lab: str


def _listed(numbers: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


CLAIMS: tuple[Claim, ...] = (
    Claim(
        f"Accuracy ({PAPER_MODEL}, competition mathematics): {_listed(PAPER_CLEAN)}.",
        "A tiny model on sums. {clean} The bundled runs ({steps} steps, one seed: an illustration, not evidence) end, "
        "on the {problems} validation problems that a run measures itself by, at a sampled accuracy of {vimpo} for "
        "VIMPO and {grpo} for GRPO.",
    ),
    Claim(
        f"With noisy rewards, flipped for whole prompt groups: {_listed(PAPER_NOISY)}.",
        "{noisy} Flips of single solutions and of whole groups are [different questions](#differences).",
    ),
    Claim(
        "Every token gets its own credit, without a critic.",
        "It does. Over the {wrong} wrong solutions of step {step} of the bundled run with the largest beta, the "
        "lowest credit is on the first wrong token in {hits}; the most surprising token is it in {surprising}.",
    ),
    Claim(
        "The reward enters only through the value loss, with the exact KL.",
        "As it is built here. The one-sample estimate of KL makes every δ exactly 0 and is refused.",
    ),
)
