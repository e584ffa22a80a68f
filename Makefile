# Wrappers of the README's plain commands.
.PHONY: app test lint bench
app:
	streamlit run app
test:
	python -m pytest
lint:
	ruff check .
	ruff format --check .
	mypy
bench:
	python -m vimpo_core bench step
	python -m vimpo_core bench sampler
	python -m vimpo_core bench web
	python -m vimpo_core bench compare
	python -m vimpo_core bench kill
