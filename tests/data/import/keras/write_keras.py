"""Writes the models of this folder with a real Keras, and what they answer.

    python -m venv keras2 && keras2/bin/pip install tensorflow-cpu==2.15.1    (Keras 2.15.0, h5py 3.16.0)
    python -m venv keras3 && keras3/bin/pip install keras==3.15.1 jax h5py
    keras2/bin/python write_keras.py 2 && KERAS_BACKEND=jax keras3/bin/python write_keras.py 3

Keras is too large for continuous integration, so its files are kept: networks of a few channels with random weights.
`expected_2.json` and `expected_3.json` hold, for each file, the logits of the model for the image below.
"""

import json
import sys

import numpy as np

if sys.argv[1] == "2":
    from tensorflow import keras
else:
    import keras

layers = keras.layers
VERSION = sys.argv[1]
BLOCKS = {2: [1, 1], 3: [1, 2]}
expected = {}


def image(side):
    """Pixels of 0 to 255, [1, side, side, 3]: tests make the same."""
    row, column, channel = np.meshgrid(np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    return ((37 * row + 91 * column + 53 * channel + row * column) % 256)[None].astype("float32")


def caffe(pixels):
    """keras.applications.vgg16.preprocess_input."""
    return pixels[..., ::-1] - np.array([103.939, 116.779, 123.68], "float32")


def randomise(model, seed):
    """Random weights of He's scale; positive variances."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        shape, name = tuple(variable.shape), getattr(variable, "path", variable.name)
        if "seed" in name or "count" in name:
            continue
        if len(shape) > 1:
            value = random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        elif "variance" in name or "gamma" in name:
            value = random.uniform(0.5, 2, shape)
        else:
            value = random.normal(0, 0.3, shape)
        variable.assign(value.astype("float32").reshape(shape))
    return model


def keep(name, model, pixels, weights_only=False):
    """Saves a model and notes what it answers."""
    (model.save_weights if weights_only else model.save)(name)
    # Before the last function: probabilities near 0 and 1 would show little.
    last = model.layers[-1]
    if type(last).__name__ == "Softmax":
        model = keras.Model(model.inputs, model.layers[-2].output)
    elif hasattr(last, "activation") and "dense" in str(type(last)).lower():
        last.activation = keras.activations.linear
    outputs = np.asarray(model(pixels, training=False))
    # A network whose ReLUs are all closed would show nothing either.
    other = np.asarray(model(pixels[:, :, ::-1], training=False))
    assert abs(outputs - other).max() > 0.1 * abs(outputs).max(), f"{name} ignores its image: another seed"
    expected[name] = {
        "side": int(pixels.shape[2]),
        "caffe": bool(pixels.min() < 0),
        "outputs": [float(value) for value in outputs.ravel()],
    }


def vgg(depth, widths, side=8, top=True, classes=5, units=6):
    """keras.applications' VGG with fewer channels and blocks: the same layers and names."""
    inputs = x = layers.Input((side, side, 3), name="input_1")
    for block, (count, width) in enumerate(zip(BLOCKS[depth], widths), 1):
        for number in range(1, count + 1):
            x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"block{block}_conv{number}")(x)
        x = layers.MaxPooling2D(2, strides=2, name=f"block{block}_pool")(x)
    if top:
        x = layers.Flatten(name="flatten")(x)
        x = layers.Dense(units, activation="relu", name="fc1")(x)
        x = layers.Dense(units, activation="relu", name="fc2")(x)
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=f"vgg{depth}")


def batch_normalised(depth, widths, side=8):
    """Convolution, batch norm, ReLU; preprocessing inside; global average."""
    model = keras.Sequential(name="with_batch_norm")
    model.add(layers.Input((side, side, 3)))
    model.add(layers.RandomFlip("horizontal"))
    model.add(layers.Rescaling(1 / 127.5, offset=-1))
    for index, (count, width) in enumerate(zip(BLOCKS[depth], widths)):
        for number in range(count):
            model.add(layers.Conv2D(width, (3, 3), padding="same", use_bias=number == 0))
            model.add(layers.BatchNormalization(epsilon=1e-3 if index else 0.01, scale=number != 1))
            model.add(layers.ReLU() if number else layers.Activation("relu"))
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(4, activation="relu"))
    model.add(layers.BatchNormalization(center=False))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(3))
    model.add(layers.Softmax())
    return model


