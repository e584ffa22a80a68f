"""Tasks in words: each accepts its gold answers, refuses empty and wrong ones, and survives a thousand hostile
texts.
"""

import json
import random
import string

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tests.support.hostile import TEXTS
from vimpo_core.config import TrainConfig
from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Answer, look, registry, tables
from vimpo_core.tasks.splits import SPLITS, split_of
from vimpo_core.tasks.wording import READINGS, read_answer
from vimpo_core.types import Problem, StopReason

SUMS = "gym:chain_sum?min_terms=2&max_terms=2&min_digits=1&max_digits=1"


def task(spec, **settings):
    return registry.task_of(TrainConfig(task=spec, model="any folder", **settings))


@pytest.fixture
def sums(tmp_path):
    """Sums of one-digit numbers, GSM8K's way of writing the answer in some."""
    rows = [
        (f"What is {a} + {b}?", f"{a} and {b} make #### {a + b}" if a > 5 else str(a + b))
        for a in range(1, 10)
        for b in range(1, 10)
    ]
    path = tmp_path / "sums.csv"
    path.write_text("question,answer\n" + "".join(f"{q},{a}\n" for q, a in rows))
    return path


PUBLISHED = [
    {
        "problem": r"Convert $(0,3)$ to polar.",
        "solution": "..",
        "answer": r"\left( 3, \frac{\pi}{2} \right)",
        "level": 2,
    },
    {"problem": "Who?", "solution": "..", "answer": r"\text{Evelyn}", "level": 3},
    {"problem": r"Simplify $\sqrt{117}$.", "solution": "..", "answer": r"3\sqrt{13}", "level": 1},
]


@pytest.fixture
def olympiad(tmp_path):
    """OlympiadBench's layout: `question`, and `final_answer` as a list."""
    path = tmp_path / "olympiad.parquet"
    columns = {
        "id": [1, 2],
        "context": [None, None],
        "question": ["Find all.", "How many?"],
        "final_answer": [["1", "2"], ["73"]],
    }
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def math500(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PUBLISHED))
    return path


def of_kind(kind, sums, math500):
    return task({"gym": SUMS, "file": f"file:{sums}", "math": f"math:{math500}"}[kind])


# ---- every task


@pytest.mark.parametrize("kind", ["gym", "file", "math"])
def test_gold_is_accepted_and_empty_and_wrong_are_refused(kind, sums, math500):
    of = of_kind(kind, sums, math500)
    problems = of.everything(20)
    gold = of.verify_all([look._answer(of, p, p.gold) for p in problems])
    assert {(v.status, v.reward) for v in gold} == {("correct", 1.0)}
    empty = of.verify_all([Answer(p, "", StopReason.EOS) for p in problems])
    assert {(v.status, v.reward) for v in empty} == {("rejected", 0.0)}
    wrong = of.verify_all([look._answer(of, p, "-12345") for p in problems])
    assert {v.status for v in wrong} == {"incorrect"}
    assert all(v.reward < 1 and v.reason for v in wrong)


@pytest.mark.parametrize("kind", ["gym", "file", "math"])
def test_a_thousand_hostile_texts_are_judged_without_an_exception(kind, sums, math500):
    of, rng = of_kind(kind, sums, math500), random.Random(0)
    problem = of.everything(1)[0]
    pieces = [
        *TEXTS,
        r"\boxed{",
        "}",
        "####",
        "<answer>",
        "</answer>",
        r"\frac",
        "^",
        "9" * 40,
        "$",
        "__import__('os')",
        *string.printable,
    ]
    texts = ["".join(rng.choices(pieces, k=rng.randint(1, 12))) for _ in range(1000)]
    verdicts = of.verify_all([Answer(problem, text, rng.choice(list(StopReason))) for text in texts])
    assert len(verdicts) == 1000
    assert all(0 <= v.reward <= 1 for v in verdicts)
    for verdict in verdicts:
        (verdict.answer + verdict.reason).encode()  # what no file could hold is not kept


@pytest.mark.parametrize("kind", ["gym", "file"])
def test_splits_share_no_prompt_and_a_seed_always_draws_the_same(kind, sums, math500):
    of = of_kind(kind, sums, math500)
    prompts = {split: [p.prompt for p in of.problems("s", split, 12)] for split in SPLITS}
    assert prompts["train"] == [p.prompt for p in of.problems("s", "train", 12)]
    assert prompts["train"] != [p.prompt for p in of.problems("t", "train", 12)]
    for split, found in prompts.items():
        assert len(found) == len(set(found)) > 0
        assert {split_of(prompt) for prompt in found} == {split}


@given(st.text(max_size=80), st.sampled_from([*READINGS]), st.sampled_from([*StopReason]))
def test_an_answer_is_looked_for_in_any_text(text, how, finish):
    answer, why = read_answer(how, text, finish, 7)
    assert bool(answer) != bool(why) or (how == "tags" and not why)


