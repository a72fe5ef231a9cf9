#!/usr/bin/env python3
"""Writes the archives of this folder with NumPy, as the authors of PatternNet do (github.com/pikinder/nn-patterns,
nn_patterns/utils/fileio.py: save_parameters, store_patterns), for narrow VGGs of random weights.

    pip install numpy==2.4.6
    python write.py

Beside them expected.json: the logits that plain NumPy computes in float64 for the image that `image` makes, with the authors'
preprocessing (examples/utils.py).
"""

import json
import pathlib

import numpy

FOLDER = pathlib.Path(__file__).parent
BLOCKS = {"vgg11": [1, 1, 2, 2, 2], "vgg13": [2, 2, 2, 2, 2], "vgg16": [2, 2, 3, 3, 3], "vgg19": [2, 2, 4, 4, 4]}
WIDTHS = [2, 3, 3, 4, 4]
SIDE = 2
BLUE_GREEN_RED = numpy.array([103.939, 116.779, 123.68])[:, None, None]


def parameters(blocks, seed):
    """[outputs, inputs, 3, 3] and [inputs, outputs], each with its bias."""
    random = numpy.random.default_rng(seed)
    result, channels = [], 3

    def add(shape, fan_in, outputs):
        result.append((random.standard_normal(shape) * (2 / fan_in) ** 0.5).astype("float32"))
        result.append((random.standard_normal(outputs) * 0.1).astype("float32"))

    for count, width in zip(blocks, WIDTHS):
        for _ in range(count):
            add((width, channels, 3, 3), 9 * channels, width)
            channels = width
    inputs = channels * SIDE * SIDE
    for outputs in (6, 7, 5):
        add((inputs, outputs), inputs, outputs)
        inputs = outputs
    return result


def patterns(arrays, seed):
    """Random directions with wᵀa = 1 for every neuron, in the shapes of the weights."""
    random = numpy.random.default_rng(seed)
    result = []
    for weight in arrays[::2]:
        axes = (1, 2, 3) if weight.ndim == 4 else (0,)
        a = weight.astype("float64") + random.standard_normal(weight.shape) * 0.3
        result.append((a / (weight * a).sum(axis=axes, keepdims=True)).astype("float32"))
    return result


def image():
    """64 × 64 pixels, the same as in tests/import/responses.rs."""
    channel, row, column = numpy.meshgrid(numpy.arange(3), numpy.arange(64), numpy.arange(64), indexing="ij")
    return (row * row * 7 + column * 13 + channel * 41 + row * column * 3) % 256


def logits(arrays, blocks):
    arrays = iter([array.astype("float64") for array in arrays])
    x = image()[::-1] - BLUE_GREEN_RED
    for count in blocks:
        for _ in range(count):
            weight, bias = next(arrays), next(arrays)
            padded = numpy.pad(x, ((0, 0), (1, 1), (1, 1)))
            windows = numpy.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
            x = numpy.maximum(numpy.einsum("oihw,iyxhw->oyx", weight, windows) + bias[:, None, None], 0)
        channels, rows, columns = x.shape
        x = x.reshape(channels, rows // 2, 2, columns // 2, 2).max(axis=(2, 4))
    x = x.flatten()
    remaining = list(arrays)
    for index in range(0, len(remaining), 2):
        x = x @ remaining[index] + remaining[index + 1]
        if index + 2 < len(remaining):
            x = numpy.maximum(x, 0)
    return x.tolist()


def main():
    expected = {}

    def save(name, arrays, blocks, write=numpy.savez):
        write(FOLDER / f"{name}.npz", *arrays)
        with numpy.load(FOLDER / f"{name}.npz") as stored:
            expected[f"{name}.npz"] = logits([stored[f"arr_{index}"] for index in range(len(arrays))], blocks)

    for seed, (name, blocks) in enumerate(BLOCKS.items()):
        save(name, parameters(blocks, seed), blocks)
    arrays, blocks = parameters(BLOCKS["vgg16"], 16), BLOCKS["vgg16"]
    save("compressed", arrays, blocks, numpy.savez_compressed)
    save("fortran", [numpy.asfortranarray(array) for array in arrays], blocks, numpy.savez_compressed)
    save("float64", [numpy.asfortranarray(array.astype("float64")) for array in arrays], blocks)
    save("float16", [array.astype("float16") for array in arrays], blocks)

    vgg16 = parameters(blocks, list(BLOCKS).index("vgg16"))
    a = patterns(vgg16, 100)
    numpy.savez(FOLDER / "vgg16.patterns.A_only.npz", **{f"A_{index}": array for index, array in enumerate(a)})
    others = {f"{key}_{index}": numpy.zeros_like(array) for key in ("r", "mu") for index, array in enumerate(a)}
    numpy.savez_compressed(
        FOLDER / "vgg16.patterns.npz", **{f"A_{index}": numpy.asfortranarray(array) for index, array in enumerate(a)}, **others)
    (FOLDER / "expected.json").write_text(json.dumps({"numpy": numpy.__version__, "logits": expected}, indent=1) + "\n")


main()
