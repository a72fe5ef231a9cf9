#!/usr/bin/env python3
"""What other libraries make of the real VGG16 features: run once by hand, results committed in tests/data/third_party.

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 captum==0.9.0 onnx==1.23.2 onnxruntime==1.32.0 \\
        safetensors==0.8.0 numpy==2.4.6 pillow==13.0.0
    venv/bin/python tests/scripts/third_party.py --shared ../shared

The network: the 13 convolutions with float16 weights and biases (rounded, as the crate bundles them), computed in
float32; ReLU after each; 2x2 max-pool after convolutions 2, 4, 7, 10 and 13. The response of a channel is the sum of its
7x7 map, the target the channel with the largest one. The forward is ONNX Runtime's, on a graph written by hand; gradient
(Saliency with abs=False), guided backprop and deconvnet are Captum's.

Where the libraries leave a choice, this script asserts the one that they took:
- Captum's Deconvolution replaces the ReLU's gradient by the rectified incoming gradient, without the forward mask;
- torch's max-pool sends the gradient to the first maximum of a window in scan order, also where all four are 0.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import platform
import warnings

import captum
import numpy
import onnx
import onnxruntime
import PIL
import safetensors
import torch
from captum.attr import Deconvolution, GuidedBackprop, Saliency
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageOps
from safetensors.numpy import load_file, save_file

# The photos whose licences let them into the project's tree (the others in ../shared are for measuring only).
PHOTOS = ["evaluate/cat.jpg", "learn/coffee.jpg", "learn/astronaut.jpg", "learn/rocket.jpg"]
CONVOLUTIONS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
POOLED = {2, 7, 14, 21, 28}
MEAN_BGR = numpy.array([103.939, 116.779, 123.68], dtype=numpy.float32)
SIDE = 224
STORED_ROWS = 75
DEFAULT_OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "third_party"


class Features(torch.nn.Module):
    """The features and, as model output, each channel's sum over the final map: [N, 512]."""

    def __init__(self, weights):
        super().__init__()
        layers = []
        for number in CONVOLUTIONS:
            weight = torch.from_numpy(weights[f"features.{number}.weight"])
            convolution = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
            convolution.weight = torch.nn.Parameter(weight)
            convolution.bias = torch.nn.Parameter(torch.from_numpy(weights[f"features.{number}.bias"]))
            layers += [convolution, torch.nn.ReLU(inplace=False)]
            if number in POOLED:
                layers.append(torch.nn.MaxPool2d(2, 2))
        self.features = torch.nn.Sequential(*layers)

    def forward(self, image):
        return self.features(image).sum(dim=(2, 3))


