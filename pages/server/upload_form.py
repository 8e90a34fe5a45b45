"""Read the form in which a browser sends an uploaded file, piece by piece."""

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

logging.getLogger("python_multipart.multipart").setLevel(logging.ERROR)  # one line for each invalid form
_HEADER_BYTES_MAX = 8192


class FormError(Exception):
    """Raised when a request is not a form with exactly one file."""


class FileForm:
    """A multipart form with one file, of which only the bytes that have just arrived are in memory.

    Args:
        content_type: the request's header, which contains the boundary.

    Attributes:
        name: name of the file on the visitor's machine.
        type: type of the file, as the browser names it.
        complete: whether the end of the form was read.

    Raises:
        FormError: the request is not a form.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise FormError
        self.name, self.type, self.complete = "", "application/octet-stream", False
        self._field, self._value = bytearray(), bytearray()
        self._files = self._header_bytes = 0
        self._content = bytearray()
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._add(self._field, data[start:end]),
                    "on_header_value": lambda data, start, end: self._add(self._value, data[start:end]),
                    "on_header_end": self._end_header,
                    "on_part_data": lambda data, start, end: self._content.extend(data[start:end]),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise FormError from error

    def feed(self, data: bytes) -> None:
        """Read the next piece of the request.

        Raises:
            FormError: the form is invalid, or has something else than one file.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise FormError from error

    @property
    def waiting(self) -> int:
        """The number of bytes that :meth:`take` would return."""
        return len(self._content)

    def take(self) -> bytes:
        """Return the bytes of the file that were read since the last call."""
        content, self._content = self._content, bytearray()
        return bytes(content)

    def _begin(self) -> None:
        self._files += 1
        if self._files > 1:
            raise FormParserError("more than one part")

    def _add(self, text: bytearray, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > _HEADER_BYTES_MAX:
            raise FormParserError("the headers are too long")
        text.extend(data)

    def _end_header(self) -> None:
        field, value = bytes(self._field).lower(), bytes(self._value)
        self._field.clear()
        self._value.clear()
        if field == b"content-disposition":
            _, options = parse_options_header(value)
            if b"filename" not in options:
                raise FormParserError("a field that is not a file")
            self.name = options[b"filename"].decode("utf-8", "replace")
        elif field == b"content-type":
            self.type = value.decode("latin-1")

    def _end(self) -> None:
        self.complete = self._files == 1
