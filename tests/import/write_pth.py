#!/usr/bin/env python3
"""Writes files as torch.save does, without PyTorch: pickle and zipfile with classes that have PyTorch's names.

    python write_pth.py < JOBS

JOBS is a JSON list, a file each: {"path", "format": "zip" or "legacy", "protocol", "deflated", "old_strings", "wrapper",
"parameters", "shared", "transposed", "type", "tensors": [[name, shape, elements in hexadecimal]]}.

After torch/serialization.py (_save, _legacy_save) and torch/_tensor.py (_reduce_ex_internal) of PyTorch 2.8; shares no code with
the reader that it tests.
"""

import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

STORAGES = {"float32": ("FloatStorage", 4), "float16": ("HalfStorage", 2), "bfloat16": ("BFloat16Storage", 2),
            "int64": ("LongStorage", 8)}


def module(name):
    sys.modules[name] = types.ModuleType(name)
    return sys.modules[name]


torch, utils = module("torch"), module("torch._utils")
for kind, _ in STORAGES.values():
    setattr(torch, kind, type(kind, (), {"__module__": "torch"}))


def _rebuild_tensor_v2(*_):
    raise NotImplementedError


def _rebuild_parameter(*_):
    raise NotImplementedError


for function in (_rebuild_tensor_v2, _rebuild_parameter):
    function.__module__ = "torch._utils"
    setattr(utils, function.__name__, function)


class Storage:
    def __init__(self, kind, data):
        self.kind, self.data = kind, data

    def __len__(self):
        return len(self.data) // STORAGES[self.kind][1]


class Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, tuple(shape), tuple(strides), False, OrderedDict())

    def __reduce_ex__(self, _):
        return utils._rebuild_tensor_v2, self.arguments


class Parameter:
    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce_ex__(self, _):
        return utils._rebuild_parameter, (self.tensor, True, OrderedDict())


class Pickler(pickle._Pickler):
    """Gives storages numbers in the order in which it meets them."""

    def __init__(self, file, protocol, old_strings, view):
        super().__init__(file, protocol)
        self.storages, self.old_strings, self.view = {}, old_strings, view

    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        key = self.storages.setdefault(id(thing), (str(len(self.storages)), thing))[0]
        identifier = ("storage", getattr(torch, STORAGES[thing.kind][0]), key, "cpu", len(thing))
        return (*identifier, None) if self.view else identifier

    def save_text(self, text):
        """As Python 2 has them: one byte a character."""
        if not self.old_strings:
            return pickle._Pickler.save_str(self, text)
        data = text.encode("latin-1")
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch = dict(pickle._Pickler.dispatch)
    dispatch[str] = save_text


def row_major(shape):
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return strides[::-1]


def transposed(data, shape, size):
    """The elements with the last index outermost, and the strides that find them."""
    strides = row_major(shape[::-1])[::-1]
    result = bytearray(len(data))
    for position in range(len(data) // size):
        rest, place = position, 0
        for extent, stride in zip(reversed(shape), reversed(strides)):
            place += rest % extent * stride
            rest //= extent
        result[place * size:(place + 1) * size] = data[position * size:(position + 1) * size]
    return bytes(result), strides


def tensors(job):
    kind = job["type"]
    size = STORAGES[kind][1]
    pieces, start = [], 0
    for name, shape, text in job["tensors"]:
        data, strides = bytes.fromhex(text), row_major(shape)
        if job["transposed"]:
            data, strides = transposed(data, shape, size)
        pieces.append((name, shape, strides, start, data))
        # A gap between two tensors of one storage.
        start += len(data) // size + 3
    if job["shared"]:
        both = Storage(kind, b"".join(data + bytes(3 * size) for *_, data in pieces))
    result = OrderedDict()
    for name, shape, strides, start, data in pieces:
        storage, offset = (both, start) if job["shared"] else (Storage(kind, data), 0)
        tensor = Tensor(storage, offset, shape, strides)
        result[name] = Parameter(tensor) if job["parameters"] else tensor
        if name.endswith("running_var"):
            counter = name.replace("running_var", "num_batches_tracked")
            result[counter] = Tensor(Storage("int64", struct.pack("<q", 7)), 0, (), ())
    result._metadata = OrderedDict([("", {"version": 1})])
    return result


def write(job):
    state, view = tensors(job), job["format"] == "legacy"
    if job["wrapper"]:
        # A tensor beside the network, as PyTorch's own ImageNet example has it.
        best = Tensor(Storage("float32", struct.pack("<f", 0.71)), 0, (), ())
        state = {"epoch": 90, "best_acc1": best, job["wrapper"]: state, "classes": ["cat", "dog"], "seen": {1, 2}, "raw": b"\xff"}
    file = io.BytesIO()
    pickler = Pickler(file, job["protocol"], job["old_strings"], view)
    pickler.dump(state)
    storages = list(pickler.storages.values())
    if view:
        with open(job["path"], "wb") as out:
            for value in (0x1950A86A20F9469CFC6C, 1001,
                          {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}):
                pickle.dump(value, out, job["protocol"])
            out.write(file.getvalue())
            keys = sorted(key for key, _ in storages)
            pickle.dump(keys, out, job["protocol"])
            for key in keys:
                storage = dict(storages)[key]
                out.write(struct.pack("<q", len(storage)) + storage.data)
        return
    method = zipfile.ZIP_DEFLATED if job["deflated"] else zipfile.ZIP_STORED
    with zipfile.ZipFile(job["path"], "w", method) as archive:
        archive.writestr("archive/data.pkl", file.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, storage in storages:
            archive.writestr(f"archive/data/{key}", storage.data)
        archive.writestr("archive/version", "3\n")


for job in json.load(sys.stdin):
    write(job)
