"""What the same mistakes say follows from their numbers: whose they are, or who reads them."""

from app.words.same_findings import names_of, same_findings
from vimpo_core.measure.same_mistakes import pairs

RUNS = {"v1": ("vimpo", 0.1), "v3": ("vimpo", 0.3), "g": ("grpo", 0.1)}


def numbers(value, half=0.02):
    return {f"{k}{end}": value + by for k in ("top1", "auc") for end, by in (("", 0), ("_low", -half), ("_high", half))}


def report(auc, n=256):
    """auc: (reader, writer) -> AUC of delta; surprisal finds .97 everywhere."""
    readings = [f"{kind}/{run}" for run in RUNS for kind in ("delta", "surprisal")] + ["surprisal_reference"]

    def of(name, writer):
        kind, _, reader = name.partition("/")
        return auc(reader, writer) if kind == "delta" else 0.97

    def pooled(name):
        return sum(of(name, w) for w in RUNS) / len(RUNS)

    return {
        "solutions": 256,
        "runs": [{"run_id": r, "algorithm": a, "beta": b, "step": 100, "n": n} for r, (a, b) in RUNS.items()],
        "n_solutions": n * len(RUNS),
        "readings": {name: numbers(pooled(name)) for name in readings},
        "by_writer": {w: {name: numbers(of(name, w)) for name in readings} for w in RUNS},
        "differences": [
            {"of": a, "minus": b, "pool": numbers(pooled(a) - pooled(b))}
            | {"by_writer": {w: numbers(of(a, w) - of(b, w)) for w in RUNS}}
            for a, b in pairs(list(RUNS))
        ],
    }


def said(made, kind):
    return " ".join(one.text for one in same_findings(made) if one.kind == kind)


def test_where_mistakes_differ_and_readings_hardly_it_says_so_and_that_own_figures_do_not_compare():
    of_writer = {"v1": 0.6, "v3": 0.8, "g": 0.5}
    made = report(lambda reader, writer: of_writer[writer] - 0.03 * (reader == writer))
    spread = said(made, "spread")
    assert "Whose mistakes they are matters more than who reads them" in spread
    assert "(0.57 of VIMPO β 0.1, 0.77 of VIMPO β 0.3, 0.47 of GRPO) compare what is left to find" in spread
    assert "lowest AUC of all δ in 3 of 3 runs; another policy's is clearly higher in 6 of 6 pairs" in spread
    assert "δ off VIMPO β 0.1 and δ off GRPO: cannot be told apart" in said(made, "open")
    assert "less well than surprisal of VIMPO β 0.1" in said(made, "loses")


def test_where_readings_differ_and_mistakes_do_not_it_says_the_other():
    of_reader = {"v1": 0.9, "v3": 0.8, "g": 0.5}
    made = report(lambda reader, writer: of_reader[reader])
    assert "Who reads them matters more" in said(made, "spread") and "left to find" not in said(made, "spread")
    won = said(made, "wins")
    assert "δ off VIMPO β 0.1 finds the first wrong token better than δ off GRPO" in won
    assert "difference +0.400, 95% +0.380 to +0.420" in won and "+0.400 on those of GRPO" in won


def test_few_solutions_are_called_few_and_runs_of_one_rule_and_beta_are_told_apart():
    warned = said(report(lambda *_: 0.5, n=8), "warning")
    assert warned.count("wrote only 8 wrong solutions") == 3 and "24 wrong solutions are few" in warned
    same = [{"run_id": run, "algorithm": "vimpo", "beta": 0.1} for run in ("a", "b")]
    assert names_of(same) == {"a": "VIMPO β 0.1 (a)", "b": "VIMPO β 0.1 (b)"}
