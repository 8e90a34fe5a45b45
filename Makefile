# make app    install and start the app
# make test   install, check and run the tests
# make check  only the checks: style, spelling, import contracts, types
# make oracles  compare patching and votes with nnsight and TransformerLens, in an environment of their own
# make docs   build the API reference from the docstrings, in docs/api
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: app test oracles check format docs pictures web-runtime shipped-runs photo-run clean

app: $(VENV)/.app
	$(BIN)/streamlit run streamlit_app.py

# Many tests wait for a browser or another process, so three workers keep two cores busy.
test: check
	$(BIN)/python -m pytest -n 3 --dist worksteal $(PYTEST_ARGS)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

# nnsight and TransformerLens bring sixty packages (540 MB) that nothing else here needs, so they have an environment of
# their own. In make test these tests are skipped; here, a library that cannot be imported is an error.
oracles: $(VENV)-oracles/.oracles
	$(VENV)-oracles/bin/python -W ignore -c 'import nnsight, transformer_lens'
	HF_HUB_OFFLINE=1 $(VENV)-oracles/bin/python -m pytest tests/oracles

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.test
	$(BIN)/python -m docs.api

# Screenshots of the README; needs Chromium.
pictures: $(VENV)/.test
	$(BIN)/python -m docs.pictures

# ONNX Runtime Web for exported web pages, fetched anew; needs npm. Its version is in vit/exports/web_page/runtime.py.
web-runtime: $(VENV)/.test
	version=$$($(BIN)/python -c "from vit.exports.web_page import runtime; print(runtime.VERSION)") && \
	npm pack --silent --pack-destination $(VENV) onnxruntime-web@$$version && \
	$(BIN)/python -m vit.exports.web_page.vendor $(VENV)/onnxruntime-web-$$version.tgz

$(VENV)/.app: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

$(VENV)/.test: $(VENV)/.app pyproject.toml
	$(BIN)/python -m pip install -e '.[test]'
	touch $@

# The included runs. scenes is the default network with a grid of 16 x 16 patches, wider, and trained on more scenes;
# scenes-dino is the default network with twice the heads and the width, trained without classes.
shipped-runs: $(VENV)/.app
	rm -rf checkpoints/scenes checkpoints/scenes-dino
	$(BIN)/python -m vit train --run scenes --patch-size 4 --num-heads 4 --embed-dim 96 --train-images 10000 --epochs 15 \
		--snapshots 8
	$(BIN)/python -m vit train --run scenes-dino --recipe dino --local-crops 0 --init-values 0 --swap-backgrounds 1 \
		--num-heads 4 --lr 5e-4 --train-images 10000 --epochs 20 --snapshots 8
	for run in scenes scenes-dino; do \
		$(BIN)/python -c "from PIL import Image; from vit.data import scenes; \
			Image.fromarray(scenes.draw(3, split='val', image_size=224)[0]).save('checkpoints/$$run/sample.png')" && \
		$(BIN)/python -m vit attention --run $$run checkpoints/$$run/sample.png --out checkpoints/$$run/attention.png && \
		rm checkpoints/$$run/last.safetensors || exit 1; \
	done
	$(BIN)/python -c "from vit import get_run; from vit.explain.example import keep_example; \
		keep_example(get_run('scenes'))"

# A run on photographs: CIFAR-10, whose images may not be shipped, is downloaded first. Its teacher is a CNN.
photo-run: $(VENV)/.app
	$(BIN)/python -m vit data --dataset cifar10
	$(BIN)/python -m vit train --dataset cifar10 --model cnn --epochs 15 --run cifar10-cnn
	$(BIN)/python -m vit train --dataset cifar10 --num-heads 3 --recipe strong --teacher cifar10-cnn --epochs 20 --run cifar10

# It sees the packages of the other environment, so that torch is there once; its own versions come first.
$(VENV)-oracles/.oracles: $(VENV)/.test
	test -x $(VENV)-oracles/bin/python || $(PYTHON) -m venv $(VENV)-oracles
	paths='import sysconfig; print(sysconfig.get_path("purelib"))' && \
	$(BIN)/python -c "$$paths" > $$($(VENV)-oracles/bin/python -c "$$paths")/beside.pth
	$(VENV)-oracles/bin/python -m pip install -e '.[oracles]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-oracles *.egg-info docs/api
