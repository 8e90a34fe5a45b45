"""Uploads are received on the disk, within the space that a demo has for them."""

import asyncio
import random
import tracemalloc
from contextlib import suppress

import pytest

from pages.access import uploaded_files
from pages.server import limits, upload_middleware, upload_store
from pages.server.upload_store import SMALLEST, StoredUpload
from tests.helpers.hostile_requests import hostile_requests, send
from tests.helpers.upload_requests import FORM, HEAD, TAIL, Uploads, form, incoming_files, uploads
from vit.errors import DataError

MB = 10**6
FRAME = len(HEAD) + len(TAIL)


@pytest.fixture
def place(home) -> Uploads:
    """A server of this machine's user."""
    with uploads() as one:
        yield one


@pytest.fixture
def demo(home, monkeypatch) -> Uploads:
    """A demo that takes files of one megabyte."""
    monkeypatch.setenv(limits.SWITCH, "1")
    monkeypatch.setattr(limits.secrets, "table", lambda name: {"upload_mb": 1} if name == "demo" else None)
    with uploads() as one:
        yield one


def content(place: Uploads) -> bytes:
    (record,) = place.files()
    return record.file.path.read_bytes()


# On the disk


@pytest.mark.parametrize("length", [None, 3_000_000 + FRAME])
def test_a_file_lies_on_the_disk_as_it_was_sent(place, length):
    data = bytes(range(256)) * 11718 + bytes(192)
    assert asyncio.run(place.put("s", form(data), length=length)) == 204
    (record,) = place.files()
    assert content(place) == data
    assert (record.name, record.type, record.data, record.file.size) == ("a.zip", "application/zip", b"", len(data))


def test_an_upload_takes_no_memory_that_grows_with_it(place):
    block = bytes(2**16)

    def peak(megabytes: int) -> int:
        tracemalloc.start()
        pieces = [HEAD, *[block] * (megabytes * 16), TAIL]
        assert asyncio.run(place.put("s", pieces, name=f"{megabytes}")) == 204
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    asyncio.run(place.put("s", form(b"first")))
    small, large = peak(4), peak(40)
    assert large < small + 5 * MB
    assert sorted(record.file.size for record in place.files()) == [5, 4 * 2**20, 40 * 2**20]


def test_a_file_goes_with_its_record(place):
    for name in ("a", "b", "c"):
        assert asyncio.run(place.put("s", form(b"x"), name=name)) == 204
    assert len(incoming_files()) == 3
    asyncio.run(place.put("s", form(b"other"), name="a"))  # in the place of the first
    place.manager.remove_file("s", "b")
    assert sorted(path.read_bytes() for path in incoming_files()) == [b"other", b"x"]
    place.close("s")
    assert incoming_files() == []
    assert place.ledger.total > 0
    place.ledger.free_closed()  # which the server calls regularly
    assert place.ledger.total == 0


@pytest.mark.parametrize(
    ("pieces", "content_type", "status"),
    [
        ([HEAD, b"x"], FORM, 400),  # its end is missing
        ([HEAD + b"x" + TAIL], "text/plain", 400),
        ([HEAD + b"x" + TAIL], "multipart/form-data", 400),
        ([b'--cut\r\nContent-Disposition: form-data; name="file"\r\n\r\nx' + TAIL], FORM, 400),  # no file
        ([HEAD + b"x\r\n" + HEAD + b"y" + TAIL], FORM, 400),  # two
        ([b"--cut--\r\n"], FORM, 400),
        ([b"--cut\r\n" + b"x" * 10**6], FORM, 400),  # an endless header
        ([b"junk"] * 3, FORM, 400),
        ([], FORM, 400),
    ],
)
def test_what_is_not_a_form_with_one_file_is_refused_and_leaves_nothing(place, pieces, content_type, status):
    assert asyncio.run(place.put("s", pieces, content_type=content_type)) == status
    assert incoming_files() == []
    assert place.files() == []


def test_a_page_reads_the_file_and_deletes_it(place, monkeypatch):
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    asyncio.run(place.put("s", form(b"what was sent")))
    context = type("Context", (), {"uploaded_file_mgr": place.manager, "session_id": "s"})
    monkeypatch.setattr(uploaded_files, "get_script_run_ctx", lambda: context)
    file = UploadedFile(place.files()[0], None)
    for _ in range(2):
        with uploaded_files.opened(file) as stream:
            assert stream.read() == b"what was sent"
    uploaded_files.release(file)
    assert incoming_files() == []
    with pytest.raises(DataError, match="upload the file again"), uploaded_files.opened(file):
        pass


def test_a_record_of_streamlits_own_is_read_as_well(monkeypatch):
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
    from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

    manager = MemoryUploadedFileManager("/")
    record = UploadedFileRec("a", "a.png", "image/png", b"bytes")
    manager.add_file("s", record)
    context = type("Context", (), {"uploaded_file_mgr": manager, "session_id": "s"})
    monkeypatch.setattr(uploaded_files, "get_script_run_ctx", lambda: context)
    with uploaded_files.opened(UploadedFile(record, None)) as stream:
        assert stream.read() == b"bytes"


def test_only_one_module_reads_what_an_uploader_returns():
    """``st.file_uploader`` returns files without bytes: a page that reads one itself would see an empty file."""
    from tests.helpers.serving import ROOT

    for path in (ROOT / "pages").rglob("*.py"):
        text = path.read_text()
        if "st.file_uploader(" in text or "st.camera_input(" in text:
            assert "getvalue()" not in text, path
            assert ".getbuffer()" not in text, path


# The space of a demo