@pytest.mark.parametrize(
    ("how", "text", "finish", "answer"),
    [
        ("number", "2 and 3 make 5.", "eos", "5"),
        ("number", "it is 1,234.", "eos", "1,234"),
        ("number", "-3/4", "eos", "-3/4"),
        ("number", "it is 12", "length", ""),  # perhaps of 123
        ("line", " 42\nProblem: more", "length", "42"),
        ("line", "42", "length", ""),
        ("line", "\n\n42", "eos", "42"),
        ("tags", "<answer>1</answer> no: <ANSWER> 2 </answer> and so on", "length", "2"),
        ("tags", "<answer>1", "eos", ""),
        ("all", " x y ", "eos", "x y"),
    ],
)
def test_where_an_answer_stands(how, text, finish, answer):
    assert read_answer(how, text, StopReason(finish), 7)[0] == answer


# ---- reasoning-gym


def test_partial_credit_is_kept_or_exact():
    """Known of the library: a wrong number that contains the right one earns most of the reward."""
    problem = task(SUMS).problems("x", "train", 1)[0]
    near = f"{problem.gold}1"
    kept = task(SUMS).verify(problem, near, StopReason.EOS)
    exact = task(SUMS, partial_rewards="exact").verify(problem, near, StopReason.EOS)
    assert 0.4 < kept.reward < 1
    assert (kept.status, exact.status, exact.reward) == ("incorrect", "incorrect", 0.0)
    assert task(SUMS).gives_partial_rewards
    assert not task(SUMS, partial_rewards="exact").gives_partial_rewards


def test_a_recorded_prompt_is_found_again():
    of = task(SUMS + "&size=50")
    problem = of.problems("x", "train", 1)[0]
    assert of.state(problem.prompt) == problem
    with pytest.raises(Mistake, match=r"none of the 50 problems of gym:chain_sum"):
        of.state("What is love?")


def test_a_set_that_is_limited_in_size_is_made():
    """Known of the library: word_ladder refuses more items than its words allow."""
    of = task("gym:word_ladder?size=100")
    problem = of.problems("x", "train", 1)[0]
    assert of.verify(problem, problem.gold, StopReason.EOS).reward == 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gym:chain_sun", "no data set 'chain_sun'. Near: chain_sum"),
        ("gym:chain_sum?terms=2", "no option 'terms'"),
        ("gym:chain_sum?min_terms=two", "must be a number, got 'two'"),
        ("gym:chain_sum?min_terms=5&max_terms=2", "refuses its options"),
    ],
)
def test_a_data_set_that_cannot_be_made_is_a_sentence(spec, words):
    with pytest.raises(Mistake) as refused:
        task(spec).problems("x", "train", 1)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "spec",
    [
        "gym:",
        "gym:../x",
        "gym:chain_sum?seed=1",
        "gym:chain_sum?size=1",
        "gym:chain_sum?read=boxed",
        "file:",
        "file:a.csv?colour=red",
        "math:",
        "math:a?compare=text",
    ],
)
def test_settings_that_name_no_task_are_refused_before_anything_is_opened(spec):
    with pytest.raises(Mistake, match=r"^task "):
        TrainConfig(task=spec)


# ---- files


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "frage,antwort\nx,1\n", "no column that looks like the prompt among 'frage', 'antwort'"),
        ("a.csv", "question,solution text\nx,1\n", "no column that looks like the answer"),
        ("a.csv", "question\nx\n", "a first line that names two columns"),
        ("a.csv", "", "a first line that names two columns"),
        ("a.csv", "question,answer\n,1\nx,\n", "no row with a prompt and an answer"),
        ("a.csv", "question,answer\nGr\xfc\xdfe,1\n".encode("latin-1"), "is not utf-8: byte 18 cannot be read"),
        ("a.csv", b"question,answer\nx\x00,1\n", "zero bytes"),
        ("a.csv", 'question,answer\n"x,1\n', "no CSV that can be read"),
        ("a.csv", "question,question,answer\n1,2,3\n", "two columns 'question'"),
        ("a.jsonl", '{"prompt": "x", "answer": 1}\n[1]\n', "line 2 is no JSON object"),
        ("a.jsonl", '{"prompt": "x"', "line 1 is no JSON object"),
        ("a.json", '[{"prompt": "x", "answer": 1}, 7]', "a JSON list whose entry 2 is no JSON object ('7')"),
        ("a.json", '[{"prompt": "x", "answer": 1},', "begins as a JSON list and is none that can be read: Expecting"),
        ("a.parquet", "no parquet", "no Parquet file that can be read"),
        ("a.xlsx", "PK", "is .xlsx, and .csv"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, name, content, words):
    with pytest.raises(Mistake) as refused:
        tables.read_table(written(tmp_path, name, content))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_olympiadbench_is_read_as_its_own_repository_has_it(tmp_path):
    """One indented JSON list; answers are lists, and several belong together."""
    rows = [
        {"id": 1606, "question": "How many?", "solution": ["..."], "final_answer": ["182"], "unit": None},
        {"id": 7, "question": "Which two?", "solution": ["..."], "final_answer": ["$1$", "$2$"], "unit": None},
    ]
    found = tables.read_table(written(tmp_path, "OE_TO_maths_en_COMP.json", "\n" + json.dumps(rows, indent=2)))
    assert found.rows == (("How many?", "182"), ("Which two?", "$1$, $2$"))


