"""The values of widgets as Streamlit's code in the browser sends them."""

import json
from collections.abc import Callable
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetState

TRIGGER_ID = "$$STREAMLIT_INTERNAL_KEY_{}__events"
_FIELDS = {
    "selectbox": "string_value",
    "text_input": "string_value",
    "number_input": "double_value",
    "checkbox": "bool_value",
}
_ARRAYS = {"button_group": "string_array_value", "slider": "double_array_value"}


def event_state(identity: str, event: str, value: Any) -> WidgetState:
    """Return the state of the JavaScript component with this id that sends an event."""
    payload = json.dumps([{"event": event, "value": value}])
    return WidgetState(id=TRIGGER_ID.format(identity), json_trigger_value=payload)


def widget_state(identity: str, kind: str, value: Any) -> WidgetState:
    """Return the state of a widget of a kind, as the browser sends it."""
    state = WidgetState(id=identity)
    if kind == "slider" and isinstance(value, list) and any(isinstance(one, str) for one in value):
        state.string_array_value.data.extend(value)
    elif kind in _ARRAYS:
        getattr(state, _ARRAYS[kind]).data.extend(value if isinstance(value, list) else [value])
    else:
        setattr(state, _FIELDS[kind], value)
    return state


def _selected(proto: Any) -> str | None:
    if proto.set_value:
        return proto.raw_value
    return proto.options[proto.default] if proto.HasField("default") and proto.options else None


def _chosen(proto: Any) -> list[str]:
    return list(proto.raw_values) if proto.set_value else [proto.options[index].content for index in proto.default]


def _slid(proto: Any) -> list[float] | list[str]:
    if proto.set_value and proto.raw_value:
        return list(proto.raw_value)
    values = list(proto.value if proto.set_value else proto.default)
    return [proto.options[int(value)] for value in values] if proto.options else values  # of st.select_slider


def _number(proto: Any) -> float | None:
    if proto.set_value:
        return proto.value
    return proto.default if proto.HasField("default") else None


INITIAL: dict[str, Callable[[Any], Any]] = {
    "selectbox": _selected,
    "button_group": _chosen,
    "number_input": _number,
    "text_input": lambda proto: proto.value if proto.set_value else proto.default,
    "checkbox": lambda proto: proto.value if proto.set_value else proto.default,
    "slider": _slid,
}
"""The initial value of a widget, by kind."""
