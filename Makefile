# make app    install and start the app
# make test   install, check and run the tests
# make check  only the checks: style, spelling, import contracts, types
# make docs   build the API reference from the docstrings, in docs/api
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: app test check format docs pictures shipped-run clean

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

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.test
	$(BIN)/python -m docs.api

# Screenshots of the README; needs Chromium.
pictures: $(VENV)/.test
	$(BIN)/python -m docs.pictures

$(VENV)/.app: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

$(VENV)/.test: $(VENV)/.app pyproject.toml
	$(BIN)/python -m pip install -e '.[test]'
	touch $@

# The run in checkpoints/scenes-vit: the default model and recipe on the built-in data set. Ten minutes on two cores.
SHIPPED := checkpoints/scenes-vit
shipped-run: $(VENV)/.app
	rm -rf $(SHIPPED)
	$(BIN)/python -m vit train --run scenes-vit --snapshots 5
	$(BIN)/python -c "from PIL import Image; from vit.data import scenes; \
		Image.fromarray(scenes.draw(3, split='val', image_size=224)[0]).save('$(SHIPPED)/sample.png')"
	$(BIN)/python -m vit attention --run scenes-vit $(SHIPPED)/sample.png --out $(SHIPPED)/attention.png
	rm $(SHIPPED)/last.safetensors

clean:
	rm -rf $(VENV) *.egg-info docs/api
