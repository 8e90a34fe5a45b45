"""Uploaded files on the disk, and how much of it they may take on a demo.

Streamlit keeps the bytes of an upload in memory until its session has ended, and copies them for the page. Here they
lie in a temporary folder; Streamlit's record of the file holds no bytes. A file is deleted with its record: by the page
that has read it, by its widget, or at the end of its session.
"""

import secrets
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from pages.server.limits import MB, DemoLimits
from vit.data.files import zips
from vit.paths import data_dir

HELD_OF_SESSION, HELD_OF_ADDRESS, HELD = 2, 5, 10
"""Disk space for the uploads of one session, of one address and of all, as multiples of the largest upload."""
SMALLEST = 2**16
"""Bytes that a file counts at least, so that the number of files is limited, too."""
GONE_SECONDS = 120.0
"""Seconds after which the files of a disconnected session are deleted; until then its browser may reconnect."""


class NoRoom(Exception):
    """Raised when an upload does not fit into the space for uploads."""


class FileOnDisk:
    """A file in the folder of uploads that is deleted together with this object.

    Attributes:
        path: the file.
        size: its bytes.
        address: mark of the internet address that it comes from; empty if it is unknown.
        delete: deletes it now.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.address = ""
        self.delete = weakref.finalize(self, _delete, path)


def _delete(path: Path) -> None:
    with suppress(OSError):  # Windows does not delete a file that is still open; then it goes with the folder
        path.unlink(missing_ok=True)


class StoredUpload(UploadedFileRec):
    """Streamlit's record of an upload whose bytes are on the disk; its ``data`` is empty."""

    file: FileOnDisk


class UploadFolder:
    """The temporary folder of uploads. It is made for the first one and deleted when the server ends.

    If the server is killed, the next one that uses the same data folder deletes it.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.path: Path | None = None

    def new_file(self) -> FileOnDisk:
        """Return a file with a name of its own, which does not exist yet.

        Raises:
            OSError: the folder cannot be made.
        """
        if self.path is None or not self.path.is_dir():
            self.path = self._stack.enter_context(zips.temporary_folder(data_dir() / "incoming"))
        return FileOnDisk(self.path / secrets.token_hex(16))

    def close(self) -> None:
        """Delete the folder."""
        self._stack.close()
        self.path = None


class Reservation:
    """Space for an upload that is being received.

    Attributes:
        session: id of the session.
        address: mark of the internet address that it comes from; empty if it is unknown.
        size: bytes reserved.
    """

    def __init__(self, session: str, address: str, size: int) -> None:
        self.session, self.address, self.size = session, address, size


class Ledger:
    """Counts the bytes of stored and incoming uploads. Only the server's event loop calls it, so it needs no lock.

    Args:
        is_connected: returns whether a session, by its id, has an open connection.
    """

    def __init__(self, manager: MemoryUploadedFileManager, is_connected: Callable[[str], bool]) -> None:
        self.manager, self.is_connected = manager, is_connected
        self._incoming: set[Reservation] = set()
        self._gone_since: dict[str, float] = {}

    @contextmanager
    def reserve(self, session: str, address: str, size: int, limits: DemoLimits | None) -> Iterator[Reservation]:
        """Reserve space for an upload until the end of the block.

        Args:
            session: as in :class:`Reservation`.
            address: as in :class:`Reservation`.
            size: expected bytes, 0 if the browser does not say; see :meth:`grow`.
            limits: those of the demo; None without limits.

        Raises:
            NoRoom: the upload exceeds the space of its session, its address or the server.
        """
        reservation = Reservation(session, address, 0)
        self._incoming.add(reservation)
        try:
            self.grow(reservation, max(size, SMALLEST), limits)
            yield reservation
        finally:
            self._incoming.discard(reservation)

    def grow(self, reservation: Reservation, size: int, limits: DemoLimits | None) -> None:
        """Enlarge a reservation to a number of bytes; space of closed sessions is freed before anything is refused.

        Raises:
            NoRoom: there is not enough space, or the session was closed and its space freed.
        """
        if reservation not in self._incoming:
            raise NoRoom
        before, reservation.size = reservation.size, max(reservation.size, size)
        if limits is None or self._fits(reservation, limits):
            return
        self.free_closed()
        if not self._fits(reservation, limits):
            reservation.size = before
            raise NoRoom

    def free_closed(self, seconds: float = 0.0) -> None:
        """Delete the files, and cancel the uploads, of sessions that have had no connection for some seconds."""
        now = time.monotonic()
        sessions = {*list(self.manager.file_storage), *(one.session for one in self._incoming)}
        closed = {session for session in sessions if not self.is_connected(session)}
        self._gone_since = {session: self._gone_since.get(session, now) for session in closed}
        for session, since in self._gone_since.items():
            if now - since >= seconds:
                self.manager.remove_session_files(session)
                self._incoming = {one for one in self._incoming if one.session != session}

    def _fits(self, new: Reservation, limits: DemoLimits) -> bool:
        """Return whether the space of the session, of the address and of the server suffices."""
        of_session, of_address, total = 0, 0, 0
        for session, address, size in self._held():
            of_session += size * (session == new.session)
            of_address += size * (address == new.address)
            total += size
        largest = limits.upload_mb * MB
        return (
            of_session <= HELD_OF_SESSION * limits.upload_mb * 2**20 + 2 * SMALLEST  # two whole forms
            and (not new.address or of_address <= HELD_OF_ADDRESS * largest)
            and total <= HELD * largest
        )

    def _held(self) -> Iterator[tuple[str, str, int]]:
        """Yield session, address and bytes of each stored and each incoming upload."""
        for session, files in list(self.manager.file_storage.items()):
            for record in list(files.values()):
                if isinstance(record, StoredUpload):
                    yield session, record.file.address, max(record.file.size, SMALLEST)
        for one in self._incoming:
            yield one.session, one.address, one.size
