"""Uploaded files on the disk, and how much of it they may take on a demo.

Streamlit keeps the bytes of an upload in memory until its session has ended, and copies them for the page. Here they
lie in a temporary folder; Streamlit's record of the file holds no bytes. A file is deleted with its record: by the page
that has read it, by its widget, or at the end of its session.
"""

import secrets
import time
import weakref
from collections import Counter, deque
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
        delete: deletes it now.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
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
        """Return a new file path that no other upload has; the file does not exist yet.

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


class Charge:
    """Space that is charged for an upload, while it is received and as long as its file is kept.

    Attributes:
        session: id of the session.
        address: mark of the internet address that it comes from; empty if it is unknown.
        size: bytes that are charged.
        state: ``incoming``, ``kept``, or ``returned`` when the space is free again.
    """

    def __init__(self, session: str, address: str) -> None:
        self.session, self.address, self.size, self.state = session, address, 0, "incoming"


class Ledger:
    """Counts the bytes of stored and incoming uploads. Only the server's event loop calls it, so it needs no lock.

    Args:
        manager: holds the records of the stored files.
        is_connected: returns whether a session, by its id, has an open connection.

    Attributes:
        total: bytes of all uploads.
    """

    def __init__(self, manager: MemoryUploadedFileManager, is_connected: Callable[[str], bool]) -> None:
        self.manager, self.is_connected = manager, is_connected
        self.total = 0
        self._of_session: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._incoming: dict[str, set[Charge]] = {}  # by session
        self._deleted: deque[Charge] = deque()  # of files that any thread has deleted
        self._gone_since: dict[str, float] = {}

    @contextmanager
    def reserve(self, session: str, address: str, size: int, limits: DemoLimits | None) -> Iterator[Charge]:
        """Reserve space for an upload until the end of the block; :meth:`keep` keeps it longer.

        Args:
            session: as in :class:`Charge`.
            address: as in :class:`Charge`.
            size: expected bytes, 0 if the browser does not say; see :meth:`grow`.
            limits: those of the demo; None without limits.

        Raises:
            NoRoom: the upload exceeds the space of its session, its address or the server.
        """
        charge = Charge(session, address)
        self._incoming.setdefault(session, set()).add(charge)
        try:
            self.grow(charge, max(size, SMALLEST), limits)
            yield charge
        finally:
            if charge.state == "incoming":
                self._return(charge)

    def grow(self, charge: Charge, size: int, limits: DemoLimits | None) -> None:
        """Enlarge a reservation to a number of bytes; space of closed sessions is freed before anything is refused.

        Raises:
            NoRoom: there is not enough space, or the session was closed and its space freed.
        """
        if charge.state != "incoming":
            raise NoRoom
        more = size - charge.size
        if more <= 0:
            return
        if limits is not None and not self._has_room(charge, more, limits):
            self.free_closed()
            if charge.state != "incoming" or not self._has_room(charge, more, limits):
                raise NoRoom
        self._add(charge, more)

    def keep(self, charge: Charge, file: FileOnDisk) -> None:
        """Charge the space of a received file from now on, until it is deleted."""
        self._add(charge, max(file.size, SMALLEST) - charge.size)
        self._forget_incoming(charge)
        charge.state = "kept"
        weakref.finalize(file, self._deleted.append, charge)

    def free_closed(self, seconds: float = 0.0) -> None:
        """Delete the files, and cancel the uploads, of sessions that have had no connection for some seconds."""
        self._return_deleted()
        now = time.monotonic()
        sessions = {*list(self.manager.file_storage), *self._incoming}
        closed = [session for session in sessions if not self.is_connected(session)]
        self._gone_since = {session: self._gone_since.get(session, now) for session in closed}
        for session, since in self._gone_since.items():
            if now - since >= seconds:
                self.manager.remove_session_files(session)
                for charge in self._incoming.get(session, set()).copy():
                    self._return(charge)

    def _has_room(self, charge: Charge, more: int, limits: DemoLimits) -> bool:
        """Return whether the space of the session, of the address and of the server suffices for more bytes."""
        self._return_deleted()
        largest = limits.upload_mb * MB
        return (
            # two whole forms, whose size is limited in units of 2^20 bytes
            self._of_session[charge.session] + more <= HELD_OF_SESSION * (limits.upload_mb * 2**20 + SMALLEST)
            and (not charge.address or self._of_address[charge.address] + more <= HELD_OF_ADDRESS * largest)
            and self.total + more <= HELD * largest
        )

    def _add(self, charge: Charge, size: int) -> None:
        charge.size += size
        self.total += size
        for counter, key in ((self._of_session, charge.session), (self._of_address, charge.address)):
            counter[key] += size
            if not counter[key]:
                del counter[key]

    def _return(self, charge: Charge) -> None:
        self._add(charge, -charge.size)
        self._forget_incoming(charge)
        charge.state = "returned"

    def _return_deleted(self) -> None:
        while self._deleted:
            self._return(self._deleted.popleft())

    def _forget_incoming(self, charge: Charge) -> None:
        charges = self._incoming.get(charge.session, set())
        charges.discard(charge)
        if not charges:
            self._incoming.pop(charge.session, None)
