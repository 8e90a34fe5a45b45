"""Weights of timm's models from the hub that they are published on; safetensors files and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from vit.data.catalog.download import Archive, fetch_archive
from vit.errors import UserError
from vit.paths import data_dir
from vit.published.loading import Origin

FILES = ("model.safetensors", "open_clip_model.safetensors")
"""What they are called there, the likeliest first."""
TIMEOUT_SECONDS = 10
_BYTES_MAX = 16 * 2**30
_SHA256 = 64

Progress = Callable[[int, int], None]


class Remote(NamedTuple):
    """A file on the hub."""

    repo: str
    name: str
    url: str
    size: int
    sha256: str


def find(origin: Origin) -> Remote | Path:
    """Where the safetensors file of a model is: on this machine, where some program fetched it, or on the hub.

    Raises:
        UserError: there is none, or no connection.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    repo = str(origin.cfg.get("hf_hub_id") or "")
    if not repo:
        raise UserError(f"{origin.name} is published as pickled weights alone, which are never opened here.")
    for name in FILES:
        kept = hub.try_to_load_from_cache(repo, name)
        if isinstance(kept, str):
            return Path(kept)
    for name in FILES:
        url = hub.hf_hub_url(repo, name)
        try:
            found = hub.get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS)
        except hub.errors.EntryNotFoundError:
            continue
        except (RepositoryNotFoundError, GatedRepoError) as error:
            raise UserError(f"The hub does not hand out {repo} to everybody: choose another model.") from error
        except OfflineModeIsEnabled as error:
            raise UserError("HF_HUB_OFFLINE is set, so nothing is fetched: unset it, or open a file.") from error
        except HfHubHTTPError as error:
            raise UserError(f"The hub does not answer for {repo} now ({error}): try again later."[:300]) from error
        except Exception as error:  # of whichever HTTP library
            raise UserError(
                "There is no connection to the Hugging Face hub, where models are fetched from: check the network, or "
                "open a safetensors file that you have."
            ) from error
        if len(found.etag or "") != _SHA256 or not found.size or found.size > _BYTES_MAX:
            raise UserError(f"The hub does not say what {name} of {repo} holds, so it is not fetched.")
        return Remote(repo, name, url, found.size, found.etag)
    raise UserError(
        f"{origin.name} is published as pickled weights alone, without a safetensors file: those can run programs and "
        "are never opened here."
    )


def fetch(origin: Origin, progress: Progress | None = None) -> Path:
    """The safetensors file of a model, fetched unless it is on this machine.

    Args:
        progress: called with bytes fetched and bytes in all; what it raises ends the download. The next one goes on
            from there.

    Raises:
        UserError: there is none, no connection, too little disk space, or not the published content.
    """
    found = find(origin)
    if isinstance(found, Path):
        return found
    archive = Archive(found.url, f"{origin.name}.safetensors", sha256=found.sha256)
    folder().mkdir(parents=True, exist_ok=True)
    with FileLock(folder() / f".{origin.name}.lock"):  # two who want the same one would write into each other's file
        for done, _ in fetch_archive(origin.name, archive, folder()):
            if progress:
                progress(done, found.size)
    return folder() / archive.path


def folder() -> Path:
    """Where downloads lie until they have become runs."""
    return data_dir() / "published"


def forget(path: Path) -> None:
    """Delete a download whose weights a run has; what another program fetched is left where it is."""
    if path.parent == folder():
        path.unlink(missing_ok=True)
