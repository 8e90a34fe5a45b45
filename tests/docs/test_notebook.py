"""The notebook in examples/: every cell runs, and it is stored without outputs."""

import json
import re

import pytest

from tests.helpers.serving import ROOT
from vit import runs

nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOK = ROOT / "examples" / "explore.ipynb"
TINY = {
    "dataset": "scenes",
    "num_heads": 2,
    "depth": 2,
    "embed_dim": 16,
    "image_size": 32,
    "stem": "patch",
    "epochs": 2,
    "batch_size": 20,
    "train_images": 60,
    "val_images": 30,
}


def test_it_is_stored_without_outputs():
    assert all(not cell.get("outputs") for cell in json.loads(NOTEBOOK.read_text())["cells"])


def test_every_cell_runs_and_figures_appear(home):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (settings,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    settings.source = f"settings = {TINY}"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": ROOT}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    figures = [output for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    asked = sum(bool(re.match(r"plots\.(?!head_sheet)", cell.source.splitlines()[-1])) for cell in notebook.cells)
    trained = [output for output in figures if "Training" in json.dumps(output["data"])]
    assert len(trained) == 1, "the curves of the training are one output, which grows"
    assert len(figures) >= asked >= 5
    (run,) = runs.list_runs()
    assert run.state == "finished"
