"""Trainings of tests, and what two of them have to share."""

from vimpo_core.trainer import Trainer


def train(config, resume_state=None):
    """All records from there on."""
    trainer, records = Trainer(config, resume_state), []
    while not trainer.done:
        records.append(trainer.step())
    return records


def assert_same_record(a, b):
    """Bit for bit, timings apart."""
    assert (a.step, a.metrics, a.resume_state, a.snapshot) == (b.step, b.metrics, b.resume_state, b.snapshot)
    for x, y in zip(a.traces, b.traces, strict=True):
        for name in ("ids", "logprob", "ref_logprob", "kl", "entropy", "sampler_logprob"):
            assert getattr(x, name).tobytes() == getattr(y, name).tobytes()
        assert (x.reward, x.prompt_text, x.text) == (y.reward, y.prompt_text, y.text)
