"""JavaScript and CSS that the app's widgets and exported pages share."""

from pathlib import Path

FOLDER = Path(__file__).parent
