"""Base class of all settings: immutable, validated, with readable errors."""

from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from vit.errors import SettingsError


class Limits(NamedTuple):
    """Smallest and largest value that a field accepts, and its default."""

    low: float | None
    high: float | None
    default: Any


class Settings(BaseModel):
    """Base of all settings: immutable, without unknown names, and with errors in the user's words."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None

    @classmethod
    def limits(cls, field: str) -> Limits:
        """Return the bounds and the default of one field, read from its declaration."""
        info = cls.model_fields[field]
        low = max((item.ge for item in info.metadata if hasattr(item, "ge")), default=None)
        high = min((item.le for item in info.metadata if hasattr(item, "le")), default=None)
        return Limits(low, high, info.default)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read settings from JSON.

        Raises:
            SettingsError: the text is not JSON, or a value is missing or out of bounds.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SettingsError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    if first["type"] == "value_error":  # raised by a validator of this package, which writes whole sentences
        return str(first["ctx"]["error"])
    if first["type"] == "json_invalid":
        return f"not JSON ({first['ctx']['error']})."
    place = ".".join(str(part) for part in first["loc"]) or "settings"
    if first["type"] == "union_tag_invalid":
        tag, known = first["ctx"]["tag"], first["ctx"]["expected_tags"]
        return f"{place}.architecture = {tag!r} is not known: choose one of {known}."
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{place} = {str(first.get('input'))[:60]!r} is not possible: {message}."
