"""Chain arithmetic with a written solution.

    prompt      9+2+9+7*6=
    solution    9+2+9+42;11+9+42,20+42;62.

The solution rewrites one operation a step (leftmost `*` first, else leftmost); separators `;` `,` `/` are style, `.`
ends it. Numbers along the way stay within 0..99. The step verifier is kinder than the rule: a step is right when it
carries out one or more operations and keeps the value, so another order of operations or of operands, or a skipped
step, is never called wrong.

Answer and steps are judged by one measure: a solution whose steps are all right and that ends is correct, and a correct
one with a wrong step is just that, a right answer after a wrong step (two slips that cancel; an answer that was
guessed). The reward reads the answer alone.

`student_solution` writes as a fallible student would, with three named misconceptions; consistent after the slip.
The reference model is trained on these (`make-reference`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

from vimpo_core.mistake import Mistake
from vimpo_core.tasks import Answer, Chat
from vimpo_core.tasks.splits import split_of
from vimpo_core.types import Problem, StopReason, Verdict, VerdictStatus, known
from vimpo_core.verifier import check_answer

ALPHABET = "0123456789+-*=;,/."
END = "."
SEPARATORS = ";,/"
SEPARATOR_SHARES = (0.60, 0.25, 0.15)
LARGEST = 99
LONGEST = 8
"""Numbers in the longest problem."""

PRECEDENCE_SLIP, CARRY_SLIP, TABLE_SLIP = 0.35, 0.35, 0.20
"""Chance of each misconception at each occasion for it."""

Expression = tuple[tuple[int, ...], str]
"""Numbers and the operators between them: `2+3*4` is ((2, 3, 4), "+*")."""

_TYPICAL_LENGTH = {3: 7.0, 4: 14.0, 5: 23.0, 6: 35.0, 7: 49.0, 8: 65.0}
"""Mean tokens of a right solution by its number of operands, measured on student solutions."""

_MARK = re.compile(f"[{SEPARATORS}{END}]")
_EXPRESSION = re.compile(rf"[0-9]{{1,4}}(?:[-+*][0-9]{{1,4}}){{0,{LONGEST - 1}}}", re.ASCII)
_SPACE = re.compile(r"(?<![0-9\s])\s++|(?<=[0-9])\s++(?![0-9])")
"""Space that means nothing; between two digits it does. Each stretch is looked at once."""
_TYPED = str.maketrans("xX×·\u2212", "****-")
"""How people type the operators."""

Sum = tuple[tuple[int, tuple[int, ...]], ...]
"""An expression whatever its order: sign and factors of each term, all sorted."""


@dataclass(frozen=True)
class ChainTask:
    """Chain arithmetic with `operands` numbers a problem, 3 to 8; the bundled reference knows 3 to 6. Raises Mistake
    outside that range. budget: tokens of a solution, 0 for as many as the longest right one has.
    """

    operands: int = 5
    budget: int = 0

    name = "chain"
    end = END
    verifies_steps = True
    gives_partial_rewards = False
    makes_its_problems = True
    prompt_style = "plain"

    def __post_init__(self):
        if not 3 <= self.operands <= LONGEST:
            raise Mistake(
                f"operands must be between 3 and {LONGEST}, got {self.operands}. Longer solutions outgrow the "
                f"reference."
            )

    @property
    def max_new_tokens(self) -> int:
        """Token budget of a solution: the longest right one (every number two digits) with its end mark."""
        if self.budget:
            return self.budget
        longest_steps = (3 * k - 1 for k in range(1, self.operands))
        return sum(longest_steps) + self.operands - 1

    @property
    def typical_length(self) -> float:
        return _TYPICAL_LENGTH[self.operands]

    def source(self) -> dict[str, str]:
        return {}

    def problem(self, rng: random.Random, split: str) -> Problem:
        """One random problem of the split; which split a prompt is in depends on its text alone."""
        while True:
            numbers = tuple(rng.randint(1, 9) for _ in range(self.operands))
            operators = "".join(rng.choices("+-*", (0.45, 0.25, 0.30), k=self.operands - 1))
            steps = right_steps((numbers, operators))
            if steps is None:
                continue
            prompt = write((numbers, operators)) + "="
            if split_of(prompt) == split:
                return Problem(prompt, str(steps[-1][0][0]))

    def problems(self, seed: str, split: str, count: int) -> list[Problem]:
        """`count` different problems of a split, the same for the same seed text.

        Fewer where the split has fewer (3 operands: some 450 held-out ones): the search ends after 1,000 repeats.
        """
        rng, repeats = random.Random(seed), 0
        found: dict[str, Problem] = {}
        while len(found) < count and repeats < 1000:
            problem = self.problem(rng, split)
            repeats = repeats + 1 if problem.prompt in found else 0
            found.setdefault(problem.prompt, problem)
        return list(found.values())

    def state(self, prompt: str) -> Problem:
        return problem_from(prompt)

    def render(self, problem: Problem, chat: Chat) -> str:
        return problem.prompt

    def verify_all(self, answers: Sequence[Answer]) -> list[Verdict]:
        return [self.verify(*answer) for answer in answers]

    def verify(self, problem: Problem, completion: str, finish_reason: StopReason) -> Verdict:
        """The last step is the answer, a plain number; a solution cut off before its end mark has none."""
        text = _SPACE.sub("", completion)
        if finish_reason is not StopReason.EOS or not text.endswith(END):
            reason = f"the solution did not end within {self.max_new_tokens} tokens"
            return Verdict(VerdictStatus.REJECTED, reason=reason)
        answer = re.split(f"[{SEPARATORS}]", text[:-1])[-1]
        verdict = check_answer(answer, problem.gold)
        if verdict.status is VerdictStatus.CORRECT and answer != problem.gold:  # 062, +62, 62.0
            reason = f"the answer must be written as the plain number {problem.gold}"
            return Verdict(VerdictStatus.REJECTED, verdict.answer, reason)
        if verdict.status is VerdictStatus.CORRECT and END in text[:-1]:
            return Verdict(VerdictStatus.REJECTED, verdict.answer, "the solution goes on after its end mark")
        return verdict

    def first_wrong(self, problem: Problem, completion: str) -> int | None:
        return first_wrong(problem.prompt, completion)

    def step_starts(self, completion: str) -> list[int]:
        return [mark.end() for mark in re.finditer(f"[{SEPARATORS}]", completion)]

    def mistake(self, problem: Problem, completion: str) -> str:
        return name_of_slip(problem.prompt, completion)

    def restyled(self, completion: str, rng: random.Random) -> str:
        return with_drawn_separators(completion, rng)


def task_that_asks(prompt: str, budget: int = 0) -> ChainTask | None:
    """The task whose problem a prompt is, by its number of operands; None where it is no problem of this kind."""
    expression = parse(prompt.removesuffix("="))
    return None if expression is None else ChainTask(min(max(len(expression[0]), 3), LONGEST), budget)


def problem_from(prompt: str) -> Problem:
    """The problem that a typed prompt states, its gold answer worked out; "9 + 2 x 3 =" is 9+2*3=.

    Raises:
        Mistake: not of the form `9+2*3=`, a number outside 0..99, or an intermediate outside 0..99.
    """
    typed, prompt = prompt, _SPACE.sub("", prompt).translate(_TYPED)
    expression = parse(prompt.removesuffix("="))
    if expression is None or not prompt.endswith("=") or not 2 <= len(expression[0]) <= LONGEST:
        raise Mistake(
            f"a problem is 2 to {LONGEST} numbers joined by + - * and closed by =, got {typed[:40]!r}. Try 9+2+9+7*6=."
        )
    steps = right_steps(expression) if _in_range(expression) else None
    if steps is None:
        raise Mistake(
            f"every number on the way must be within 0..{LARGEST}, which {typed[:40]!r} leaves. Use smaller numbers."
        )
    return Problem(prompt, str(steps[-1][0][0]))


def parse(text: str) -> Expression | None:
    """`2+3*4` as numbers and operators; None if it is anything else. At most 8 numbers of at most 4 digits."""
    if not _EXPRESSION.fullmatch(text):
        return None
    return tuple(int(n) for n in re.split(r"[-+*]", text)), re.sub(r"[0-9]", "", text)


def write(expression: Expression) -> str:
    numbers, operators = expression
    return str(numbers[0]) + "".join(f"{o}{n}" for o, n in zip(operators, numbers[1:], strict=True))


def value(expression: Expression) -> int:
    """Exact value, `*` before `+` and `-`."""
    numbers, operators = expression
    total, product, sign = 0, numbers[0], 1
    for operator, number in zip(operators, numbers[1:], strict=True):
        if operator == "*":
            product *= number
        else:
            total, product, sign = total + sign * product, number, 1 if operator == "+" else -1
    return total + sign * product


def next_operation(expression: Expression) -> int:
    """Index of the operation the rule does next: the leftmost `*`, else the leftmost."""
    return max(expression[1].find("*"), 0)


def apply(expression: Expression, index: int, result: int | None = None) -> Expression:
    """The expression after operation `index`, with its right result or with `result` in its place."""
    numbers, operators = expression
    if result is None:
        result = value((numbers[index : index + 2], operators[index]))
    return (*numbers[:index], result, *numbers[index + 2 :]), operators[:index] + operators[index + 1 :]


def right_steps(expression: Expression) -> list[Expression] | None:
    """The steps the rule writes, down to a single number; None if one leaves 0..99."""
    steps = []
    while expression[1]:
        expression = apply(expression, next_operation(expression))
        if not _in_range(expression):
            return None
        steps.append(expression)
    return steps


def student_solution(prompt: str, rng: random.Random, slip_scale: float = 1.0) -> str:
    """A solution by the fallible student: three misconceptions, each at its chance, consistent after a slip.

    slip_scale: multiplies every chance; at 2 the student is right about as often as one in ten.
    """
    steps = None
    while steps is None:
        steps = _student_steps(known(parse(prompt.removesuffix("="))), rng, slip_scale)
    separators = rng.choices(SEPARATORS, SEPARATOR_SHARES, k=len(steps) - 1)
    return "".join(write(s) + mark for s, mark in zip(steps, [*separators, END], strict=True))


def with_drawn_separators(completion: str, rng: random.Random) -> str:
    """The same solution in another hand: each separator drawn uniformly from all of them, everything else as it was.

    Separators are never wrong, so the verdict and the first wrong character stay; but what the reference writes in 60%
    of places is now written in a third of them, and what it seldom writes is as frequent.
    """
    return "".join(rng.choice(SEPARATORS) if c in SEPARATORS else c for c in completion)


def first_wrong(prompt: str, completion: str) -> int | None:
    """Index of the first wrong character; None if every step is right.

    A step is right when it carries out one or more operations of the step before and keeps its value, its operands in
    any order; else its first wrong character is where it departs from the right step for the operation it carries out,
    or if that cannot be told, from the step that the rule writes. Separators are style, and so is space; an early or
    missing end and anything after the end are wrong. Right work that is merely cut off has no wrong character.
    """
    meaningless = {i for space in _SPACE.finditer(completion) for i in range(*space.span())}
    if meaningless:
        kept = [i for i in range(len(completion)) if i not in meaningless]
        wrong_at = _first_wrong(prompt, "".join(completion[i] for i in kept))
        return None if wrong_at is None else kept[wrong_at] if wrong_at < len(kept) else len(completion) - 1
    return _first_wrong(prompt, completion)


def _first_wrong(prompt: str, completion: str) -> int | None:
    """`first_wrong` of a text without meaningless space."""
    previous = parse(prompt.removesuffix("="))
    if previous is None:
        return None
    start = 0
    while start < len(completion):
        mark = _MARK.search(completion, start)
        stop = mark.start() if mark else len(completion)
        written, is_cut_off = completion[start:stop], stop == len(completion)
        ruled = _ruled_step(previous)
        if is_cut_off and (ruled.startswith(written) or _begins_right_step(previous, written)):
            return None
        # Nearly every step is the ruled one: look for the other right ones only where it is not.
        if ruled and written == ruled:
            previous = apply(previous, next_operation(previous))
        elif _is_right_step(previous, written):
            previous = known(parse(written))
        else:
            return start + _common_prefix(written, _meant_step(previous, written))
        is_answer = not previous[1]
        if (completion[stop] == END) != is_answer:
            return stop
        start = stop + 1
        if is_answer:
            return start if start < len(completion) else None
    return None


def name_of_slip(prompt: str, completion: str) -> str:
    """What happened at the first wrong step, in words: "11+9 became 10: a forgotten carry". "" if nothing is wrong."""
    wrong_at = first_wrong(prompt, completion)
    if wrong_at is None:
        return ""
    completion, wrong_at = _SPACE.sub("", completion), len(_SPACE.sub("", completion[:wrong_at]))
    *before, begun = _MARK.split(completion[:wrong_at])
    previous = parse(before[-1] if before else prompt.removesuffix("="))
    step = _MARK.split(completion[wrong_at - len(begun) :])[0]
    written = parse(step)
    if before and completion[wrong_at - 1] == END:
        return "the solution goes on after its end"
    if previous is None or written is None:
        return "the step is not an expression"
    if _is_right_step(previous, step):
        return "the end comes too early" if completion[wrong_at] == END else "the end is missing"
    for index, result, name in _slips(previous):
        if apply(previous, index, result) == written:
            a, b, operator = *previous[0][index : index + 2], previous[1][index]
            return f"{a}{operator}{b} became {result}: {name}"
    if len(written[0]) == len(previous[0]) - 1 and write(written) == step:  # 011 is not what became of 9+2
        for index, operator in enumerate(previous[1]):
            if apply(previous, index, written[0][index]) == written:
                return f"{previous[0][index]}{operator}{previous[0][index + 1]} became {written[0][index]}"
    return f"{write(previous)} became {step}"


def _student_steps(expression: Expression, rng: random.Random, slip_scale: float) -> list[Expression] | None:
    steps = []
    while expression[1]:
        expression = _student_step(expression, rng, slip_scale)
        if not _in_range(expression):
            return None
        steps.append(expression)
    return steps


def _student_step(expression: Expression, rng: random.Random, slip_scale: float) -> Expression:
    for index, result, name in _slips(expression):
        after = apply(expression, index, result)
        if rng.random() < slip_scale * _CHANCES[name] and _in_range(after):
            return after
    return apply(expression, next_operation(expression))


_CHANCES = {
    "addition before multiplication": PRECEDENCE_SLIP,
    "a forgotten carry": CARRY_SLIP,
    "a forgotten borrow": CARRY_SLIP,
    "one multiple too many": TABLE_SLIP / 2,
    "one multiple too few": TABLE_SLIP / 2,
}


def _slips(expression: Expression) -> Iterator[tuple[int, int, str]]:
    """The misconceptions this expression gives occasion for: (operation, its wrong result, name)."""
    numbers, operators = expression
    if not operators:
        return
    index = next_operation(expression)
    if operators[index] == "*" and index > 0:
        # (a + b) * c instead of a + (b * c): the operation itself is done rightly, at the wrong time.
        early = value((numbers[index - 1 : index + 1], operators[index - 1]))
        yield index - 1, early, "addition before multiplication"
    a, b, operator = numbers[index], numbers[index + 1], operators[index]
    if operator == "*":
        yield index, a * (b + 1), "one multiple too many"
        yield index, a * (b - 1), "one multiple too few"
    elif operator == "+" and a % 10 + b % 10 >= 10:
        yield index, a + b - 10, "a forgotten carry"
    elif operator == "-" and a % 10 < b % 10:
        yield index, a - b + 10, "a forgotten borrow"


def _ruled_step(expression: Expression) -> str:
    """The step that the rule writes next; "" after the answer."""
    return write(apply(expression, next_operation(expression))) if expression[1] else ""


def _is_right_step(previous: Expression, written: str) -> bool:
    """Whether a written step carries out one or more operations of the step before and keeps its value."""
    step = parse(written)
    if step is None or write(step) != written or value(step) != value(previous):
        return False
    operations = len(previous[0]) - len(step[0])
    if operations < 1 or not step[1]:
        return operations > 0
    return written in _right_steps_from(previous) or _sum(step) in _sums_after(_sum(previous), operations)


def _begins_right_step(previous: Expression, written: str) -> bool:
    """Whether a step that was cut off may have become a right one: one operation in any order, or more in the order
    there.
    """
    return any(step.startswith(written) for step in _right_steps_from(previous)) or any(
        _begins(written, after) for after in (_sums_after(_sum(previous), 1) if previous[1] else ())
    )


def _begins(text: str, terms: Sum, before: str = "") -> bool:
    """Whether some order of the terms begins with the text. before: what was written of the others."""
    for term in set(terms):
        sign, factors = term
        if not before and sign < 0:
            continue
        rest = list(terms)
        rest.remove(term)
        for order in set(permutations(factors)):
            so_far = before + ("-" if sign < 0 else "+" if before else "") + "*".join(map(str, order))
            if so_far.startswith(text) or (text.startswith(so_far) and _begins(text, tuple(rest), so_far)):
                return True
    return False


def _sum(expression: Expression) -> Sum:
    numbers, operators = expression
    terms, sign, factors = [], 1, [numbers[0]]
    for operator, number in zip(operators, numbers[1:], strict=True):
        if operator == "*":
            factors.append(number)
        else:
            terms.append((sign, factors))
            sign, factors = 1 if operator == "+" else -1, [number]
    return _sorted_sum([*terms, (sign, factors)])


def _sorted_sum(terms) -> Sum:
    return tuple(sorted((1 if factors == [0] else sign, tuple(sorted(factors))) for sign, factors in terms))


@lru_cache(maxsize=1024)
def _sums_after(terms: Sum, operations: int) -> frozenset[Sum]:
    """What that many operations, on any two operands each, can make of a sum."""
    found = {terms}
    for _ in range(operations):
        found = {after for sum_ in found for after in _sums_after_one(sum_)}
    return frozenset(found)


def _sums_after_one(terms: Sum) -> Iterator[Sum]:
    for i, (sign, factors) in enumerate(terms):
        others = [*terms[:i], *terms[i + 1 :]]
        for j, k in combinations(range(len(factors)), 2):
            rest = [f for n, f in enumerate(factors) if n not in (j, k)]
            yield _sorted_sum([*others, (sign, [factors[j] * factors[k], *rest])])
    numbers = [(i, sign * factors[0]) for i, (sign, factors) in enumerate(terms) if len(factors) == 1]
    for (i, a), (j, b) in combinations(numbers, 2):
        others = [term for n, term in enumerate(terms) if n not in (i, j)]
        yield _sorted_sum([*others, (1 if a + b >= 0 else -1, [abs(a + b)])])


@lru_cache(maxsize=4096)
def _right_steps_from(expression: Expression) -> dict[str, Expression]:
    """Every step that one or more value-keeping operations lead to, by its text; at most 2^7 of them."""
    target, found, frontier = value(expression), {}, [expression]
    while frontier:
        current = frontier.pop()
        for index in range(len(current[1])):
            after = apply(current, index)
            if write(after) not in found and min(after[0]) >= 0 and value(after) == target:
                found[write(after)] = after
                frontier.append(after)
    return found


def _meant_step(previous: Expression, written: str) -> str:
    """The right step that a wrong one comes nearest to: same operation, else the rule's; "" after the answer."""
    wrong = parse(written)
    if wrong is not None and len(wrong[0]) == len(previous[0]) - 1:
        for index in range(len(previous[1])):
            meant = write(apply(previous, index))
            if apply(previous, index, wrong[0][index]) == wrong and meant in _right_steps_from(previous):
                return meant
    return _ruled_step(previous)


def _in_range(expression: Expression) -> bool:
    return all(0 <= n <= LARGEST for n in expression[0])


def _common_prefix(a: str, b: str) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