def fine_tuned(side=8):
    """A VGG without its top inside another model, as in Keras's tutorials; the map is 2×2 where it is flattened."""
    base = vgg(2, [3, 4], side=side, top=False)
    base.trainable = False
    return keras.Sequential([
        base,
        layers.Flatten(),
        layers.Dense(6, activation="relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.Dense(4, activation="softmax"),
    ], name="fine_tuned")


def functional(side=16):
    """A Functional model around a nested one, with the preprocessing of tf.keras' Normalization layer."""
    inputs = layers.Input((side, side, 3))
    x = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3600.0, 3500.0, 3400.0])(inputs)
    inner = keras.Sequential([
        layers.Input((side, side, 3)),
        layers.Conv2D(3, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
    ], name="inner")
    x = layers.Flatten()(inner(x))
    x = layers.Dense(5, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(x), name="outer")


def preprocessed(side=16):
    """preprocess_input within the model, as Keras's tutorials have it: operators instead of layers."""
    inputs = layers.Input((side, side, 3))
    x = keras.applications.vgg16.preprocess_input(inputs)
    x = vgg(2, [3, 2], side=side, top=False)(x, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def scaled(side=8):
    """Arithmetic on the input, and the convolutions of the oldest VGGs: padded by a layer of their own."""
    inputs = layers.Input((side, side, 3))
    x = (inputs / 255.0 - 0.5) * 2.0 + 0.125
    for width in [3, 2]:
        x = layers.ZeroPadding2D((1, 1))(x)
        x = layers.Conv2D(width, 3, activation="relu")(x)
    x = layers.MaxPooling2D(padding="same")(x)
    x = layers.Conv2D(4, 1, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(2, activation="sigmoid")(layers.Flatten()(x)))


def channels_first(flatten, side=8):
    """Maps whose channels come first; Flatten moves them to the end, or takes them as they lie."""
    first = {"data_format": "channels_first"}
    return keras.Sequential([
        layers.Input((3, side, side)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(3, 3, padding="same", activation="relu", **first),
        layers.BatchNormalization(axis=1),
        layers.MaxPooling2D(**first),
        layers.Flatten(data_format=flatten),
        layers.Dense(4),
    ])


if VERSION == "2":
    keep("keras2_vgg.h5", randomise(vgg(3, [2, 3], side=8), 21), caffe(image(8)), weights_only=True)
    keep("keras2_vgg_notop.h5", randomise(vgg(3, [2, 3], side=8, top=False), 2), caffe(image(8)), weights_only=True)
    keep("keras2_fine_tuned.h5", randomise(fine_tuned(), 3), caffe(image(8)))
    keep("keras2_functional.h5", randomise(functional(), 4), image(16))
    keep("keras2_batch_norm.keras", randomise(batch_normalised(3, [2, 3]), 5), image(8))
    keep("keras2_preprocessed.h5", randomise(preprocessed(), 12), image(16))
    keep("keras2_scaled.keras", randomise(scaled(), 13), image(8))
else:
    keep("keras3_fine_tuned.keras", randomise(fine_tuned(), 8), caffe(image(8)))
    keep("keras3_functional.keras", randomise(functional(), 9), image(16))
    keep("keras3_batch_norm.h5", randomise(batch_normalised(3, [2, 3]), 10), image(8))
    keep("keras3_preprocessed.keras", randomise(preprocessed(), 14), image(16))
    first = image(8).transpose(0, 3, 1, 2)
    keep("keras3_channels_first.keras", randomise(channels_first("channels_first"), 16), first)
    keep("keras3_channels_as_they_lie.h5", randomise(channels_first("channels_last"), 17), first)
    keep("keras3_scaled.h5", randomise(scaled(), 15), image(8))
    keep("keras3_vgg.weights.h5", randomise(vgg(3, [2, 3], side=8), 11), caffe(image(8)), weights_only=True)
with open(f"expected_{VERSION}.json", "w") as file:
    json.dump(expected, file, indent=1)