async def _together(place: Uploads, count: int, sessions: int, *, declared: bool, address: str = "192.0.2.1"):
    data = bytes(MB - 5000)
    return await asyncio.gather(
        *(
            place.put(
                f"{address}-{number % sessions}",
                form(data),
                name=f"{number}",
                length=len(data) + FRAME if declared else None,
                address=address,
            )
            for number in range(count)
        )
    )


@pytest.mark.parametrize("declared", [True, False])
def test_simultaneous_uploads_stay_within_the_space_of_the_demo(demo, declared):
    async def attack() -> list[int]:
        groups = [_together(demo, 10, 10, declared=declared, address=f"192.0.2.{number}") for number in range(3)]
        return [status for group in await asyncio.gather(*groups) for status in group]

    statuses = asyncio.run(attack())
    assert set(statuses) == {204, 503}
    assert statuses.count(204) <= upload_store.HELD
    assert demo.held() <= upload_store.HELD * MB
    if declared:
        assert statuses.count(204) == upload_store.HELD


def test_one_session_and_one_address_have_a_part_of_the_space(demo):
    assert asyncio.run(_together(demo, 8, 1, declared=True)).count(204) == upload_store.HELD_OF_SESSION
    more = asyncio.run(_together(demo, 30, 30, declared=True)).count(204)
    assert more == upload_store.HELD_OF_ADDRESS - upload_store.HELD_OF_SESSION
    assert asyncio.run(_together(demo, 1, 1, declared=True, address="192.0.2.9")) == [204]


def test_space_is_reserved_before_anything_is_read(demo):
    async def read() -> int:
        raise AssertionError("something was read")
        yield b""

    async def attack() -> None:
        asked = asyncio.Event()

        async def slow():
            yield HEAD
            asked.set()
            await asyncio.sleep(30)

        begun = [
            asyncio.create_task(demo.put(f"s{number}", slow(), length=MB, address=f"192.0.2.{number}"))
            for number in range(upload_store.HELD)
        ]
        await asked.wait()
        await asyncio.sleep(0.05)
        assert await demo.put("other", read(), length=MB, address="198.51.100.1") == 503
        for session in [f"s{number}" for number in range(upload_store.HELD)]:
            demo.connected.discard(session)  # the attacker leaves; its requests go on
        assert await demo.put("other", form(bytes(1000)), length=MB, address="198.51.100.1") == 204
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)

    asyncio.run(attack())


def test_files_of_closed_sessions_are_deleted_before_anyone_is_refused(demo):
    addresses = ["192.0.2.1", "192.0.2.2"]
    for address in addresses:
        assert asyncio.run(_together(demo, 5, 5, declared=True, address=address)) == [204] * 5
    assert asyncio.run(_together(demo, 1, 1, declared=True, address="192.0.2.9")) == [503]
    demo.connected = {session for session in demo.connected if session.startswith(addresses[1])}
    assert asyncio.run(_together(demo, 1, 1, declared=True, address="192.0.2.9")) == [204]
    assert len(incoming_files()) == 6  # those of the connected sessions


def test_files_of_a_closed_session_are_deleted_after_a_while(place, monkeypatch):
    asyncio.run(place.put("s", form(b"x")))
    now = [1000.0]
    monkeypatch.setattr(upload_store.time, "monotonic", lambda: now[0])
    place.connected.clear()
    place.ledger.free_closed(60)
    now[0] += 59
    place.ledger.free_closed(60)
    assert len(place.files()) == 1
    now[0] += 2
    place.ledger.free_closed(60)
    assert place.files() == []
    assert incoming_files() == []


def test_an_upload_whose_session_ends_meanwhile_is_not_kept(place):
    async def upload() -> int:
        async def pieces():
            yield HEAD
            place.connected.clear()
            yield b"x" + TAIL

        return await place.put("s", pieces())

    assert asyncio.run(upload()) == 400
    assert incoming_files() == []


def test_empty_files_are_counted_too(demo):
    async def attack() -> int:
        return [await demo.put("s", form(b""), name=f"{number}") for number in range(60)].count(204)

    assert asyncio.run(attack()) <= 2 * 2**20 // SMALLEST + 2


def test_an_upload_that_stops_or_crawls_is_given_up(demo, monkeypatch):
    monkeypatch.setattr(upload_middleware, "IDLE_SECONDS", 0.05)

    async def stops():
        yield HEAD
        await asyncio.sleep(5)

    async def crawls():
        yield HEAD
        for _ in range(100):
            await asyncio.sleep(0.02)
            yield b"x"

    assert asyncio.run(demo.put("s", stops(), length=MB)) == 408
    assert asyncio.run(demo.put("s", crawls(), length=MB)) == 408
    assert asyncio.run(_together(demo, 2, 1, declared=True)) == [204, 204]  # their space is free again


def test_a_full_disk_is_told(place, monkeypatch):
    monkeypatch.setattr(upload_middleware.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**8}))
    assert asyncio.run(place.put("s", form(b"x"))) == 507
    monkeypatch.undo()


def test_the_token_of_the_page_is_needed(place):
    assert asyncio.run(place.put("s", form(b"x"), token=False)) == 403


def test_mutated_requests_are_accepted_or_refused_and_leave_nothing(home, monkeypatch):
    monkeypatch.setenv(limits.SWITCH, "1")
    for _, data in hostile_requests(random.Random(0), 60):
        with suppress(DataError):  # nothing was accepted; any other error fails the test
            send(data)


def test_records_have_no_bytes(place):
    asyncio.run(place.put("s", form(b"x" * 1000)))
    (record,) = place.manager.get_files("s", ["a"])
    assert isinstance(record, StoredUpload)
    assert len(record.data) == 0
