"""Writes Keras's files with h5py, in every way that Keras and h5py have: python write_keras.py FOLDER

Weights follow a formula that tests compute too: multiples of 1/64 between -2 and 2, exact in 16 bits.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np

folder = Path(sys.argv[1])
BLOCKS = {11: [1, 1, 2, 2, 2], 13: [2, 2, 2, 2, 2], 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4]}
WIDTHS = [2, 3, 3, 4, 5]
SIDE = 2
UNITS = [6, 4, 3]


def values(layer, shape, dtype):
    """Element i of the n-th weight or bias of the network: ((31·i + 17·n) mod 251 - 125) / 64."""
    index = np.arange(np.prod(shape, dtype=int))
    return (((31 * index + 17 * layer) % 251 - 125) / 64).reshape(shape).astype(dtype)


def layers(depth, top=True):
    """(name, class, shape of the kernel or None), as keras.applications has them."""
    inputs = 3
    for block, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS), 1):
        for number in range(1, count + 1):
            yield f"block{block}_conv{number}", "conv2d", (3, 3, inputs, width)
            inputs = width
        yield f"block{block}_pool", "max_pooling2d", None
    if top:
        yield "flatten", "flatten", None
        inputs *= SIDE * SIDE
        for name, width in zip(["fc1", "fc2", "predictions"], UNITS):
            yield name, "dense", (inputs, width)
            inputs = width


def names(layer, style):
    """What the Kerases called a kernel and a bias."""
    return {
        "keras1": (f"{layer}_W_1:0", f"{layer}_b_1:0"),
        "keras2": (f"{layer}/kernel:0", f"{layer}/bias:0"),
        "keras3": (f"vgg/{layer}/kernel", f"vgg/{layer}/bias"),
    }[style]


def texts(items, variable):
    """A list as an attribute: of texts of the same length, as Keras writes it, or of any."""
    return np.array(items, dtype=h5py.string_dtype()) if variable else [item.encode() for item in items]


def listed(
    name, depth, style="keras2", top=True, libver="earliest", dtype="<f4", variable=False, pools=True, split=False, userblock=0, **how
):
    """A .h5 of weights: a group for each layer, and attributes that list layers and weights."""
    with h5py.File(folder / name, "w", libver=libver, userblock_size=userblock) as file:
        found = [layer for layer in layers(depth, top) if pools or layer[2]]
        file.attrs["layer_names"] = texts([layer for layer, _, _ in found], variable)
        number = 0
        for layer, _, shape in found:
            group = file.create_group(layer)
            paths = names(layer, style) if shape else ()
            if split:
                # As Keras does with lists of more than 64512 bytes.
                for part, path in enumerate(paths):
                    group.attrs[f"weight_names{part}"] = texts([path], variable)
            else:
                group.attrs["weight_names"] = texts(paths, variable)
            for path, extents in zip(paths, (shape, shape and shape[-1:])):
                dataset(group, path, values(number, extents, dtype), **how)
                number += 1


def nested(name, depth):
    """Weights of a model that has the convolutions in a model of its own, as transfer learning makes it."""
    with h5py.File(folder / name, "w") as file:
        dense = [layer for layer in layers(depth) if layer[1] in ("flatten", "dense")]
        file.attrs["layer_names"] = texts(["base"] + [layer for layer, _, _ in dense], False)
        inner, number = [], 0
        for layer, kind, shape in layers(depth):
            group = file.require_group("base" if layer.startswith("block") else layer)
            paths = names(layer, "keras2") if shape else ()
            for path, extents in zip(paths, (shape, shape and shape[-1:])):
                dataset(group, path, values(number, extents, "<f4"))
                number += 1
            if layer.startswith("block"):
                inner += paths
            else:
                group.attrs["weight_names"] = texts(paths, False)
        file["base"].attrs["weight_names"] = texts(inner, False)


def dataset(group, path, data, compact=False, **how):
    if not compact:
        group.create_dataset(path, data=data, **how)
        return
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space = h5py.h5s.create_simple(data.shape)
    made = h5py.h5d.create(group.id, path.encode(), h5py.h5t.py_create(data.dtype), space, properties, lcpl=links)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, data)


def numbered(name, depth, named=True, container="layers", top=True, **how):
    """A .weights.h5: layers numbered class by class."""
    with h5py.File(folder / name, "w") as file:
        counts, number = {}, 0
        for layer, kind, shape in layers(depth, top):
            count = counts[kind] = counts.get(kind, -1) + 1
            variables = file.create_group(f"{container}/{kind}_{count}/vars" if count else f"{container}/{kind}/vars")
            if named:
                variables.attrs["name"] = layer
            for index, extents in enumerate((shape, shape[-1:]) if shape else ()):
                dataset(variables, str(index), values(number, extents, "<f4"), **how)
                number += 1


for depth in BLOCKS:
    listed(f"vgg{depth}.h5", depth)
    listed(f"vgg{depth}_notop.h5", depth, top=False)
    numbered(f"vgg{depth}.weights.h5", depth)
    numbered(f"vgg{depth}_unnamed.weights.h5", depth, named=False)
packed = {"chunks": True, "compression": "gzip", "shuffle": True}
listed("keras1.h5", 16, style="keras1")
listed("keras3.h5", 16, style="keras3")
listed("latest.h5", 19, libver="latest")
listed("latest_packed.h5", 16, libver="latest", **packed)
listed("packed.h5", 16, **packed)
listed("checked.h5", 11, chunks=True, fletcher32=True)
listed("compact.h5", 11, compact=True)
listed("half.h5", 11, dtype="<f2")
listed("double.h5", 11, dtype="<f8")
listed("big_endian.h5", 11, dtype=">f4")
listed("big_endian_half.h5", 11, dtype=">f2", **packed)
listed("variable.h5", 13, variable=True)
listed("without_pools.h5", 16, pools=False)
listed("user_block.h5", 11, userblock=1024)
listed("split.h5", 11, split=True)
nested("nested.h5", 16)
numbered("tensorflow.weights.h5", 11, container="_layer_checkpoint_dependencies")
numbered("packed.weights.h5", 16, **packed)

# What is refused, and what the message says.
refused = {}


def refuse(name, says, libver="earliest"):
    refused[name] = says
    return h5py.File(folder / name, "w", libver=libver)


with refuse("empty.h5", "none of Keras's"):
    pass
with refuse("bomb.h5", "more than it can need") as file:
    file.attrs["layer_names"] = [b"fc"]
    file.create_group("fc").attrs["weight_names"] = [b"fc/kernel:0"]
    file.create_dataset("fc/fc/kernel:0", data=np.zeros((8192, 1024), "<f4"), chunks=(1024, 1024), compression="gzip")
with refuse("never_written.h5", "more than it can need") as file:
    file.attrs["layer_names"] = [b"fc"]
    file.create_group("fc").attrs["weight_names"] = [b"fc/kernel:0"]
    file.create_dataset("fc/fc/kernel:0", (1 << 20, 1 << 20), "<f4", chunks=(1024, 1024))
with refuse("same_numbers.h5", "more than it can need") as file:
    # A thousand dense layers over the same megabyte.
    file.attrs["layer_names"] = [b"fc"]
    group = file.create_group("fc")
    group.create_dataset("0/kernel:0", data=values(0, (512, 512), "<f4"))
    for number in range(1, 1000):
        group[f"{number}/kernel:0"] = group["0/kernel:0"]
    group.attrs["weight_names"] = [f"{number}/kernel:0".encode() for number in range(1000)]
with refuse("circle.h5", "no weights for it") as file:
    file.attrs["layer_names"] = [b"fc"]
    file["fc"] = h5py.SoftLink("/other")
    file["other"] = h5py.SoftLink("/fc")
with refuse("link_elsewhere.h5", "no weights for it") as file:
    file.attrs["layer_names"] = [b"fc"]
    file["fc"] = h5py.ExternalLink("vgg16.h5", "/fc1")
with refuse("numbers_elsewhere.h5", "in another file") as file:
    file.attrs["layer_names"] = [b"fc"]
    file.create_group("fc").attrs["weight_names"] = [b"fc/kernel:0"]
    file.create_dataset("fc/fc/kernel:0", (4, 3), "<f4", external=[("/etc/passwd", 0, 48)])
with refuse("integers.h5", "elements of type integer") as file:
    file.attrs["layer_names"] = [b"fc"]
    file.create_group("fc").attrs["weight_names"] = [b"fc/kernel:0"]
    file.create_dataset("fc/fc/kernel:0", data=np.arange(12).reshape(4, 3))
with refuse("group_in_itself.h5", "no kernel") as file:
    file.attrs["layer_names"] = [b"fc"]
    file.create_group("fc").attrs["weight_names"] = [b"fc/fc/fc/fc/gamma:0"]
    file["fc/fc"] = file["fc"]
with refuse("models_in_models.weights.h5", "within 8 others") as file:
    inner = file.create_group("layers/functional")
    inner["layers"] = file["layers"]
with refuse("deep.h5", "has more than 64 names") as file:
    file.attrs["layer_names"] = [b"fc"]
    group = file.create_group("fc")
    group["a"] = group
    group.attrs["weight_names"] = [b"a/" * 100 + b"kernel:0"]
with refuse("many_layers.h5", "1024") as file:
    file.attrs["layer_names"] = [b"flatten"] * 2000
    file.create_group("flatten").attrs["weight_names"] = []
with refuse("many_members.weights.h5", "more than 1024 members", "latest") as file:
    for number in range(1100):
        file.create_group(f"layers/dropout_{number}")
with refuse("many_attributes.h5", "more than 1024 members", "latest") as file:
    for number in range(1100):
        file.attrs[f"attribute{number}"] = 0
with refuse("scale_offset.h5", "filter 6") as file:
    file.attrs["layer_names"] = [b"block1_conv1"]
    file.create_group("block1_conv1").attrs["weight_names"] = [b"kernel:0"]
    file.create_dataset("block1_conv1/kernel:0", data=values(0, (3, 3, 3, 2), "<f4"), scaleoffset=2)
with refuse("theano.h5", "Theano") as file:
    file.attrs["layer_names"] = [b"block1_conv1"]
    file.create_group("block1_conv1").attrs["weight_names"] = [b"block1_conv1/kernel:0"]
    file.create_dataset("block1_conv1/block1_conv1/kernel:0", data=values(0, (8, 4, 3, 3), "<f4"))
with refuse("batch_norm_weights.h5", "save the whole model") as file:
    file.attrs["layer_names"] = [b"bn"]
    file.create_group("bn").attrs["weight_names"] = [b"bn/gamma:0"]
    file.create_dataset("bn/bn/gamma:0", data=values(0, (8,), "<f4"))
with refuse("long_config.h5", "longer than") as file:
    file.attrs["model_config"] = '{"class_name": "Sequential", "config": {"layers": [' + " " * (1 << 22) + "]}}"
    file.create_group("model_weights")
with refuse("long_texts.h5", "longer than") as file:
    text = "a" * (1 << 20)
    file.attrs["layer_names"] = np.array([text, text, text], dtype=h5py.string_dtype())
with refuse("no_attribute.h5", "no weights for it") as file:
    file.attrs["layer_names"] = [b"fc"]
(folder / "refused.json").write_text(json.dumps(refused, indent=1))
