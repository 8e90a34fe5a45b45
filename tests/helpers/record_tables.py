"""What the tables of :mod:`pages.ui.widgets.record_table` get, in Streamlit's test harness."""

import json

from streamlit.testing.v1 import AppTest


def record_tables(app: AppTest) -> list[dict]:
    """All tables of the page."""
    found = [one.proto for one in app.get("bidi_component") if one.proto.component_name.endswith("record_table")]
    return [json.loads(one.mixed.json or one.json) for one in found]


def record_table(app: AppTest, label: str = "All runs") -> dict:
    """The table whose label for screen readers starts like this."""
    return next(one for one in record_tables(app) if one["label"].startswith(label))


def cells(app: AppTest, label: str = "All runs") -> dict[str, dict[str, str]]:
    """The texts of a table, by row and column."""
    table = record_table(app, label)
    titles = [column["title"] for column in table["columns"][1:]]
    return {
        row["name"]: dict(zip(titles, [cell["text"] for cell in row["cells"]], strict=True)) for row in table["rows"]
    }
