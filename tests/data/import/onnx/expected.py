"""What ONNX Runtime makes of the models here, for the image that the tests make too (tests/import/responses.rs)."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

SIDE = 64
HERE = Path(__file__).parent


def image():
    row, column, channel = np.meshgrid(*map(np.arange, (SIDE, SIDE, 3)), indexing="ij")
    return ((row * row * 7 + column * 13 + channel * 41 + row * column * 3) % 256).astype(np.uint8)


def strip(file):
    """Takes out where on whose disk the exporter was called."""
    model = onnx.load(file)
    for part in [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output,
                 *model.graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.value_info[:]
    onnx.save(model, file)


class Expected:
    def __init__(self):
        self.path = HERE / "expected.json"
        self.files = json.loads(self.path.read_text()) if self.path.exists() else {}

    def add(self, file, own_pixels):
        """`own_pixels`: the graph takes pixels of 0 to 255; otherwise it is given pixels / 255."""
        strip(file)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (entry,) = session.get_inputs()
        pixels = image()[None]
        if entry.shape[3] != 3:
            pixels = pixels.transpose(0, 3, 1, 2)
        if entry.type != "tensor(uint8)":
            pixels = pixels.astype(np.float32) / np.float32(1 if own_pixels else 255)
        (output,) = session.run(None, {entry.name: pixels})
        logits = [float(value) for value in output.ravel()]
        assert np.isfinite(logits).all() and np.std(logits) > 0.01 * np.abs(logits).max(), (file, logits)
        self.files[file] = {"own_pixels": own_pixels, "logits": logits}

    def write(self):
        self.path.write_text(json.dumps(dict(sorted(self.files.items())), indent=1) + "\n")
