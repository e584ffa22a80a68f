"""Models of the Hugging Face hub: fetched when a person asks for one, kept in the hub's own cache, pinned to a commit.

What was fetched is found again without a network. No torch here, and the hub's library is imported late.
"""

from __future__ import annotations

import contextlib
import errno
import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from vimpo_core.lm import model_files
from vimpo_core.mistake import Mistake

ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}(@[A-Za-z0-9_][\w./-]{0,99})?")
_COMMIT = re.compile("[0-9a-f]{40}")
_SMALL = {
    "adapter_config.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "model.safetensors.index.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
}
_WEIGHTS = re.compile(r"(adapter_)?model(-\d{5}-of-\d{5})?\.safetensors")
_SECONDS = 15


def split(source: str) -> tuple[str, str]:
    """Repository and revision of org/name[@revision]; "main" where none is named."""
    repo, _, revision = source.partition("@")
    return repo, revision or "main"


def folder_of(source: str) -> Path:
    """Where the hub's cache has, or would have, the files of a repository at a revision."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    repo, revision = split(source)
    storage = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    commit = revision
    if not _COMMIT.fullmatch(revision):
        with contextlib.suppress(OSError):
            commit = (storage / "refs" / revision).read_text(encoding="ascii").strip()
    return storage / "snapshots" / commit


def all_here() -> list[str]:
    """The repositories of the cache whose main revision is whole."""
    from huggingface_hub import constants

    names = [path.name.split("--", 2)[1:] for path in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*"))]
    return [repo for repo in map("/".join, names) if is_here(repo)]


def is_here(source: str) -> bool:
    return not model_files.lacking(folder_of(source))


def pinned(source: str) -> str:
    """org/name@COMMIT of a repository whose files are in the cache. Mistake where they are not."""
    if not is_here(source):
        raise Mistake(
            f"{source} is neither a folder here nor a model that was fetched. Fetch it from the Hugging Face hub: "
            f"python -m vimpo_core models get {source}"
        )
    return f"{split(source)[0]}@{folder_of(source).name}"


def fetch(source: str, told: Callable[[int, int], None] | None = None, weights: bool = True) -> str:
    """Fetch a repository's configuration, tokenizer and safetensors files, and nothing else; returns org/name@COMMIT.

    Args:
        told: how many bytes there are by now, and of how many.
        weights: False fetches the small files alone, to look at before the large ones are asked for.

    Raises:
        Mistake: no such repository or revision, a login or a network is needed, no weights in safetensors, not enough
            space, or a network of a kind that cannot be trained here. What came so far stays in the cache, where it is
            taken up again.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    repo, revision = split(source)
    with _in_words(repo, revision):
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=_SECONDS)
        sizes = {f.rfilename: f.size or 0 for f in info.siblings or []}
        _refuse_without_weights(repo, sizes)
        if "config.json" in sizes:
            config = Path(hf_hub_download(repo, "config.json", revision=info.sha))
            if why := model_files.refusal(model_files.settings_of(config.parent)):
                raise Mistake(f"{repo} {why}")
        names = [n for n in sizes if n in _SMALL or (weights and _WEIGHTS.fullmatch(n))]
        _refuse_without_room(repo, sum(sizes[n] for n in names))
        bars = _bars(told or (lambda done, total: None), sum(sizes[n] for n in names))
        folder = snapshot_download(repo, revision=revision, allow_patterns=names, tqdm_class=bars)
    return f"{repo}@{Path(folder).name}"


def _refuse_without_weights(repo: str, sizes: dict[str, int]) -> None:
    if any(_WEIGHTS.fullmatch(name) for name in sizes):
        return
    if any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in sizes):
        raise Mistake(f"{repo} has no weights in safetensors, and no other format is loaded. {_convert(repo)}")
    if gguf := next((name for name in sizes if name.lower().endswith(".gguf")), None):
        raise Mistake(
            f"{repo} holds GGUF files alone. Download one (`hf download {repo} {gguf}`) and give its path, or use the "
            "repository that it was made from."
        )
    raise Mistake(f"{repo} holds no model in transformers format: no *.safetensors. Choose another repository.")


def _convert(repo: str) -> str:
    return f"Convert them once: {model_files.conversion_command(repo)}"


def _refuse_without_room(repo: str, needed: int) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = next((folder for folder in (cache, *cache.parents) if folder.is_dir()), None)
    free = shutil.disk_usage(there).free if there else needed
    if needed > free:
        raise Mistake(
            f"{repo} takes {needed / 1e9:.1f} GB, and {cache} has {free / 1e9:.1f} GB free. Free some space, or let "
            "HF_HOME name a folder on another disk."
        )


def _bars(told: Callable[[int, int], None], total: int):
    """The class of the bars that the hub's library moves: they draw nothing and tell how many bytes are on the disk."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args, **options):
            self._is_of_bytes = str(options.get("desc", "")).startswith("Reconstructing")
            options.pop("name", None)
            super().__init__(*args, **options | {"file": io.StringIO(), "mininterval": 3600})

        def update(self, n=1):
            shown = super().update(n)
            if self._is_of_bytes:
                told(min(int(self.n), total), total)
            return shown

    return Bar


@contextlib.contextmanager
def _in_words(repo: str, revision: str) -> Iterator[None]:
    """The errors of the hub and of the network, each as one sentence that says what to do."""
    from huggingface_hub import errors

    try:
        yield
    except Mistake:
        raise
    except errors.GatedRepoError as error:
        raise Mistake(
            f"{repo} needs a login and its owner's leave. Accept its terms at https://huggingface.co/{repo}, run "
            "`hf auth login`, and try again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise Mistake(
            f"the Hugging Face hub has no model {repo}, or it is private and needs a login. Check the name, or run "
            "`hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise Mistake(f"{repo} has no revision {revision!r}. Name a branch, a tag or a whole commit.") from error
    except errors.HFValidationError as error:
        raise Mistake(f"{repo!r} is no name of the hub. Write org/name, optionally with @revision.") from error
    except errors.OfflineModeIsEnabled as error:
        raise Mistake(
            f"{repo} is not on this machine, and HF_HUB_OFFLINE forbids to ask the hub. Unset it, and try again."
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", "an error")
        if status in (401, 403):
            raise Mistake(f"{repo} needs a login. Run `hf auth login` with an account that may read it.") from error
        raise Mistake(f"the hub answered {status} when it was asked for {repo}. Try again in a while.") from error
    except (errors.LocalEntryNotFoundError, errors.HTTPError, ConnectionError, TimeoutError) as error:
        raise Mistake(
            f"{repo} could not be fetched, as the hub cannot be reached. Check the network, and try again: what came "
            "so far is kept."
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Mistake(f"{repo} could not be fetched: the disk is full. Free some space, and try again.") from error
        raise
