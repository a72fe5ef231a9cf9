#!/usr/bin/env python3
"""Writes the fixtures of tests/images.rs: small images of every format, and what Pillow and NumPy make of them.

    pip install pillow numpy
    python tests/scripts/resize_fixtures.py [PHOTOS]

PHOTOS is a folder that holds the free photos named below (shared/data/photos); without it their references stay as they are.
Written with Pillow 13.0.0 and NumPy 2.4.6; everything lands in tests/data/images.

`name.ext` comes with `name.ext.png`, the expected pixels as 8-bit RGB. Where Pillow narrows 16 bits by cutting
the low byte off, NumPy rounds value/257 instead; alpha is composited over white in floating point.
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "data" / "images"
WIDTH, HEIGHT = 45, 30  # odd, and no multiple of a JPEG block


def base():
    """A colour gradient with a dark disc: smooth as photos are, so that chroma subsampling does it justice."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    red = 255 * x / (WIDTH - 1)
    green = 255 * y / (HEIGHT - 1)
    blue = 127 + 120 * np.sin(x / 7) * np.cos(y / 5)
    disc = 1 / (1 + np.exp(6 - np.hypot(x - 14, y - 12)))
    return np.clip(np.stack([red, green, blue], -1) * disc[..., None] + 10, 0, 255)


def alpha_plane():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    return np.clip(300 * (x + y) / (WIDTH + HEIGHT) - 20, 0, 255)


def save(name, data, expected):
    (OUT / name).write_bytes(data)
    Image.fromarray(np.asarray(expected, np.uint8), "RGB").save(OUT / f"{name}.png", optimize=True)


