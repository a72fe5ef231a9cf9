"""Exports narrow networks by torch.onnx, by both of its exporters, and adds what ONNX Runtime makes of them to expected.json.

    python export_torch.py      needs torch, onnx, onnxscript, onnxruntime; see README.md for the versions used
"""

import torch
from torch import nn

from expected import Expected

SIDE = 64
PLANS = {
    "vgg11": [1, 1, 2, 2, 2],
    "vgg13": [2, 2, 2, 2, 2],
    "vgg16": [2, 2, 3, 3, 3],
    "vgg19": [2, 2, 4, 4, 4],
}
WIDTH = 4
CLASSES = 5


class VGG(nn.Module):
    """torchvision.models.vgg, narrow: its grid is 2×2."""

    def __init__(self, plan, norm=False):
        super().__init__()
        layers, inputs = [], 3
        for count in plan:
            for _ in range(count):
                layers.append(nn.Conv2d(inputs, WIDTH, 3, padding=1))
                layers += [nn.BatchNorm2d(WIDTH)] if norm else []
                layers.append(nn.ReLU(True))
                inputs = WIDTH
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(4 * WIDTH, 8), nn.ReLU(True), nn.Dropout(),
            nn.Linear(8, 6), nn.ReLU(True), nn.Dropout(), nn.Linear(6, CLASSES),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class View(VGG):
    def forward(self, x):
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


class Normalised(VGG):
    def forward(self, x):
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        return super().forward((x / 255.0 - mean) / std)


class Caffe(VGG):
    def forward(self, x):
        return super().forward(x[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1))


class Flipped(VGG):
    def forward(self, x):
        return super().forward((x.flip(1) - 127.5) / 127.5)


class Bytes(VGG):
    """Takes pixels as they are decoded: 8 bits, channels last."""

    def forward(self, x):
        return super().forward(x.permute(0, 3, 1, 2).float() / 255)


class Convolutional(VGG):
    """The classifier as convolutions, as in timm."""

    def __init__(self, plan):
        super().__init__(plan)
        self.head = nn.Sequential(
            nn.Conv2d(WIDTH, 8, 2), nn.ReLU(True), nn.Conv2d(8, 6, 1), nn.ReLU(True),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES),
        )

    def forward(self, x):
        return self.head(self.features(x))


class Averaged(VGG):
    """A mean over positions, and batch normalisation between dense layers."""

    def __init__(self, plan):
        super().__init__(plan)
        self.head = nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(True), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def randomise(network):
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def main():
    expected = Expected()

    def export(name, network, dynamo, dynamic=False, own_pixels=False):
        torch.manual_seed(len(expected.files))
        network = randomise(network)
        image = torch.randn(2 if dynamic else 1, 3, SIDE, SIDE)
        if isinstance(network, Bytes):
            image = torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8)
        file = f"torch_{name}_{'export' if dynamo else 'script'}.onnx"
        if dynamo:
            shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
            torch.onnx.export(network, (image,), file, dynamo=True, verbose=False, external_data=False, dynamic_shapes=shapes)
        else:
            axes = {"image": {0: "batch"}} if dynamic else None
            # Constant folding would fold batch normalisation, which is the reader's to do.
            torch.onnx.export(network, (image,), file, dynamo=False, input_names=["image"], dynamic_axes=axes,
                              do_constant_folding=False)
        expected.add(file, own_pixels)

    for variant, plan in PLANS.items():
        export(variant, VGG(plan), dynamo=variant in ("vgg13", "vgg19"), dynamic=True)
        export(variant + "_bn", VGG(plan, norm=True), dynamo=variant in ("vgg11", "vgg16"), dynamic=True)
    small = [1, 1, 1, 1, 1]
    for dynamo in (False, True):
        export("view", View(small), dynamo, dynamic=True)
        export("normalised", Normalised(small), dynamo, own_pixels=True)
        export("caffe", Caffe(small), dynamo, own_pixels=True)
        export("flipped", Flipped(small), dynamo, own_pixels=True)
        export("bytes", Bytes(small), dynamo, own_pixels=True)
        export("convolutional", Convolutional(small), dynamo)
        export("averaged", Averaged(small), dynamo, dynamic=True)
    expected.write()


if __name__ == "__main__":
    main()