def onnx_session(weights):
    """The same network for ONNX Runtime, node by node."""
    nodes, initializers, value = [], [], "image"
    for number in CONVOLUTIONS:
        for part in ("weight", "bias"):
            name = f"features.{number}.{part}"
            initializers.append(numpy_helper.from_array(weights[name], name))
        inputs = [value, f"features.{number}.weight", f"features.{number}.bias"]
        nodes.append(
            helper.make_node("Conv", inputs, [f"z{number}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        )
        nodes.append(helper.make_node("Relu", [f"z{number}"], [f"a{number}"]))
        value = f"a{number}"
        if number in POOLED:
            pool = helper.make_node(
                "MaxPool", [value], [f"p{number}"], kernel_shape=[2, 2], strides=[2, 2]
            )
            nodes.append(pool)
            value = f"p{number}"
    initializers.append(numpy_helper.from_array(numpy.array([2, 3], dtype=numpy.int64), "axes"))
    nodes.append(helper.make_node("ReduceSum", [value, "axes"], ["responses"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "vgg16_features",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("responses", TensorProto.FLOAT, ["N", 512])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def crop(path):
    """Shorter side to 256 (Pillow's antialiased bilinear, torchvision's size rule), centre 224x224, RGB."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    long = int(256 * long / short)
    size = (256, long) if width < height else (long, 256)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left = int(round((size[0] - SIDE) / 2.0))
    top = int(round((size[1] - SIDE) / 2.0))
    return image.crop((left, top, left + SIDE, top + SIDE))


def network_input(image):
    bgr = numpy.asarray(image, dtype=numpy.float32)[:, :, ::-1] - MEAN_BGR
    return numpy.ascontiguousarray(bgr.transpose(2, 0, 1)[None])


def explain(model, image, target):
    """The three methods, each [3, H, W] in R, G, B order."""
    methods = {
        "gradient": lambda x: Saliency(model).attribute(x, target=target, abs=False),
        "guided-backprop": lambda x: GuidedBackprop(model).attribute(x, target=target),
        "deconvnet": lambda x: Deconvolution(model).attribute(x, target=target),
    }
    results = {}
    for name, method in methods.items():
        leaf = image.clone().requires_grad_(True)
        with warnings.catch_warnings():
            # Captum says that it puts hooks on the ReLUs for the time of the call.
            warnings.simplefilter("ignore")
            result = method(leaf)
        results[name] = result.detach().numpy()[0, ::-1].copy()
    return results


def cosine(a, b):
    a, b = a.astype(numpy.float64).ravel(), b.astype(numpy.float64).ravel()
    return float(a @ b / numpy.linalg.norm(a) / numpy.linalg.norm(b))


def assert_pool_takes_the_first_maximum():
    """Every pattern of ties in a window, in one large map: float32 and float64, values and gradients."""
    windows = []
    for winners in range(1, 16):
        window = [1.0 if winners >> place & 1 else 0.0 for place in range(4)]
        first = window.index(1.0)
        windows.append((window, first))
    windows.append(([0.0] * 4, 0))
    windows = windows * 8
    for dtype in (torch.float32, torch.float64):
        grid = torch.zeros(1, 64, 2, 2 * len(windows), dtype=dtype)
        for at, (window, _) in enumerate(windows):
            grid[0, :, :, 2 * at : 2 * at + 2] = torch.tensor(window, dtype=dtype).reshape(2, 2)
        grid.requires_grad_(True)
        torch.nn.MaxPool2d(2, 2)(grid).sum().backward()
        for at, (_, first) in enumerate(windows):
            expected = torch.zeros(4, dtype=dtype)
            expected[first] = 1.0
            got = grid.grad[0, :, :, 2 * at : 2 * at + 2].reshape(64, 4)
            assert (got == expected).all(), (at, got[0])


def assert_deconvolution_ignores_the_mask():
    model = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False))
    model[2].weight = torch.nn.Parameter(torch.tensor([[2.0, -3.0, 5.0, -7.0]]))
    image = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Each call gets a leaf of its own: where a ReLU reads the leaf itself, Captum 0.9.0 leaves its tensor hook on
        # it, and guided backprop after a deconvolution on the same leaf then gives the deconvolution again.
        deconvolution = Deconvolution(model).attribute(image.clone().requires_grad_(True), target=0)
        guided = GuidedBackprop(model).attribute(image.clone().requires_grad_(True), target=0)
    assert deconvolution.tolist() == [[2.0, 0.0, 5.0, 0.0]], deconvolution
    assert guided.tolist() == [[2.0, 0.0, 0.0, 0.0]], guided


def tied_windows(model, image):
    """How many pooling windows have several equal positive maxima, and how many are all zero."""
    positive = zero = total = 0
    value = image
    with torch.no_grad():
        for layer in model.features:
            if isinstance(layer, torch.nn.MaxPool2d):
                n, c, h, w = value.shape
                windows = value[:, :, : h // 2 * 2, : w // 2 * 2]
                windows = windows.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5)
                windows = windows.reshape(-1, 4)
                largest = windows.max(dim=1, keepdim=True).values
                several = (windows == largest).sum(dim=1) > 1
                zero += int((largest[:, 0] == 0).sum())
                positive += int((several & (largest[:, 0] > 0)).sum())
                total += windows.shape[0]
            value = layer(value)
    return {"windows": total, "all_zero": zero, "equal_positive_maxima": positive}


def cpu_model():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
    parser.add_argument("--output", type=pathlib.Path, default=DEFAULT_OUTPUT)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    assert_pool_takes_the_first_maximum()
    assert_deconvolution_ignores_the_mask()

    file = arguments.shared / "data" / "vgg16_imagenet_features.safetensors"
    weights = {
        name: value.astype(numpy.float16).astype(numpy.float32)
        for name, value in load_file(file).items()
    }
    session = onnx_session(weights)
    model = Features(weights).eval()
    model64 = Features({name: value.astype(numpy.float64) for name, value in weights.items()})
    model64 = model64.eval()

    rows = numpy.sort(numpy.random.default_rng(0).choice(SIDE, STORED_ROWS, replace=False))
    stored = {"rows": rows.astype(numpy.int64)}
    notes, explained = {}, {}
    for photo in PHOTOS:
        stem = pathlib.Path(photo).stem
        image = crop(arguments.shared / "data" / "photos" / photo)
        image.save(arguments.output / f"{stem}.png", optimize=True)
        pixels = network_input(image)
        (responses,) = session.run(["responses"], {"image": pixels})
        target = int(responses[0].argmax())
        leaf = torch.from_numpy(pixels)
        with torch.no_grad():
            torch_responses = model(leaf).numpy()
        single = explain(model, leaf, target)
        double = explain(model64, leaf.double(), target)
        stored[f"{stem}.target"] = numpy.array([target], dtype=numpy.int64)
        stored[f"{stem}.responses"] = responses[0].astype(numpy.float32)
        ordered = numpy.sort(responses[0])
        note = {
            "photo": photo,
            "input_sha256": hashlib.sha256(numpy.asarray(image).tobytes()).hexdigest(),
            "target": target,
            "response": float(ordered[-1]),
            "second_response": float(ordered[-2]),
            "torch_against_onnxruntime": float(
                numpy.abs(torch_responses - responses).max() / responses.max()
            ),
            "pool_ties": tied_windows(model, leaf),
            "methods": {},
        }
        for method, values in single.items():
            scale = numpy.abs(values).max()
            # NumPy lays an indexed copy out as it likes, and safetensors 0.8.0 writes memory as it lies.
            subset = numpy.ascontiguousarray((values[:, rows] / scale).astype(numpy.float16))
            stored[f"{stem}.{method}"] = subset
            stored[f"{stem}.{method}.scale"] = numpy.array([scale], dtype=numpy.float32)
            norm = numpy.linalg.norm(values.astype(numpy.float64))
            stored[f"{stem}.{method}.norm"] = numpy.array([norm], dtype=numpy.float64)
            note["methods"][method] = {
                "norm": float(norm),
                "one_minus_cosine_to_float64": 1 - cosine(values, double[method]),
                "norm_over_float64": float(norm / numpy.linalg.norm(double[method])),
            }
        notes[stem] = note
        explained[stem] = single
        print(json.dumps(note, indent=1))

    stored_file = arguments.output / "third_party.safetensors"
    save_file(
        stored,
        stored_file,
        metadata={
            "format": "see README.md in this folder",
            "channels": "rgb",
            "network": "VGG16 features, float16 weights and biases, computed in float32",
        },
    )
    stored_file.chmod(0o644)
    restored = load_file(stored_file)
    for stem, methods in explained.items():
        for method, values in methods.items():
            rows_restored = restored[f"{stem}.{method}"].astype(numpy.float64)
            error = 1 - cosine(rows_restored, values[:, restored["rows"]])
            assert error < 1e-6, (stem, method, error)
            notes[stem]["methods"][method]["one_minus_cosine_of_stored_rows"] = error

    record = {
        "date": datetime.date.today().isoformat(),
        "machine": {
            "cpu": cpu_model(),
            "architecture": platform.machine(),
            "system": platform.system(),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "captum": captum.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": numpy.__version__,
            "pillow": PIL.__version__,
            "safetensors": safetensors.__version__,
        },
        "weights_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "checked": [
            "torch MaxPool2d sends its gradient to the first maximum in scan order, all-zero windows included",
            "Captum Deconvolution gates by the sign of the incoming gradient alone, Guided Backprop by both",
        ],
        "photos": notes,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False)
    (arguments.output / "third_party.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
