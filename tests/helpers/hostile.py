"""Hostile images, which are small and cost much, or are not what they say; and mutated files.

For the tests of uploads and for ``benchmarks.app.fuzz``. Every maker is a function of nothing but its seed.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "MPO")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(seed: int, size: tuple[int, int] = (40, 30), channels: int = 3) -> np.ndarray:
    """Waves and a little noise, uint8 (h w c): what a decoder has something to do with."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([127 + 100 * np.sin((x * (c + 1) + y * (seed % 5 + 1)) / 9) for c in range(channels)], axis=2)
    noise = np.random.default_rng(seed).integers(0, 28, waves.shape)
    return (waves + noise).clip(0, 255).astype(np.uint8)


def honest_images(seed: int = 0) -> dict[str, bytes]:
    """Return a small image in each format, and in each variant with a separate decoder path."""
    colour = Image.fromarray(pixels(seed))
    alpha = Image.fromarray(pixels(seed, channels=4))
    frames = [Image.fromarray(pixels(seed + index)) for index in range(1, 4)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    found = {kind.lower(): encoded(colour, kind) for kind in FORMATS}
    found |= {
        "jpeg, progressive": encoded(colour, "JPEG", progressive=True, exif=exif),
        "jpeg, CMYK": encoded(alpha.convert("CMYK"), "JPEG"),
        "png, alpha": encoded(alpha, "PNG", exif=exif),
        "png, palette": encoded(colour.convert("P"), "PNG", transparency=3),
        "png, 16 bit": encoded(Image.fromarray(pixels(seed)[..., 0].astype(np.uint16) * 257), "PNG"),
        "png, animated": encoded(colour, "PNG", save_all=True, append_images=frames),
        "webp, lossless": encoded(alpha, "WEBP", lossless=True),
        "webp, animated": encoded(colour, "WEBP", save_all=True, append_images=frames),
        "gif, animated": encoded(colour, "GIF", save_all=True, append_images=frames),
        "tiff, LZW": encoded(colour, "TIFF", compression="tiff_lzw"),
        "tiff, deflate": encoded(alpha, "TIFF", compression="tiff_deflate"),
        "tiff, JPEG": encoded(colour, "TIFF", compression="jpeg"),
        "tiff, float": encoded(Image.fromarray(pixels(seed)[..., 0].astype(np.float32)), "TIFF"),
        "tiff, pages": encoded(colour, "TIFF", save_all=True, append_images=frames),
        "bmp, runs": run_length_bmp(40, 30),
        "ppm, text": b"P3\n# words\n4 2\n255\n" + b" ".join(b"%d" % value for value in range(24)),
        "ppm, odd": b"P6 8 4 100\n" + bytes(range(96)),
    }
    return found


def mutated(data: bytes, choice: random.Random, others: list[bytes]) -> bytes:
    """A file with bytes flipped, cut out, repeated, or replaced by those of another; mostly near its beginning."""
    changed = bytearray(data)
    for _ in range(choice.randint(1, 4)):
        if not changed:
            break
        reach = len(changed) if choice.random() < 0.4 else min(len(changed), 200)
        at = choice.randrange(reach)
        match choice.randrange(7):
            case 0:
                changed[at] ^= 1 << choice.randrange(8)
            case 1:
                changed[at] = choice.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, choice.randrange(256)))
            case 2:
                changed[at : at + 4] = choice.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\xff\xff")
                )
            case 3:
                del changed[at:]
            case 4:
                del changed[at : at + choice.randint(1, 64)]
            case 5:
                changed[at:at] = changed[at : at + choice.randint(1, 64)] * choice.randint(1, 4)
            case 6:
                other = choice.choice(others)
                start = choice.randrange(len(other))
                changed[at : at + 32] = other[start : start + choice.randint(1, 400)]
    return bytes(changed)


