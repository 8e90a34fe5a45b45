"""JSON files that are larger than memory should be: read item by item."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

_PIECE = 2**20
ITEM_CHARS_MAX = 2**24
"""A longer value is taken for a broken file rather than read into memory."""

_AFTER_VALUE = ",:]} \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


def items(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The elements of the arrays in a JSON object, in the order of the file, each with its array's key.

    ``{"images": [1, 2], "info": 3, "notes": [4]}`` gives ("images", 1), ("images", 2), ("notes", 4).

    Raises:
        ValueError: not UTF-8, no JSON object, or cut off.
    """
    text = _Text(file)
    text.take("{")
    while True:
        key = text.value()
        text.take(":")
        if text.peek() != "[":
            text.value()
        else:
            text.take("[")
            if text.peek() == "]":
                text.take("]")
            else:
                yield key, text.value()
                while text.take(",]") == ",":
                    yield key, text.value()
        if text.take(",}") == "}":
            return


class _Text:
    """The part of the file that is being read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._text, self._at = io.TextIOWrapper(file, "utf-8"), "", 0

    def peek(self) -> str:
        """The next character that is no space."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()
            if self._at < len(self._text):
                return self._text[self._at]
            self._read_on()

    def take(self, choices: str) -> str:
        """Step over the next character that is no space: one of these."""
        if (found := self.peek()) not in choices:
            raise ValueError(f"{found!r} where one of {choices!r} was expected")
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _decode(self._text, self._at)
                if end < len(self._text) and self._text[end] in _AFTER_VALUE:  # a number may go on in the next piece
                    self._at = end
                    return value
            except json.JSONDecodeError:  # so may anything else
                pass
            self._read_on()

    def _read_on(self) -> None:
        if len(self._text) - self._at > ITEM_CHARS_MAX:
            raise ValueError("no end of a value in sight")
        piece = self._file.read(_PIECE)
        if not piece:
            raise ValueError("the file is cut off")
        self._text, self._at = self._text[self._at :] + piece, 0
