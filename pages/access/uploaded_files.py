"""Read the files that a visitor has uploaded, and delete them afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFile, UploadedFileRec

from pages.server.upload_store import StoredUpload
from vit.errors import DataError

GONE = "This upload is no longer on the server: upload the file again."


def is_there(file: Any) -> bool:
    """Return whether the value of an uploader is a file that the server still has."""
    return file is not None and not isinstance(file, DeletedFile)


@contextmanager
def opened(file: Any) -> Iterator[BinaryIO]:
    """Open an uploaded file: on the disk, where :mod:`pages.server.upload_store` keeps it.

    Args:
        file: the value of ``st.file_uploader`` or ``st.camera_input``, or another seekable stream.

    Raises:
        DataError: the server has deleted it.
    """
    if not isinstance(file, UploadedFile | DeletedFile):
        yield file
        return
    record = _record(file)
    if record is None:
        raise DataError(GONE)
    if isinstance(record, StoredUpload):
        try:
            stream = record.file.path.open("rb")
        except OSError as error:
            raise DataError(GONE) from error
        with stream:
            yield stream
    else:
        assert isinstance(file, UploadedFile)
        file.seek(0)
        yield file


def release(*files: Any) -> None:
    """Delete uploaded files from the server after they were read; give the widget a new key as well."""
    context = get_script_run_ctx()
    for file in files:
        if isinstance(file, UploadedFile) and context is not None:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)  # type: ignore[attr-defined]


def _record(file: UploadedFile | DeletedFile) -> UploadedFileRec | None:
    context = get_script_run_ctx()
    found = context.uploaded_file_mgr.get_files(context.session_id, [file.file_id]) if context is not None else []
    return found[0] if found else None