# Images that cost much.


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(
    width: int, height: int, *, depth: int = 8, colour: int = 2, extra: bytes = b"", whole: bool = True
) -> bytes:
    """A PNG of zeros, a thousandth of its pixels in bytes; without its pixels where it is not ``whole``."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    content = b""
    if whole:
        packer = zlib.compressobj(1)
        row = bytes(1 + (width * bits + 7) // 8)
        content = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def png_with_texts(count: int) -> bytes:
    """Profiles and texts of a megabyte and more each, packed a thousandfold."""
    packed = zlib.compress(bytes(2**20 - 100))
    texts = b"".join(_chunk(b"zTXt", b"k%d\0\0" % index + packed) for index in range(count))
    return png_of(10, 10, extra=_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2**26))) + texts)


def png_of_empty_chunks(count: int) -> bytes:
    return png_of(10, 10, extra=_chunk(b"tEXt", b"") * count)


def png_of_frames(count: int) -> bytes:
    """An APNG that announces a thousand frames on a large canvas."""
    control = _chunk(b"acTL", struct.pack(">II", count, 0))
    frame = _chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 4000, 4000, 0, 0, 1, 1, 0, 0))
    return png_of(4000, 4000, colour=6, extra=control + frame)


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG with scans of a hundred bytes, each of which goes over all pixels."""
    parts = [b"\xff\xd8"]

    def segment(marker: int, data: bytes) -> None:
        parts.append(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data)

    segment(0xDB, b"\0" + b"\1" * 64)
    segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\0")
    segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\0")
    segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0")  # one symbol: a long run of empty blocks
    blocks = -(-width // 8) * -(-height // 8)
    segment(0xDA, b"\x01\x01\x00\x00\x00\x00")
    parts.append(bytes(-(-blocks // 8)))
    bits = ("0" + "1" * 14) * -(-blocks // (2**15 - 1))
    bits += "1" * (-len(bits) % 8)
    run = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    for scan in range(scans):
        segment(0xDA, b"\x01\x01\x00\x01\x3f" + (b"\x10" if scan else b"\x01"))
        parts.append(run)
    return b"".join([*parts, b"\xff\xd9"])


def jpeg_of_segments(marker: int, data: bytes, count: int) -> bytes:
    """Return a small JPEG after this number of metadata segments."""
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data
    whole = encoded(Image.new("RGB", (16, 16)), "JPEG")
    return whole[:2] + segment * count + whole[2:]


def exif_bomb(entries: int, reach: int) -> bytes:
    """A directory whose every entry is as large as the whole block, and which names itself as its own subdirectory."""
    body = [struct.pack("<HHLL", 0x8769, 4, 1, 8)]
    body += [struct.pack("<HHLL", 1000 + index, 7, reach, 0) for index in range(entries)]
    return b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", len(body)) + b"".join(body) + struct.pack("<L", 8)


def tiff_of(tags: dict[int, tuple[int, int, int]], rest: bytes = b"", *, next_: int = 0) -> bytes:
    """A TIFF of one directory, {tag: (type, count, value or place)}, with ``rest`` behind it."""
    entries = b"".join(struct.pack("<HHLL", tag, *entry) for tag, entry in sorted(tags.items()))
    return b"II*\0" + struct.pack("<LH", 8, len(tags)) + entries + struct.pack("<L", next_) + rest


def _tiff_tags(width: int, height: int, **more: int) -> dict[int, tuple[int, int, int]]:
    return {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 262: (3, 1, 1), 277: (3, 1, 1)}


def tiff_of_strips(count: int) -> bytes:
    """One pixel a strip, millions of them."""
    tags = _tiff_tags(1, count) | {259: (3, 1, 1), 278: (4, 1, 1), 273: (4, count, 200), 279: (4, count, 200)}
    return tiff_of(tags, bytes(100 + 4 * count))


def tiff_with_a_giant_tile(side: int) -> bytes:
    """A tile far larger than the image that it belongs to, packed a thousandfold."""
    packer = zlib.compressobj(9)
    content = b"".join([*(packer.compress(bytes(2**20)) for _ in range(side * side >> 20)), packer.flush()])
    tags = _tiff_tags(1, 1) | {259: (3, 1, 8), 322: (4, 1, side), 323: (4, 1, side)}
    place = 8 + 2 + 12 * (len(tags) + 2) + 4
    return tiff_of(tags | {324: (4, 1, place), 325: (4, 1, len(content))}, content)


def tiff_that_turns_in_circles() -> bytes:
    """Directories that name themselves as the next, and as their own subdirectories."""
    tags = _tiff_tags(1, 1) | {259: (3, 1, 1), 273: (4, 1, 0), 279: (4, 1, 1), 330: (4, 1, 8), 0x8769: (4, 1, 8)}
    return tiff_of(tags, bytes(100), next_=8)


def gif_of_blocks(count: int) -> bytes:
    """Comments without words before the image."""
    whole = encoded(Image.new("P", (8, 8)), "GIF")
    start = whole.index(b",", 13)
    return whole[:start] + b"!\xfe\x01x\x00" * count + whole[start:]


def gif_of_frames(count: int) -> bytes:
    """An animation of thousands of frames on the largest canvas that is taken."""
    whole = encoded(Image.new("P", (8, 8)), "GIF")
    frame = whole[whole.index(b",", 13) : -1]
    return whole[:6] + struct.pack("<HH", 8000, 7999) + whole[10:-1] + frame * count + b";"


def run_length_bmp(width: int, height: int) -> bytes:
    """A BMP of runs: two bytes for 255 pixels."""
    content = b"\xff\x07" * (-(-width // 255) * height)
    header = struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(content), 1, 1, 256, 0)
    offset = 14 + len(header) + 1024
    return b"BM" + struct.pack("<LLL", offset + len(content), 0, offset) + header + bytes(1024) + content


def avif_that_lies(side: int) -> bytes:
    """Two kilobytes that call themselves 16 pixels wide and hold an image of ``side``."""
    data = bytearray(encoded(Image.new("RGB", (side, side), "red"), "AVIF", speed=10))
    struct.pack_into(">II", data, data.index(b"ispe") + 8, 16, 16)
    return bytes(data)


def jpeg2000_that_lies(side: int) -> bytes:
    """A code stream of ``side`` in a box of 10 by 10 pixels."""
    data = bytearray(encoded(Image.new("RGB", (side, side), "red"), "JPEG2000"))
    struct.pack_into(">II", data, data.index(b"ihdr") + 4, 10, 10)
    return bytes(data)


def webp_canvas(width: int, height: int) -> bytes:
    """One small frame on a giant canvas."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


IMAGE_BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG that declares 60000 x 60000": lambda: png_of(60_000, 60_000, whole=False),
    "PNG of 64 million pixels with alpha": lambda: png_of(8000, 8000, colour=6),
    "PNG of 64 million pixels of 16 bit": lambda: png_of(8000, 8000, depth=16, colour=0),
    "PNG of 64 million pixels in one column": lambda: png_of(1, 64_000_000, depth=8, colour=0, whole=False),
    "PNG of 64 million pixels in rows of 64000": lambda: png_of(64_000, 1000, colour=6),
    "PNG with texts and a profile of a gigabyte": lambda: png_with_texts(1000),
    "PNG of a million empty chunks": lambda: png_of_empty_chunks(1_000_000),
    "APNG of a million frames": lambda: png_of_frames(1_000_000),
    "JPEG of 400 scans over 64 million pixels": lambda: jpeg_of_scans(8000, 8000, 400),
    "JPEG of 15 scans over 64 million pixels": lambda: jpeg_of_scans(8000, 8000, 14),
    "JPEG of 65500 x 65500": lambda: jpeg_of_scans(65_500, 65_500, 1),
    "JPEG of a million comments": lambda: jpeg_of_segments(0xFE, b"", 1_000_000),
    "JPEG whose EXIF expands": lambda: jpeg_of_segments(0xE1, b"Exif\0\0" + exif_bomb(5000, 60_000), 1),
    "JPEG of 30 MB of EXIF": lambda: jpeg_of_segments(0xE1, b"Exif\0\0" + exif_bomb(5000, 60_000), 500),
    "PNG whose EXIF expands": lambda: png_of(10, 10, extra=_chunk(b"eXIf", exif_bomb(60_000, 700_000))),
    "TIFF of three million strips": lambda: tiff_of_strips(3_000_000),
    "TIFF of 99000 strips": lambda: tiff_of_strips(99_000),
    "TIFF with a tile of 1.6 GB": lambda: tiff_with_a_giant_tile(40_000),
    "TIFF that names itself as its next": tiff_that_turns_in_circles,
    "TIFF whose every tag is the whole file": lambda: exif_bomb(60_000, 700_000),
    "TIFF of 24 million pixels, deflated": lambda: encoded(
        Image.new("RGBA", (4800, 4999)), "TIFF", compression="tiff_deflate"
    ),
    "GIF of a million comments": lambda: gif_of_blocks(1_000_000),
    "GIF of 10000 frames of 64 million pixels": lambda: gif_of_frames(10_000),
    "BMP of 60 million pixels in runs": lambda: run_length_bmp(20_000, 3000),
    "PPM of 60 MB of text": lambda: b"P3 4000 5000 255\n" + b"1 " * 30_000_000,
    "PPM of 60 MB, value by value": lambda: b"P6 4000 5000 254\n" + bytes(60_000_000),
    "PPM with a comment of 60 MB": lambda: b"P6\n#" + b"x" * 60_000_000,
    "AVIF of 144 million pixels that says 16 x 16": lambda: avif_that_lies(12_000),
    "AVIF of 24 million pixels": lambda: encoded(Image.new("RGB", (4800, 4999)), "AVIF", speed=10),
    "JPEG 2000 of 36 million pixels that says 10 x 10": lambda: jpeg2000_that_lies(6000),
    "JPEG 2000 of 24 million pixels": lambda: encoded(Image.new("RGB", (4800, 4999)), "JPEG2000"),
    "WebP of 24 million pixels": lambda: encoded(Image.new("RGBA", (4800, 4999)), "WEBP", lossless=True, method=0),
    "WebP with a canvas of 16000 x 16000": lambda: webp_canvas(16_000, 16_000),
    "WebP with a canvas of 16 million x 16 million": lambda: webp_canvas(2**24, 2**24),
}
"""What it is -> how it is made; some of them take a second or two to make."""
