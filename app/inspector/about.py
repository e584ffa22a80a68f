"""What a saved picture of the solution that Inspect looks at says of itself."""

from __future__ import annotations

from app.inspector.inspection import Scene
from vimpo_core.formats.about import about_film, about_solution, about_step, run_words


def of_solution(scene: Scene, beta: float, gae_lambda: float | None = None) -> dict:
    return about_solution(scene.trace, _run(scene), beta, gae_lambda, is_typed=scene.is_typed)


def of_film(scene: Scene, beta: float, gae_lambda: float) -> dict:
    return about_film(scene.trace, _run(scene), beta, gae_lambda, is_typed=scene.is_typed)


def of_step(scene: Scene, beta: float) -> dict:
    return about_step(_run(scene), scene.step, beta)


def _run(scene: Scene) -> str:
    run = scene.source.run
    return run_words(run.name, run.run_id, run.algorithm, scene.source.tool)