def test_a_file_of_ten_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # sparse
    with pytest.raises(Mistake, match=r"large.csv has 10,240 MB, at most 200 are read"):
        tables.read_table(str(path))


def test_rows_that_are_no_problems_are_counted(tmp_path):
    long = "x" * (tables.MAX_CELL + 1)
    path = written(tmp_path, "a.csv", f"question,answer\na,1\na,2\n,3\nb,\n{long},4\nc,5\n")
    found = tables.read_table(path)
    assert found.rows == (("a", "1"), ("c", "5"))
    assert found.left_out == {
        "the same prompt again": 1,
        "empty prompt or answer": 2,
        "longer than 20,000 characters": 1,
    }


def test_columns_are_guessed_and_can_be_named(tmp_path):
    path = written(tmp_path, "a.csv", "id;Frage;Question;Answer\n1;f;q;2\n")
    assert tables.read_table(path).rows == (("q", "2"),)
    assert tables.read_table(path, prompt="Frage", answer="id").rows == (("f", "1"),)
    with pytest.raises(Mistake, match=r"no column 'x'. It has: 'id', 'Frage'"):
        tables.read_table(path, prompt="x")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_an_encoding_that_the_first_bytes_tell_is_read(tmp_path, encoding):
    path = written(tmp_path, "a.csv", "question,answer\nGrüße,1\n".encode(encoding))
    assert tables.read_table(path).rows == (("Grüße", "1"),)


def test_an_encoding_can_be_named(tmp_path):
    path = written(tmp_path, "a.csv", "question,answer\nGrüße,1\n".encode("cp1252"))
    assert tables.read_table(path, encoding="cp1252").rows == (("Grüße", "1"),)
    with pytest.raises(Mistake, match=r"encoding is 'none', which is none"):
        tables.read_table(path, encoding="none")


def test_published_layouts_are_read_as_they_are(olympiad, math500):
    assert tables.read_table(str(olympiad)).rows == (("Find all.", "1, 2"), ("How many?", "73"))
    assert tables.read_table(str(math500)).prompt == "problem"
    assert tables.read_table(str(math500)).answer == "answer"


def test_a_gold_answer_that_the_judge_refuses_is_left_out_counted_and_shown(tmp_path):
    path = written(tmp_path, "a.csv", "question,answer\na,1\nb,Paris\nc,3\n")
    found = look.look(TrainConfig(task=f"file:{path}"))
    assert (found.refused, found.looked_at) == (1, 3)
    assert found.refusals[0][0] == "Paris"
    assert not any(p.gold == "Paris" for split in SPLITS for p in task(f"file:{path}").problems("s", split, 9))


def test_a_file_whose_gold_answers_are_all_refused_is_a_sentence(tmp_path):
    path = written(tmp_path, "a.csv", "question,answer\na,Paris\nb,Rome\n")
    with pytest.raises(Mistake, match=r"none of the 2 answers in a.csv, column 'answer', can be compared"):
        task(f"file:{path}").problems("s", "train", 1)
    assert task(f"file:{path}?compare=text").verify(Problem("a", "Paris"), " paris.", StopReason.EOS).reward == 1


def test_a_changed_file_has_another_fingerprint(sums):
    before = task(f"file:{sums}").source()
    sums.write_text(sums.read_text() + "What is 10 + 10?,20\n")
    after = task(f"file:{sums}").source()
    assert before.keys() == after.keys() == {"sums.csv"}
    assert before != after


# ---- wording


def test_each_style_words_the_problem(sums):
    of = task(f"file:{sums}")
    problem = of.problems("s", "test", 1)[0]
    said = []

    def chat(messages):
        said.extend(messages)
        return "<user>" + messages[0]["content"]

    assert of.render(problem, chat) == problem.prompt
    assert not said
    few = task(f"file:{sums}", prompt_style="few-shot").render(problem, chat)
    assert few.endswith(f"\n\nProblem: {problem.prompt}\nAnswer:")
    shown = [line.removeprefix("Problem: ") for line in few.split("\n") if line.startswith("Problem: ")][:-1]
    assert [split_of(prompt) for prompt in shown] == ["train"] * 3
    asked = task(f"file:{sums}", prompt_style="chat").render(problem, chat)
    assert asked == f"<user>{problem.prompt}\n\nPut the final answer inside \\boxed{{}}."
    assert [m["role"] for m in said] == ["user"]


def test_a_budget_can_be_set():
    assert task(SUMS).max_new_tokens == 128
    assert task(SUMS, max_new_tokens=9).max_new_tokens == 9
    assert registry.task_of(TrainConfig(max_new_tokens=9)).max_new_tokens == 9


def test_too_few_training_problems_are_refused(tmp_path):
    path = written(tmp_path, "a.csv", "question,answer\n" + "".join(f"q{i},{i}\n" for i in range(8)))
    with pytest.raises(Mistake, match=r"prompts_per_step is 16, and the training split of file:.* holds \d"):
        registry.check_enough(task(f"file:{path}"), 16)
