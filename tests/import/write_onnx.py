"""Writes ONNX models with onnx.helper, what ONNX Runtime makes of them, and which must be refused.

    python write_onnx.py FOLDER

FOLDER gets models.json, with what ONNX Runtime computes for the tests' image (responses.rs), and for every model NAME.onnx and,
where the weights are known, NAME.safetensors with torchvision's names. Needs numpy, onnx, onnxruntime and safetensors.
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

SIDE = 64
PLANS = {
    "vgg11": [1, 1, 2, 2, 2],
    "vgg13": [2, 2, 2, 2, 2],
    "vgg16": [2, 2, 3, 3, 3],
    "vgg19": [2, 2, 4, 4, 4],
}
WIDTHS = [4, 6, 8, 8, 8]
CLASSES = 5


class Graph:
    """A sequential graph that is written node by node. `value` is the activation's name."""

    def __init__(self, opset=17, store="raw", seed=0, channels_last=False, element=TensorProto.FLOAT):
        self.opset, self.store, self.random = opset, store, np.random.default_rng(seed)
        self.nodes, self.initializers, self.tensors = [], [], {}
        self.channels_last = channels_last
        shape = [1, SIDE, SIDE, 3] if channels_last else [1, 3, SIDE, SIDE]
        self.inputs = [helper.make_tensor_value_info("image", element, shape)]
        self.value, self.layer, self.classifier, self.channels, self.side = "image", 0, 0, 3, SIDE
        self.metadata, self.more_outputs = {}, []

    def constant(self, name, array):
        """Stores an array as the style of this graph asks for, and returns the name that a node uses."""
        array = np.asarray(array)
        is_float = array.dtype == np.float32
        store = self.store if is_float else "raw"
        if store in ("raw", "inputs", "external"):
            self.initializers.append(numpy_helper.from_array(array, name))
        elif store == "fields":
            self.initializers.append(helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.ravel()))
        elif store == "nodes":
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array)))
        elif store in ("float16", "bfloat16", "float64", "float16 fields"):
            kind = {"float16": 10, "float16 fields": 10, "bfloat16": 16, "float64": 11}[store]
            if kind == 11:
                stored = numpy_helper.from_array(array.astype(np.float64), name + ".stored")
            else:
                stored = helper.make_tensor(name + ".stored", kind, array.shape, array.ravel())
                if store != "float16 fields":
                    # The same bits as raw data.
                    bits = np.array(stored.int32_data, np.uint16)
                    del stored.int32_data[:]
                    stored.raw_data = bits.tobytes()
            self.initializers.append(stored)
            self.node("Cast", [name + ".stored"], [name], name=name + ".cast", to=TensorProto.FLOAT)
        if store == "inputs":
            self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
        return name

    def node(self, operator, inputs, outputs=None, name=None, **attributes):
        outputs = outputs or [f"value{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operator, inputs, outputs, name or f"{operator}_{len(self.nodes)}", **attributes))
        return outputs[0]

    def apply(self, operator, *constants, **attributes):
        self.value = self.node(operator, [self.value, *constants], **attributes)

    def normal(self, *shape, scale=1.0):
        return self.random.normal(0, scale, shape).astype(np.float32)

    def transpose(self, *order):
        self.apply("Transpose", perm=list(order))

    def convolution(self, outputs, size=3, bias=True, **attributes):
        name = f"features.{self.layer}"
        weight = self.normal(outputs, self.channels, size, size, scale=(2 / (self.channels * size * size)) ** 0.5)
        shift = self.normal(outputs, scale=0.1)
        self.tensors[name + ".weight"], self.tensors[name + ".bias"] = weight, shift if bias else 0 * shift
        constants = [self.constant(name + ".weight", weight)]
        if bias:
            constants.append(self.constant(name + ".bias", shift))
        attributes = attributes or {"pads": [size // 2] * 4}
        self.apply("Conv", *constants, kernel_shape=[size, size], **attributes)
        self.channels = outputs

    def batch_normalisation(self, style="node"):
        n = self.channels
        gamma, beta, mean = 1 + self.normal(n, scale=0.2), self.normal(n, scale=0.2), self.normal(n, scale=0.2)
        variance = (0.5 + self.random.random(n)).astype(np.float32)
        if style == "node":
            constants = [
                self.constant(f"bn{len(self.nodes)}.{part}", array)
                for part, array in zip(("gamma", "beta", "mean", "variance"), (gamma, beta, mean, variance))
            ]
            self.apply("BatchNormalization", *constants, epsilon=1e-3)
        scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + np.float64(np.float32(1e-3)))
        if style == "arithmetic":
            shape = (1, n, 1, 1) if self.side else (n,)
            factor = scale.astype(np.float32)
            self.apply("Sub", self.constant(f"bn{len(self.nodes)}.mean", mean.reshape(shape)))
            self.apply("Mul", self.constant(f"bn{len(self.nodes)}.factor", factor.reshape(shape)))
            self.apply("Add", self.constant(f"bn{len(self.nodes)}.beta", beta.reshape(shape)))
            scale = factor.astype(np.float64)
        return scale, beta - mean * scale

    def fold(self, name, scale, shift):
        """What the layer before and this batch normalisation are together."""
        weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        folded = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        self.tensors[name + ".weight"] = folded.astype(np.float32)
        self.tensors[name + ".bias"] = (bias * scale + shift).astype(np.float32)

    def relu(self, style="Relu"):
        if style == "Clip":
            if self.opset < 11:
                self.apply("Clip", min=0.0)
            else:
                self.apply("Clip", self.constant(f"zero{len(self.nodes)}", np.float32(0)))
        elif style == "Max":
            self.apply("Max", self.constant(f"zero{len(self.nodes)}", np.float32(0)))
        else:
            self.apply("Relu")

    def max_pool(self, **attributes):
        self.apply("MaxPool", kernel_shape=[2, 2], strides=[2, 2], **attributes)
        self.layer += 1
        self.side //= 2

    def features(self, plan, norm=None, relu="Relu", **attributes):
        for width, count in zip(WIDTHS, plan):
            for _ in range(count):
                name = f"features.{self.layer}"
                self.convolution(width, **attributes)
                if norm:
                    self.fold(name, *self.batch_normalisation(norm))
                self.relu(relu)
                self.layer += 2
            self.max_pool()

    def flatten(self, style="Flatten"):
        elements = self.channels * self.side**2
        if style == "Flatten":
            self.apply("Flatten")
        elif style == "constant":
            self.apply("Reshape", self.constant("flat", np.array([-1, elements])))
        elif style == "zero":
            self.apply("Reshape", self.constant("flat", np.array([0, -1])))
        elif style == "shape":
            # As TorchScript writes x.view(x.size(0), -1).
            shape = self.node("Shape", [self.value])
            batch = self.node("Gather", [shape, self.constant("first", np.array(0))], axis=0)
            batch = self.node("Unsqueeze", [batch, self.constant("axis", np.array([0]))])
            shape = self.node("Concat", [batch, self.constant("rest", np.array([-1]))], axis=0)
            self.apply("Reshape", shape)
        self.channels, self.side = elements, 0

    def dense(self, outputs, style="Gemm", bias=True):
        name = f"classifier.{self.classifier}"
        weight = self.normal(outputs, self.channels, scale=(2 / self.channels) ** 0.5)
        shift = self.normal(outputs, scale=0.1)
        self.tensors[name + ".weight"], self.tensors[name + ".bias"] = weight, shift
        if style == "Gemm":
            self.apply("Gemm", self.constant(name + ".weight", weight), self.constant(name + ".bias", shift), transB=1)
        elif style == "Gemm KN":
            constants = self.constant(name + ".weight", weight.T.copy()), self.constant(name + ".bias", shift[None])
            self.apply("Gemm", *constants)
        elif style == "Gemm scaled":
            constants = self.constant(name + ".weight", weight), self.constant(name + ".bias", shift)
            self.apply("Gemm", *constants, transB=1, alpha=0.5, beta=-2.0)
            self.tensors[name + ".weight"], self.tensors[name + ".bias"] = weight * np.float32(0.5), shift * np.float32(-2)
        elif style == "MatMul":
            self.apply("MatMul", self.constant(name + ".weight", weight.T.copy()))
            self.apply("Add", self.constant(name + ".bias", shift))
        elif style == "MatMul transposed":
            stored = self.constant(name + ".weight", weight)
            self.apply("MatMul", self.node("Transpose", [stored], perm=[1, 0]))
            self.value = self.node("Add", [self.constant(name + ".bias", shift), self.value])
        self.channels = outputs
        self.classifier += 3

    def classify(self, style="Gemm", flatten="Flatten", dropout=False):
        self.flatten(flatten)
        for width in (10, 7):
            self.dense(width, style)
            self.relu()
            if dropout:
                self.apply("Dropout")
        self.dense(CLASSES, style)

    def model(self, shuffle=True):
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in [self.value, *self.more_outputs]]
        nodes = list(self.nodes)
        graph = helper.make_graph(nodes, "network", self.inputs, outputs, self.initializers)
        version = helper.make_operatorsetid("", self.opset)
        model = helper.make_model(graph, opset_imports=[version], producer_name="vggx tests")
        # IR version 3 wants initializers among the inputs.
        model.ir_version = 3 if self.store == "inputs" else 8 if self.opset < 20 else 10
        helper.set_model_props(model, self.metadata)
        return model


class Folder:
    def __init__(self, path):
        self.path, self.models, self.refused = path, [], []
        # As responses.rs makes them.
        row, column, channel = np.meshgrid(*map(np.arange, (SIDE, SIDE, 3)), indexing="ij")
        self.pixels = ((row * row * 7 + column * 13 + channel * 41 + row * column * 3) % 256).astype(np.uint8)

    def add(self, name, graph, scale=1 / 255, exact=None, folded=None, labels=None, logits=None, external=False, says=False):
        """`scale` makes of a pixel what the model's input is, which the model `says` or has to be told; `logits` names the value
        before a Softmax."""
        model = graph.model()
        if logits:
            # The values before what is left out, from a copy.
            copy = onnx.ModelProto()
            copy.CopyFrom(model)
            copy.graph.output[0].name = logits
            session_bytes = copy.SerializeToString()
        else:
            session_bytes = model.SerializeToString()
        session = onnxruntime.InferenceSession(session_bytes, providers=["CPUExecutionProvider"])
        image = self.pixels[None] if graph.channels_last else self.pixels.transpose(2, 0, 1)[None]
        if graph.inputs[0].type.tensor_type.elem_type == TensorProto.FLOAT:
            image = image.astype(np.float32) * np.float32(scale)
        (output,) = session.run(None, {"image": image})
        output = np.asarray(output, np.float32)
        assert np.isfinite(output).all() and output.std() > 0, name
        if external:
            onnx.save(model, self.path / f"{name}.onnx", save_as_external_data=True, location=f"{name}.data", size_threshold=0)
        else:
            onnx.save(model, self.path / f"{name}.onnx")
        if exact is not None or folded is not None:
            save_file({key: np.ascontiguousarray(value) for key, value in graph.tensors.items()}, self.path / f"{name}.safetensors")
        self.models.append(
            {
                "name": name,
                "own_pixels": scale == 1 or says,
                "output": [float(value) for value in output.ravel()],
                "shape": list(output.shape),
                "tensors": "exact" if exact else "folded" if folded else None,
                "labels": labels,
                "opset": graph.opset,
            }
        )

    def refuse(self, name, graph, node, reason):
        onnx.save(graph.model(), self.path / f"{name}.onnx")
        self.refused.append({"name": name, "node": node, "reason": reason})

    def finish(self):
        (self.path / "models.json").write_text(json.dumps({"models": self.models, "refused": self.refused}, indent=1))


def write_variants(folder):
    """Every VGG, with and without batch normalisation, all opsets, all ways to store and to write the same layers."""
    flattens, denses = ["Flatten", "constant", "zero", "shape"], ["Gemm", "Gemm KN", "MatMul", "MatMul transposed"]
    stores = ["raw", "fields", "nodes", "inputs", "float16", "float16 fields", "bfloat16", "float64"]
    opsets = range(7, 22)
    for index, (variant, plan) in enumerate(PLANS.items()):
        for norm in (None, "node", "arithmetic"):
            for round in range(5):
                number = 15 * index + 5 * ["node", "arithmetic", None].index(norm) + round
                opset, store = opsets[number % 15], stores[number % 8]
                flatten, dense = flattens[number % 4], denses[(number // 4) % 4]
                # Unsqueeze takes its axes as an input from 13 on, Cast and bfloat16 too; ONNX Runtime has BatchNormalization from 7 on.
                if flatten == "shape" and opset < 13:
                    flatten = "zero"
                if store == "bfloat16" and opset < 13 or norm == "node" and store == "inputs" and opset > 13:
                    store = "raw"
                graph = Graph(opset, store, number)
                graph.features(plan, norm, relu=["Relu", "Clip", "Max"][number % 3] if opset >= 12 else "Relu")
                if round % 2 and opset >= 12:
                    graph.apply("Identity")
                graph.classify(dense, flatten, dropout=round % 2 == 1)
                narrow = store in ("float16", "float16 fields", "bfloat16")
                name = f"{variant}_{norm or 'plain'}_{round}"
                # Half-precision weights are compared by the function alone.
                folder.add(name, graph, exact=norm is None and not narrow or None, folded=norm is not None and not narrow or None)


def write_layouts(folder):
    """Other ways to write the same, mostly those of converters."""
    plan = PLANS["vgg11"]

    graph = Graph(13, channels_last=True)
    graph.transpose(0, 3, 1, 2)
    graph.features(plan)
    graph.transpose(0, 2, 3, 1)
    graph.classify("MatMul", "constant")
    folder.add("channels_last", graph)

    graph = Graph(13, channels_last=True)
    graph.apply("Div", graph.constant("white", np.float32(255)))
    graph.apply("Sub", graph.constant("mean", np.array([0.5, 0.4, 0.3], np.float32)))
    graph.transpose(0, 3, 1, 2)
    graph.features(plan)
    graph.transpose(0, 2, 3, 1)
    graph.apply("ReduceMean", axes=[1, 2], keepdims=0)
    graph.side = 0
    graph.dense(CLASSES, "MatMul")
    folder.add("channels_last_mean", graph, scale=1)

    graph = Graph(13)
    for width in (4, 6):
        pads = [0, 0, 1, 1, 0, 0, 1, 1]
        graph.apply("Pad", graph.constant(f"pads{graph.layer}", np.array(pads)), mode="constant")
        graph.convolution(width, pads=[0, 0, 0, 0])
        graph.relu()
        graph.layer += 2
        graph.max_pool()
    graph.classify("Gemm", "Flatten")
    folder.add("padded", graph, exact=True)

    graph = Graph(11)
    graph.convolution(6, auto_pad="SAME_UPPER")
    graph.relu()
    graph.layer += 2
    graph.max_pool(auto_pad="SAME_UPPER")
    graph.convolution(6, auto_pad="SAME_LOWER")
    graph.relu()
    graph.layer += 2
    graph.max_pool(ceil_mode=1)
    graph.classify("Gemm", "Flatten")
    folder.add("automatic", graph, exact=True)

    # The classifier as convolutions: over the whole map, then 1×1.
    graph = Graph(17)
    graph.features(plan)
    graph.convolution(9, size=2, pads=[0, 0, 0, 0])
    graph.relu()
    graph.layer += 2
    graph.convolution(CLASSES, size=1)
    graph.apply("Flatten")
    folder.add("convolutional", graph)

    # 1×1 convolutions between.
    graph = Graph(17)
    graph.convolution(6)
    graph.relu()
    graph.layer += 2
    graph.convolution(7, size=1)
    graph.relu()
    graph.layer += 2
    graph.max_pool()
    graph.convolution(5, bias=False)
    graph.apply("Add", graph.constant("late bias", graph.normal(1, 5, 1, 1)))
    graph.relu()
    graph.layer += 2
    graph.max_pool()
    graph.classify()
    folder.add("pointwise", graph)

    for style in ("GlobalAveragePool", "ReduceMean", "ReduceMean input", "AveragePool"):
        graph = Graph(18 if style == "ReduceMean input" else 17)
        graph.features(plan)
        if style == "GlobalAveragePool":
            graph.apply("GlobalAveragePool")
            graph.apply("Squeeze", graph.constant("axes", np.array([2, 3])))
        elif style == "ReduceMean":
            graph.apply("ReduceMean", axes=[-1, -2], keepdims=1)
            graph.apply("Reshape", graph.constant("flat", np.array([1, -1])))
        elif style == "ReduceMean input":
            graph.apply("ReduceMean", graph.constant("axes", np.array([2, 3])), keepdims=0)
        else:
            graph.apply("AveragePool", kernel_shape=[1, 1], strides=[1, 1])
            graph.flatten("Flatten")
        graph.side = 0
        graph.dense(7)
        graph.relu()
        graph.dense(CLASSES)
        folder.add("pooled_" + style.replace(" ", "_"), graph)

    # Batch normalisation after a dense layer's ReLU goes into the next layer, and one right after into that one.
    graph = Graph(15)
    graph.features(plan)
    graph.flatten("Flatten")
    graph.batch_normalisation("node")
    graph.dense(9)
    graph.batch_normalisation("arithmetic")
    graph.relu()
    graph.batch_normalisation("node")
    graph.dense(8, "Gemm scaled")
    graph.relu()
    graph.apply("Mul", graph.constant("factor", np.float32(1.5)))
    graph.dense(CLASSES, "MatMul")
    folder.add("dense_norm", graph)

    graph = Graph(17, "external")
    graph.features(PLANS["vgg16"])
    graph.classify()
    folder.add("external", graph, exact=True, external=True)

    # Nodes in another order, names left out, an initializer that nothing uses.
    graph = Graph(17, "nodes")
    graph.features(plan)
    graph.classify("MatMul transposed", "shape")
    constants = [node for node in graph.nodes if node.op_type == "Constant"]
    others = [node for node in graph.nodes if node.op_type != "Constant"]
    random.Random(3).shuffle(constants)
    graph.nodes = constants + others
    for node in graph.nodes:
        node.name = ""
    graph.initializers.append(numpy_helper.from_array(graph.normal(1000), "unused"))
    folder.add("unnamed", graph, exact=True)


def write_inputs(folder):
    """Preprocessing within the graph, labels, and what is left out at the end."""
    plan, mean, std = PLANS["vgg11"], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

    def channels(values):
        return np.array(values, np.float32).reshape(3, 1, 1)

    def finish(name, graph, **options):
        graph.features(plan)
        graph.classify()
        folder.add(name, graph, **options)

    graph = Graph(17)
    graph.apply("Mul", graph.constant("scale", np.float32(1 / 255)))
    graph.apply("Sub", graph.constant("mean", channels(mean)))
    graph.apply("Div", graph.constant("std", channels(std)))
    finish("normalised", graph, scale=1)

    graph = Graph(17)
    graph.apply("Sub", graph.constant("mean", channels(mean)[None]))
    graph.apply("Div", graph.constant("std", channels(std)[None]))
    finish("normalised_unit", graph, says=True)

    graph = Graph(17, element=TensorProto.UINT8)
    graph.apply("Cast", to=TensorProto.FLOAT)
    graph.apply("Div", graph.constant("scale", np.float32(127.5)))
    graph.apply("Sub", graph.constant("one", np.float32(1)))
    finish("bytes", graph, scale=1)

    caffe = [103.939, 116.779, 123.68]
    for style in ("Gather", "Slice", "Split", "ReverseSequence"):
        graph = Graph(13)
        if style == "Gather":
            graph.apply("Gather", graph.constant("order", np.array([2, 1, 0])), axis=1)
        elif style == "Slice":
            ends = [graph.constant(name, np.array([value])) for name, value in
                    (("start", -1), ("end", -(2**31)), ("axis", 1), ("step", -1))]
            graph.apply("Slice", *ends)
        elif style == "Split":
            parts = [f"part{channel}" for channel in range(3)]
            graph.node("Split", [graph.value, graph.constant("sizes", np.array([1, 1, 1]))], parts, axis=1)
            parts = [graph.node("Sub", [part, graph.constant(f"mean{part}", np.array([value], np.float32))])
                     for part, value in zip(reversed(parts), caffe)]
            graph.value = graph.node("Concat", parts, axis=1)
        else:
            # Over axis 0 after a transpose, with the batch second: lengths for every column of the batch.
            graph.transpose(1, 0, 2, 3)
            graph.apply("ReverseSequence", graph.constant("lengths", np.array([3])), time_axis=0, batch_axis=1)
            graph.transpose(1, 0, 2, 3)
        if style != "Split":
            graph.apply("Sub", graph.constant("mean", channels(caffe)))
        finish(f"caffe_{style}", graph, scale=1)

    graph = Graph(17)
    graph.batch_normalisation("node")
    finish("first_norm", graph)

    for operator in ("Softmax", "LogSoftmax", "Sigmoid"):
        graph = Graph(13)
        graph.features(plan)
        graph.classify()
        logits = graph.value
        graph.apply(operator)
        names = ["a", "b", "c", "d", "it's e"]
        if operator == "LogSoftmax":
            graph.metadata = {"names": str(dict(enumerate(names)))}
        elif operator == "Softmax":
            graph.metadata = {"labels": json.dumps(names)}
        folder.add(operator, graph, labels=names if graph.metadata else None, logits=logits)

    graph = Graph(13)
    graph.metadata = {"channel_order": '"rgb"', "pixel_scale": "1", "mean": "[0, 0, 0]", "std": "[1, 1, 1]", "names": "['wrong', 'number']"}
    graph.features(plan)
    graph.classify()
    folder.add("metadata", graph, says=True)

    graph = Graph(17)
    graph.features(plan)
    folder.add("headless", graph)


def write_refused(folder):
    """What no VGG is. Each is named, with the reason."""

    def begin(**options):
        graph = Graph(17, **options)
        graph.convolution(4)
        graph.relu()
        graph.max_pool()
        return graph

    def end(name, graph, node, reason):
        if graph.side:
            graph.side = 32
            graph.flatten("zero")
        graph.dense(CLASSES)
        folder.refuse(name, graph, node, reason)

    for name, attributes, reason in (
        ("stride", {"strides": [2, 2], "pads": [1] * 4}, "strides"),
        ("dilation", {"dilations": [2, 2], "pads": [2] * 4}, "dilations"),
        ("unpadded", {"pads": [0] * 4}, "padding"),
        ("uneven", {"pads": [0, 0, 2, 2]}, "padding"),
    ):
        graph = begin()
        graph.convolution(4, name="odd one", **attributes)
        end(name, graph, "odd one", reason)
    graph = begin()
    graph.convolution(4, size=5, name="odd one", pads=[2] * 4)
    end("wide", graph, "odd one", "5×5")
    graph = begin()
    graph.apply("Conv", graph.constant("w", graph.normal(4, 1, 3, 3)), group=4, pads=[1] * 4, name="odd one")
    end("grouped", graph, "odd one", "groups")
    for operator, attributes, reason in (
        ("LeakyRelu", {}, "LeakyRelu"),
        ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2]}, "max-pool"),
        ("MaxPool", {"kernel_shape": [2, 2]}, "strides"),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2]}, "average pool"),
        ("GlobalMaxPool", {}, "GlobalMaxPool"),
        ("LRN", {"size": 5}, "LRN"),
        ("Transpose", {"perm": [0, 1, 3, 2]}, "flattens"),
        ("Gelu", {"domain": "com.microsoft"}, "com.microsoft"),
    ):
        graph = begin()
        graph.apply(operator, name="odd one", **attributes)
        name, node = f"operator_{operator}_{len(folder.refused)}", "odd one"
        end(name, graph, graph.nodes[-1].name if operator != "Transpose" else f"Reshape_{len(graph.nodes)}", reason)
    graph = begin()
    graph.apply("Clip", graph.constant("least", np.float32(0)), graph.constant("most", np.float32(6)), name="odd one")
    end("relu6", graph, "odd one", "ReLU")
    graph = begin()
    graph.value = graph.node("Add", [graph.value, graph.value], name="odd one")
    end("twice", graph, "odd one", "branches")
    graph = begin()
    branch = graph.value
    graph.convolution(4)
    graph.value = graph.node("Add", [graph.value, branch], name="odd one")
    end("residual", graph, "odd one", "branches")
    graph = begin()
    graph.apply("Add", graph.constant("picture", graph.normal(4, 32, 32)), name="odd one")
    end("picture", graph, "odd one", "one number a channel")
    graph = begin()
    graph.apply("QuantizeLinear", graph.constant("s", np.float32(1)), graph.constant("z", np.uint8(0)), name="odd one")
    end("quantised", graph, "odd one", "QuantizeLinear")
    graph = begin()
    graph.inputs.append(helper.make_tensor_value_info("second image", TensorProto.FLOAT, [1, 3, SIDE, SIDE]))
    end("two_inputs", graph, "second image", "second input")
    graph = begin()
    graph.more_outputs = [graph.value]
    end("two_outputs", graph, graph.value, "second output")
    graph = begin()
    constant = helper.make_tensor_value_info("c", TensorProto.FLOAT, None)
    branches = [helper.make_graph([helper.make_node("Constant", [], ["c"], value_float=1.0)], "branch", [], [constant]) for _ in range(2)]
    graph.value = graph.node("If", [graph.value], name="odd one", then_branch=branches[0], else_branch=branches[1])
    end("branches", graph, "odd one", "control flow")
    graph = begin()
    ones = [graph.constant(f"ones{index}", np.ones(4, np.float32)) for index in range(4)]
    graph.apply("BatchNormalization", *ones, training_mode=1, name="odd one")
    end("training", graph, "odd one", "training")
    graph = Graph(17)
    graph.apply("Gather", graph.constant("order", np.array([1, 0, 2])), axis=1, name="odd one")
    graph.convolution(4)
    end("shuffled", graph, "odd one", "channels")

    def end_of(name, change, node, reason):
        graph = begin()
        graph.side = 32
        graph.flatten("zero")
        graph.dense(CLASSES)
        model = graph.model()
        change(model)
        onnx.save(model, folder.path / f"{name}.onnx")
        folder.refused.append({"name": name, "node": node or graph.nodes[-2].name, "reason": reason})

    def widen(model):
        # As many positions as the square map has.
        rows, columns = model.graph.input[0].type.tensor_type.shape.dim[2:4]
        rows.dim_value, columns.dim_value = SIDE // 2, 2 * SIDE

    def age(model):
        model.opset_import[0].version = 6

    end_of("rectangular", widen, None, "square")
    end_of("old", age, "opset 6", "opset 7")


def main():
    folder = Folder(Path(sys.argv[1]))
    write_variants(folder)
    write_layouts(folder)
    write_inputs(folder)
    write_refused(folder)
    folder.finish()


if __name__ == "__main__":
    main()