def encode(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def as_pillow_reads(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def over_white(colour, alpha, top):
    """Composites over white in floating point and rounds to 8 bits, halves up."""
    share = alpha.astype(np.float64)[..., None] / top
    value = colour.astype(np.float64) / top * share + (1 - share)
    return np.floor(value * 255 + 0.5)


def narrow(samples):
    return np.floor(samples.astype(np.float64) / 257 + 0.5)


def png(samples, colour_type, bits):
    """Writes what Pillow cannot: 16-bit colour."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = samples.shape[:2]
    rows = samples.astype(">u2" if bits == 16 else ">u1").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def tiff(width, height, bits, photometric, samples, data):
    """A plain uncompressed little-endian TIFF with one strip."""
    extra = struct.pack(f"<{samples}H", *[bits] * samples)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, None), (259, 3, 1, 1), (262, 3, 1, photometric),
               (273, 4, 1, None), (277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, len(data))]
    after = 8 + 2 + 12 * len(entries) + 4
    body = b""
    for tag, kind, count, value in entries:
        if tag == 258:
            value = after if samples > 2 else bits
        if tag == 273:
            value = after + len(extra)
        body += struct.pack("<HHII", tag, kind, count, value)
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + body + bytes(4) + extra + data


def jpegs(rgb):
    image = Image.fromarray(rgb, "RGB")
    grey = image.convert("L")
    variants = {
        "subsampled.jpg": encode(image, "JPEG", quality=90, subsampling="4:2:0"),
        "sideways.jpg": encode(image, "JPEG", quality=90, subsampling="4:2:2"),
        "full.jpg": encode(image, "JPEG", quality=90, subsampling="4:4:4"),
        "progressive.jpg": encode(image, "JPEG", quality=90, subsampling="4:2:0", progressive=True),
        "restarts.jpg": encode(image, "JPEG", quality=90, restart_marker_blocks=2),
        "grey.jpg": encode(grey, "JPEG", quality=90),
        "grey_progressive.jpg": encode(grey, "JPEG", quality=90, progressive=True),
        "rgb.jpg": encode(image, "JPEG", quality=90, keep_rgb=True),
        "cmyk.jpg": encode(cmyk(rgb), "JPEG", quality=90),
    }
    # YCCK, which Pillow reads but does not write: the same planes, declared as such in the Adobe segment.
    ycc = np.asarray(Image.fromarray(255 - np.asarray(cmyk(rgb))[..., :3], "RGB").convert("YCbCr"))
    planes = np.dstack([ycc, np.asarray(cmyk(rgb))[..., 3]])
    planes[..., :3] = 255 - planes[..., :3]
    data = bytearray(encode(Image.frombytes("CMYK", (WIDTH, HEIGHT), planes.tobytes()), "JPEG", quality=90))
    adobe = data.index(b"Adobe")
    assert data[adobe + 11] == 0
    data[adobe + 11] = 2
    variants["ycck.jpg"] = bytes(data)
    for name, data in variants.items():
        save(name, data, as_pillow_reads(data))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encode(image, "JPEG", quality=90, subsampling="4:4:4", exif=exif)
        save(f"orientation_{orientation}.jpg", data, as_pillow_reads(data))


def cmyk(rgb):
    """Inks with a black of their own, not the zero that Pillow's conversion leaves it at."""
    black = (255 - rgb.max(-1)) // 2
    inks = 255 - np.clip(rgb.astype(int) * 255 // np.maximum(255 - black.astype(int), 1)[..., None], 0, 255)
    return Image.frombytes("CMYK", rgb.shape[1::-1], np.dstack([inks, black]).astype(np.uint8).tobytes())


def pngs(rgb, alpha):
    image = Image.fromarray(rgb, "RGB")
    save("rgb.png", encode(image, "PNG"), rgb)
    grey = np.asarray(image.convert("L"))
    save("grey.png", encode(image.convert("L"), "PNG"), np.dstack([grey] * 3))
    one = image.convert("1")
    save("one_bit.png", encode(one, "PNG"), as_pillow_reads(encode(one, "PNG")))
    palette = image.quantize(40)
    save("palette.png", encode(palette, "PNG"), np.asarray(palette.convert("RGB")))
    see_through = palette.convert("RGB")
    hole = np.asarray(palette) == 7
    assert hole.any()
    save("palette_alpha.png", encode(palette, "PNG", transparency=7),
         np.where(hole[..., None], 255, np.asarray(see_through)))
    save("rgba.png", encode(Image.fromarray(np.dstack([rgb, alpha]), "RGBA"), "PNG"), over_white(rgb, alpha, 255))
    save("grey_alpha.png", encode(Image.fromarray(np.dstack([grey, alpha]), "LA"), "PNG"),
         over_white(np.dstack([grey] * 3), alpha, 255))
    wide = np.round(base() * 257).astype(np.uint16)
    wide_alpha = np.round(alpha_plane() * 257).astype(np.uint16)
    save("rgb_16.png", png(wide, 2, 16), narrow(wide))
    save("grey_16.png", png(wide[..., 1], 0, 16), np.dstack([narrow(wide[..., 1])] * 3))
    save("rgba_16.png", png(np.dstack([wide, wide_alpha]), 6, 16), over_white(wide, wide_alpha, 65535))
    exif = Image.Exif()
    exif[0x0112] = 6
    save("orientation.png", encode(image, "PNG", exif=exif), np.rot90(rgb, -1))


def others(rgb, alpha):
    image = Image.fromarray(rgb, "RGB")
    rgba = Image.fromarray(np.dstack([rgb, alpha]), "RGBA")
    lossy = encode(image, "WEBP", quality=90)
    save("lossy.webp", lossy, as_pillow_reads(lossy))
    save("lossless.webp", encode(image, "WEBP", lossless=True), rgb)
    save("alpha.webp", encode(rgba, "WEBP", lossless=True, exact=True), over_white(rgb, alpha, 255))
    exif = Image.Exif()
    exif[0x0112] = 8
    save("orientation.webp", encode(image, "WEBP", lossless=True, exif=exif), np.rot90(rgb))

    palette = image.quantize(40)
    save("still.gif", encode(palette, "GIF"), np.asarray(palette.convert("RGB")))
    hole = np.asarray(palette) == 7
    save("transparent.gif", encode(palette, "GIF", transparency=7, optimize=False),
         np.where(hole[..., None], 255, np.asarray(palette.convert("RGB"))))
    turned = Image.fromarray(255 - rgb, "RGB").quantize(40)
    moving = encode(palette, "GIF", save_all=True, append_images=[turned], duration=100)
    save("moving.gif", moving, as_pillow_reads(moving))

    save("rgb.bmp", encode(image, "BMP"), rgb)
    save("palette.bmp", encode(palette, "BMP"), np.asarray(palette.convert("RGB")))
    save("grey.bmp", encode(image.convert("L"), "BMP"), np.dstack([np.asarray(image.convert("L"))] * 3))

    grey = np.asarray(image.convert("L"))
    save("rgb.tiff", encode(image, "TIFF"), rgb)
    save("lzw.tiff", encode(image, "TIFF", compression="tiff_lzw"), rgb)
    save("deflate.tiff", encode(image, "TIFF", compression="tiff_adobe_deflate"), rgb)
    save("grey.tiff", encode(image.convert("L"), "TIFF"), np.dstack([grey] * 3))
    save("one_bit.tiff", encode(image.convert("1"), "TIFF"), np.asarray(image.convert("1").convert("RGB")))
    save("rgba.tiff", encode(rgba, "TIFF"), over_white(rgb, alpha, 255))
    inks = cmyk(rgb)
    save("cmyk.tiff", encode(inks, "TIFF", compression="tiff_lzw"), np.asarray(inks.convert("RGB")))
    wide = np.round(base() * 257).astype(np.uint16)
    save("rgb_16.tiff", tiff(WIDTH, HEIGHT, 16, 2, 3, wide.astype("<u2").tobytes()), narrow(wide))
    save("grey_16.tiff", tiff(WIDTH, HEIGHT, 16, 1, 1, wide[..., 1].astype("<u2").tobytes()),
         np.dstack([narrow(wide[..., 1])] * 3))
    exif = Image.Exif()
    exif[0x0112] = 5
    save("orientation.tiff", encode(image, "TIFF", compression="tiff_lzw", tiffinfo=exif), np.transpose(rgb, (1, 0, 2)))
    # Not readable by the decoder: there to see that it is said well.
    (OUT / "unsupported_palette.tiff").write_bytes(encode(palette, "TIFF"))


def huge(rgb):
    """Headers that announce 30000 × 30000 pixels and next to no data."""
    side = 30000
    small = rgb[:8, :8]
    image = Image.fromarray(small, "RGB")
    body = bytearray(png(small, 2, 8))
    body[16:24] = struct.pack(">II", side, side)
    body[29:33] = struct.pack(">I", zlib.crc32(bytes(body[12:29])))
    (OUT / "huge.png").write_bytes(body)
    body = bytearray(encode(image, "JPEG"))
    frame = body.index(b"\xff\xc0")
    body[frame + 5:frame + 9] = struct.pack(">HH", side, side)
    (OUT / "huge.jpg").write_bytes(body)
    body = bytearray(encode(image.quantize(4), "GIF"))
    body[6:10] = struct.pack("<HH", side, side)
    (OUT / "huge.gif").write_bytes(body)
    body = bytearray(encode(image, "BMP"))
    body[18:26] = struct.pack("<ii", side, side)
    (OUT / "huge.bmp").write_bytes(body)
    (OUT / "huge.tiff").write_bytes(tiff(side, side, 8, 2, 3, small.tobytes()))
    # An extended WebP may announce a canvas of up to 2^24 × 2^24 around its frame.
    frame = encode(image, "WEBP", lossless=True)[12:]
    canvas = b"VP8X" + struct.pack("<IB3x", 10, 0) + (side - 1).to_bytes(3, "little") * 2
    (OUT / "huge.webp").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(canvas + frame)) + b"WEBP" + canvas + frame)


def noise(width, height):
    """The same grey levels as `noise` in tests/images.rs: hard on rounding, and needs no file."""
    y, x, channel = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    value = x * 73856093 + y * 19349663 + channel * 83492791
    value = (value ^ (value >> 13)) * 1274126177
    return ((value >> 16) & 255).astype(np.uint8)


def torchvision_resize_and_crop(image, resize, crop):
    """torchvision's Resize(resize) and CenterCrop(crop) on a PIL image, sizes computed as there."""
    width, height = image.size
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = resize, int(resize * long / short)
    new_width, new_height = (new_short, new_long) if width <= height else (new_long, new_short)
    if (width, height) != (new_width, new_height):
        image = image.resize((new_width, new_height), Image.BILINEAR)
    top = int(round((new_height - crop) / 2.0))
    left = int(round((new_width - crop) / 2.0))
    return image.crop((left, top, left + crop, top + crop))


def resized():
    for width, height, resize, crop in [(500, 375, 256, 224), (375, 500, 256, 224), (97, 61, 256, 224),
                                        (1501, 211, 224, 224), (640, 427, 96, 95), (1, 1, 256, 224), (5, 2, 40, 33)]:
        picture = torchvision_resize_and_crop(Image.fromarray(noise(width, height), "RGB"), resize, crop)
        rows = np.asarray(picture)[::32]
        Image.fromarray(rows, "RGB").save(OUT / f"resized_{width}x{height}_{resize}_{crop}.png", optimize=True)


def photos(folder):
    """Every 32nd row of the photos that are public domain or CC0, decoded and resized by Pillow."""
    for name in ["astronaut", "cat", "coffee", "rocket", "seeding"]:
        [path] = Path(folder).glob(f"*/{name}.jpg")
        picture = torchvision_resize_and_crop(Image.open(path).convert("RGB"), 256, 224)
        Image.fromarray(np.asarray(picture)[::32], "RGB").save(OUT / f"photo_{name}.png", optimize=True)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rgb = np.round(base()).astype(np.uint8)
    alpha = np.round(alpha_plane()).astype(np.uint8)
    jpegs(rgb)
    pngs(rgb, alpha)
    others(rgb, alpha)
    huge(rgb)
    resized()
    if len(sys.argv) > 1:
        photos(sys.argv[1])


if __name__ == "__main__":
    main()
