"""Download the weights of timm's models from the Hugging Face hub, as safetensors files only."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from vit.data.catalog.download import Archive, fetch_archive
from vit.errors import UserError
from vit.paths import data_dir
from vit.published.model_description import PublishedModel

FILES = ("model.safetensors", "open_clip_model.safetensors")
"""Possible file names on the hub, most likely first."""
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


def find(published: PublishedModel) -> Remote | Path:
    """Find the safetensors file of a model, in the local cache of huggingface_hub or on the hub.

    Raises:
        UserError: there is no such file, or no connection.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    repo = str(published.cfg.get("hf_hub_id") or "")
    if not repo:
        raise UserError(f"{published.name} is published only as pickled weights, which are never opened here.")
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
            raise UserError(f"Access to {repo} on the hub is restricted: choose another model.") from error
        except OfflineModeIsEnabled as error:
            raise UserError("HF_HUB_OFFLINE is set, so nothing is downloaded: unset it, or open a file.") from error
        except HfHubHTTPError as error:
            raise UserError(f"The hub reports an error for {repo} ({error}): try again later."[:300]) from error
        except Exception as error:  # huggingface_hub uses different HTTP libraries
            raise UserError(
                "There is no connection to the Hugging Face hub, which holds the models: check the network, or open a "
                "safetensors file that you have."
            ) from error
        if not found.etag or len(found.etag) != _SHA256 or not found.size or found.size > _BYTES_MAX:
            raise UserError(f"The hub does not state size and checksum of {name} in {repo}, so it is not downloaded.")
        return Remote(repo, name, url, found.size, found.etag)
    raise UserError(
        f"{published.name} is published only as pickled weights, without a safetensors file. Pickles can run programs "
        "and are never opened here."
    )


def fetch(published: PublishedModel, progress: Progress | None = None) -> Path:
    """Return the safetensors file of a model, downloaded if it is not on this machine.

    Args:
        published: the model.
        progress: called with (bytes done, bytes in total). An exception that it raises ends the download; the next
            download continues from there.

    Raises:
        UserError: there is no such file, no connection or too little disk space, or the checksum is wrong.
    """
    found = find(published)
    if isinstance(found, Path):
        return found
    archive = Archive(found.url, f"{published.name}.safetensors", sha256=found.sha256)
    folder().mkdir(parents=True, exist_ok=True)
    with FileLock(folder() / f".{published.name}.lock"):  # two downloads must not write to one file
        for done, _ in fetch_archive(published.name, archive, folder()):
            if progress:
                progress(done, found.size)
    return folder() / archive.path


def folder() -> Path:
    """Return the folder of downloads that are not runs yet."""
    return data_dir() / "published"


def forget(path: Path) -> None:
    """Delete a download that has become a run. Files in the cache of huggingface_hub are kept."""
    if path.parent == folder():
        path.unlink(missing_ok=True)
