"""Hostile zips, which are small and cost much, or are not what they say.

For the tests of uploads and for ``benchmarks.app.fuzz``. Every maker is a function of nothing but its seed.
"""

import io
import random
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

from PIL import Image

from tests.helpers.hostile import encoded, pixels

HOSTILE_NAMES = (
    "../x.png",
    "a/../../x.png",
    "/etc/x.png",
    "..\\x.png",
    "C:\\x.png",
    "\\\\server\\share\\x.png",
    "train/cat/\x00.png",
    "train/cat/\u202egnp.x",
    "train/CAT/0.png",
    "train/cat/0.PNG",
    "train/cat/e\u0301.png",
    "train/cat/\u00e9.png",
    "train/cat/con.png",
    "train/cat/aux",
    "train/cat/x .",
    "train/cat/" + "x" * 300,
    "a/" * 40 + "x.png",
    "train/cat/<img src=x onerror=alert(1)>.png",
    "train/cat/[a](javascript:1).png",
    "train/cat/x.zip",
    "train/cat",
    "train",
    "...",
    "..",
    ".",
    "~/x.png",
    "train/\U0001f431/x.png",
    "",
)


def zip_of(entries: dict[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def honest_zip(seed: int = 0) -> bytes:
    """A proper set: train/ and val/ of two classes."""
    image = encoded(Image.fromarray(pixels(seed, (12, 10))), "PNG")
    return zip_of({f"{split}/{label}/{index}.png": image for split in ("train", "val") for label in ("cat", "dog")
                   for index in range(2)})  # fmt: skip


def raw_zip(
    members: list[tuple[bytes, bytes, dict[str, int]]],
    *,
    comment: bytes = b"",
    extra: dict[bytes, bytes] | None = None,
    **end: int,
) -> bytes:
    """A zip written field by field, [(name, content as it is stored, fields that are not true)].

    Fields: ``method``, ``flags``, ``crc``, ``packed``, ``size``, ``offset``, ``attributes``; of the end record
    ``count``, ``directory_size``, ``directory_offset``. ``extra`` holds the extra field of some names.
    """
    body, directory = bytearray(), bytearray()
    for name, content, lies in members:
        fields = {"method": 0, "flags": 0, "crc": zlib.crc32(content), "packed": len(content), "size": len(content)}
        fields |= {"offset": len(body), "attributes": 0} | lies
        numbers = struct.pack("<LLL", fields["crc"], fields["packed"], fields["size"])
        head = struct.pack("<HHHH", fields["flags"], fields["method"], 0, 0) + numbers
        body += b"PK\3\4\x14\0" + head + struct.pack("<HH", len(name), 0) + name + content
        own = (extra or {}).get(name, b"")
        directory += b"PK\1\2\x14\3\x14\0" + head + struct.pack("<HHHHH", len(name), len(own), 0, 0, 0)
        directory += struct.pack("<LL", fields["attributes"], fields["offset"]) + name + own
    count, start = min(end.get("count", len(members)), 65_535), end.get("directory_offset", len(body))
    size = end.get("directory_size", len(directory))
    end_record = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, count, count, size, start, len(comment))
    return bytes(body + directory + end_record + comment)


def overlapping_zip(entries: int, size: int) -> bytes:
    """Many entries that share one packed kernel (Fifield 2019): each claims all the bytes behind it."""
    packer = zlib.compressobj(9, wbits=-15)
    kernel = packer.compress(bytes(size)) + packer.flush()
    crc = zlib.crc32(bytes(size))
    members = [
        (b"train/cat/%06d.bmp" % index, b"", {"method": 8, "packed": len(kernel), "size": size, "crc": crc})
        for index in range(entries)
    ]
    members.append((b"train/dog/0.bmp", kernel, {"method": 8, "size": size, "crc": crc}))
    data = bytearray(raw_zip(members))
    last = data.index(kernel)
    at = data.index(b"PK\1\2")
    while at >= 0:  # every entry begins at the one local header that has content
        struct.pack_into("<L", data, at + 42, last - 30 - len(b"train/dog/0.bmp"))
        at = data.find(b"PK\1\2", at + 46)
    return bytes(data)


def zip_that_lies(size: int, said: int) -> bytes:
    """``size`` zeros in an entry that declares ``said`` bytes."""
    packer = zlib.compressobj(9, wbits=-15)
    content = packer.compress(bytes(size)) + packer.flush()
    lies = {"method": 8, "size": said, "crc": zlib.crc32(bytes(size))}
    return raw_zip([(b"a/1.bmp", content, lies), (b"b/1.bmp", b"x", {})])


def zip_of_kind(kind: int) -> bytes:
    """A link or a device among the images."""
    info = zipfile.ZipInfo("train/cat/x.png")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return zip_of({"train/dog/x.png": b"x", info: b"/etc/passwd"})


def zip_of_method(method: int, content: bytes) -> bytes:
    return raw_zip([(b"a/1.png", content, {"method": method, "size": 2**30}), (b"b/1.png", b"x", {})])


def lzma_with_a_dictionary(size: int) -> bytes:
    """Return the head of an LZMA entry that asks for a dictionary of this size in bytes."""
    return b"\x09\x04\x05\x00\x5d" + struct.pack("<L", size) + bytes(64)


def zip64_that_lies() -> bytes:
    """A zip64 record that speaks of a table of contents of exabytes."""
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 2**62, 2**62, 2**62, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 65_535, 65_535, 2**32 - 1, 2**32 - 1, 0)
    return record + locator + end


