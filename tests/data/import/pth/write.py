#!/usr/bin/env python3
"""Writes the files of this folder with PyTorch itself: every VGG, narrow, in the formats that torch.save has had.

    pip install torch==2.8.0 numpy
    python write.py

Beside them expected.json: of every file, the logits that PyTorch computes for the image that `image` makes, and checksums
of the tensors.
"""

import json
import pathlib
import zlib

import torch
from torch import nn

FOLDER = pathlib.Path(__file__).parent

# torchvision's cfgs A, B, D, E (torchvision/models/vgg.py), with these widths for 64, 128, 256 and 512.
WIDTHS = {64: 2, 128: 3, 256: 3, 512: 4}
CONFIGURATIONS = {
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}
SIDE = 2
MEAN = torch.tensor([0.485, 0.456, 0.406]).double()[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225]).double()[:, None, None]


class VGG(nn.Module):
    """torchvision's module, with the names and the order of its layers."""

    def __init__(self, configuration, batch_norm):
        super().__init__()
        layers, channels = [], 3
        for width in configuration:
            if width == "M":
                layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
                continue
            width = WIDTHS[width]
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((SIDE, SIDE))
        self.classifier = nn.Sequential(
            nn.Linear(channels * SIDE * SIDE, 6), nn.ReLU(True), nn.Dropout(),
            nn.Linear(6, 7), nn.ReLU(True), nn.Dropout(),
            nn.Linear(7, 5),
        )

    def forward(self, image):
        return self.classifier(torch.flatten(self.avgpool(self.features(image)), 1))


def module(name, batch_norm, seed):
    torch.manual_seed(seed)
    result = VGG(CONFIGURATIONS[name], batch_norm)
    for layer in result.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.normal_(layer.bias, std=0.1)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.7, 1.3)
            nn.init.normal_(layer.bias, std=0.1)
            nn.init.normal_(layer.running_mean, std=0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            layer.num_batches_tracked += 7
    return result.eval()


def image():
    """64 × 64 pixels, the same as in tests/import/pth.rs."""
    channel, row, column = torch.meshgrid(torch.arange(3), torch.arange(64), torch.arange(64), indexing="ij")
    return (row * row * 7 + column * 13 + channel * 41 + row * column * 3) % 256


def logits(network):
    """In float64, with the very numbers that are in the file."""
    network = network.double()
    with torch.no_grad():
        return network(((image().double() / 255 - MEAN) / STD)[None])[0].tolist()


def main():
    expected = {}

    def save(name, network, what, **options):
        path = FOLDER / f"{name}.pth"
        torch.save(what, path, **options)
        # As torch itself reads it back.
        loaded = torch.load(path, weights_only=False)
        loaded = loaded.get("state_dict", loaded)
        tensors = {}
        for key, tensor in loaded.items():
            if not key.endswith("num_batches_tracked"):
                raw = tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()
                tensors[key] = [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), zlib.crc32(raw)]
        expected[path.name] = {"logits": logits(network), "tensors": tensors}

    for seed, name in enumerate(CONFIGURATIONS):
        for suffix, batch_norm in [("", False), ("_bn", True)]:
            network = module(name, batch_norm, 10 * seed + batch_norm)
            # The older format, which is smaller, for one of them.
            save(f"{name}{suffix}", network, network.state_dict(), _use_new_zipfile_serialization=name != "vgg13")

    network = module("vgg11", False, 101)
    save("legacy", network, network.state_dict(), _use_new_zipfile_serialization=False)
    network = module("vgg11", False, 103).half()
    save("half", network, network.state_dict())
    network = module("vgg11", False, 104).bfloat16()
    save("bfloat16", network, network.state_dict())
    network = module("vgg11", False, 105).double()
    save("double", network, network.state_dict())

    # A training's state: the state_dict beside others, the optimiser's momentum among them.
    network = module("vgg11", False, 106)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    network.train()(torch.rand(2, 3, 64, 64)).sum().backward()
    optimiser.step()
    network.eval()
    state = {"epoch": 3, "state_dict": network.state_dict(), "optimizer": optimiser.state_dict(), "best": 0.5}
    save("training", network, state)

    # Parameters, channels-last convolutions, a transposed dense layer, and two layers in one storage.
    network = module("vgg11", False, 107)
    tensors = dict(network.named_parameters())
    tensors["features.3.weight"] = tensors["features.3.weight"].contiguous(memory_format=torch.channels_last)
    first = tensors["classifier.3.weight"]
    tensors["classifier.3.weight"] = first.t().contiguous().t()
    both = torch.cat([tensors["features.0.bias"], torch.zeros(3), tensors["features.3.bias"]])
    tensors["features.0.bias"], tensors["features.3.bias"] = both[:2], both[5:]
    save("strided", network, tensors)
    save("strided_legacy", network, tensors, _use_new_zipfile_serialization=False)
    network = module("vgg11", False, 108)
    save("protocol4", network, network.state_dict(), pickle_protocol=4)

    # Without checksums in the zip archive.
    torch.serialization.set_crc32_options(False)
    network = module("vgg11", False, 109)
    save("no_checksums", network, network.state_dict())
    torch.serialization.set_crc32_options(True)

    # What is refused: a whole module, and a program.
    whole = nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU())
    torch.save(whole, FOLDER / "whole_module.pth")
    torch.jit.script(whole).save(FOLDER / "program.pt")

    text = json.dumps({"torch": torch.__version__, "files": expected}, separators=(",", ":"))
    (FOLDER / "expected.json").write_text(text + "\n")


main()
