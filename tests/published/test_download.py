"""Downloads of models from a local hub."""

import pytest

timm = pytest.importorskip("timm")
hub_library = pytest.importorskip("huggingface_hub")

from safetensors.torch import save  # noqa: E402

from tests.published.hub import serving_hub  # noqa: E402
from tests.published.models import scramble  # noqa: E402
from vit.data.catalog import download as transfer  # noqa: E402
from vit.errors import UserError  # noqa: E402
from vit.published import download, model_description  # noqa: E402
from vit.published.open import open_named  # noqa: E402
from vit.runs.weights import load_checkpoint  # noqa: E402

NAME = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def point_to(address: str, monkeypatch) -> None:
    """Do the same as ``HF_ENDPOINT``, which is only read at import."""
    monkeypatch.setattr(hub_library.constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(hub_library.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(scope="module")
def content() -> bytes:
    return save(scramble(timm.create_model("vit_tiny_patch16_224")).state_dict())


@pytest.fixture
def hub(home, content, monkeypatch):
    monkeypatch.setattr(transfer, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(hub_library, "try_to_load_from_cache", lambda repo, name: None)
    with serving_hub({f"timm/{NAME}/model.safetensors": content}) as hub:
        point_to(hub.address, monkeypatch)
        yield hub


def test_a_model_is_downloaded_by_name_and_opened(hub, content):
    seen = []
    run = open_named("vit_tiny_patch16_224", progress=lambda done, total: seen.append((done, total)))
    assert run.name == NAME
    assert run.config.published == NAME
    assert seen[-1] == (len(content), len(content))
    assert load_checkpoint(run.path)[1].class_names[:2] == ("tench", "goldfish")
    assert run.config.data.crop_pct == 0.9
    assert not list(download.folder().glob("*.safetensors"))  # the run has the weights now


def test_a_stopped_download_continues_where_it_stopped(hub, content):
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 2**20:
            raise Stopped

    with pytest.raises(Stopped):
        open_named(NAME, progress=stop)
    assert open_named(NAME).has_weights
    assert hub.asked[0] == ""
    assert int(hub.asked[1].removeprefix("bytes=").rstrip("-")) > 2**20


def test_a_file_with_a_wrong_checksum_is_not_kept(hub, content, monkeypatch):
    published = model_description.by_name(NAME)
    found = download.find(published)
    monkeypatch.setattr(download, "find", lambda published: found._replace(sha256="0" * 64))
    with pytest.raises(UserError, match="its checksum differs"):
        open_named(NAME)
    assert not list(download.folder().glob("*.safetensors"))


def test_pickled_weights_are_not_downloaded(hub):
    hub.files.clear()
    hub.files[f"timm/{NAME}/pytorch_model.bin"] = b"\x80\x04"
    with pytest.raises(UserError, match="only as pickled weights, without a safetensors file"):
        open_named(NAME)
    assert hub.asked == []


def test_unsupported_models_are_not_downloaded(hub):
    with pytest.raises(UserError, match="distillation token"):
        open_named("deit_tiny_distilled_patch16_224")
    assert hub.asked == []


def test_the_local_cache_of_the_hub_is_used_and_kept(home, content, monkeypatch):
    kept = home / "kept.safetensors"
    kept.write_bytes(content)
    monkeypatch.setattr(hub_library, "try_to_load_from_cache", lambda repo, name: str(kept))
    assert open_named(NAME).has_weights
    assert kept.exists()


def test_a_missing_connection_is_reported_in_one_sentence(home, monkeypatch):
    monkeypatch.setattr(hub_library, "try_to_load_from_cache", lambda repo, name: None)
    point_to("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(UserError, match=r"There is no connection .* that you have\.$"):
        open_named(NAME)


def test_limits_are_checked_before_the_download(hub):
    def adapt(config):
        raise UserError(f"too large: {config.model.image_size}")

    with pytest.raises(UserError, match="too large: 224"):
        open_named(NAME, adapt=adapt)
    assert hub.asked == []