ZIP_BOMBS: dict[str, Callable[[], bytes]] = {
    "zip of 2 GB in 2 MB": lambda: zip_of({"a/1.bmp": bytes(2**31 - 1), "b/1.bmp": b"x"}),
    "zip of 2 GB that says 100 bytes": lambda: zip_that_lies(2**31 - 1, 100),
    "zip that says 4 GB": lambda: zip_that_lies(1000, 2**32 - 2),
    "zip whose 3000 entries overlap": lambda: overlapping_zip(3000, 2**24),
    "zip of a million empty entries": lambda: raw_zip([(b"a/%d" % index, b"", {}) for index in range(1_000_000)]),
    "zip of 190000 empty entries": lambda: raw_zip(
        [(b"%d/%d" % (index % 2, index), b"", {}) for index in range(190_000)]
    ),
    "zip in 4000 classes": lambda: raw_zip([(b"%d/1.png" % index, b"x", {}) for index in range(4000)]),
    "zip of two million entries, said to be two": lambda: raw_zip([(b"a", b"", {})] * 2_000_000, count=2),
    "zip within the zip": lambda: zip_of({"a/1.png": honest_zip(), "b/1.png": b"x"}),
    "zip with a link": lambda: zip_of_kind(stat.S_IFLNK),
    "zip with a device": lambda: zip_of_kind(stat.S_IFCHR),
    "zip with a dictionary of 4 GB (LZMA)": lambda: zip_of_method(14, lzma_with_a_dictionary(2**32 - 1)),
    "zip of 1 GB (bzip2)": lambda: zip_of({"a/1.bmp": bytes(2**30), "b/1.bmp": b"x"}, zipfile.ZIP_BZIP2),
    "zip of an unknown method": lambda: zip_of_method(9, b"x"),
    "zip that is encrypted": lambda: raw_zip([(b"a/1.png", bytes(40), {"flags": 1}), (b"b/1.png", b"x", {})]),
    "zip with a comment of 64 kB": lambda: raw_zip([(b"a/1.png", b"x", {})], comment=b"PK\5\6" * 16_383),
    "zip64 of exabytes": zip64_that_lies,
    "zip whose table is the whole of it": lambda: raw_zip([(b"a/1.png", b"x", {})], directory_size=2**31),
}


def generated_zip(choice: random.Random) -> bytes:
    """A zip of hostile and of honest names, some of whose fields are not true."""
    image = encoded(Image.fromarray(pixels(choice.randrange(100), (8, 6))), choice.choice(("PNG", "JPEG", "GIF")))
    honest = [f"train/{label}/{index}.png" for label in ("cat", "dog") for index in range(2)]
    names = [*honest, *choice.choices(HOSTILE_NAMES, k=choice.randint(0, 2))]
    choice.shuffle(names)
    members = []
    for name in names:
        packed = choice.random() < 0.5
        content = zlib.compress(image, 6)[2:-4] if packed else image
        lies = {"method": 8 if packed else 0, "size": len(image), "crc": zlib.crc32(image), "flags": 0x800}
        if choice.random() < 0.1:
            field = choice.choice(("method", "flags", "crc", "packed", "size", "offset", "attributes"))
            lies[field] = choice.choice((0, 1, 8, 12, 14, 99, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, choice.randrange(2**32)))
            lies[field] &= 0xFFFF if field in ("method", "flags") else 0xFFFFFFFF
        members.append((name.encode("utf-8", "surrogatepass")[:65_535], content, lies))
    end = (
        {}
        if choice.random() < 0.9
        else {choice.choice(("directory_size", "directory_offset")): choice.randrange(2**32)}
    )
    return raw_zip(members, comment=choice.randbytes(choice.choice((0, 0, 0, 30))), **end)
