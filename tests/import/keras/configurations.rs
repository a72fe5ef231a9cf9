//! Models whose configuration says that they are no VGG.

use serde_json::{Value, json};

/// Configurations, and what is said about them.
pub fn refused() -> Vec<(Value, &'static str)> {
    let convolution = |changed: Value| {
        let mut layer = json!({"class_name": "Conv2D", "config": {
            "name": "conv", "padding": "same", "strides": [1, 1], "activation": "relu"}});
        for (key, value) in changed.as_object().unwrap() {
            layer["config"][key] = value.clone();
        }
        sequential(vec![layer])
    };
    let layer = |class: &str, config: Value| sequential(vec![json!({"class_name": class, "config": config})]);
    let mut cases = vec![
        (json!(null), "no model"),
        (
            json!({"class_name": "Sequential", "config": {"name": "mine"}}),
            "mine: Sequential is no model that lists its layers",
        ),
        (layer("Lambda", json!({"name": "squeeze"})), "squeeze: layers of class Lambda"),
        (layer("Lambda", json!({"name": "a\u{1b}[31m\nb"})), "layers of class Lambda"),
        (layer("Conv2DTranspose", json!({"name": "up"})), "up: layers of class Conv2DTranspose"),
        (layer("TFOpLambda", json!({"name": "op", "function": "math.exp"})), "op: the operator math.exp"),
        (layer("RandomCrop", json!({"name": "crop"})), "crop: layers of class RandomCrop"),
        (layer("LeakyReLU", json!({"name": "leaky"})), "leaky: layers of class LeakyReLU"),
        (layer("ReLU", json!({"name": "relu6", "max_value": 6.0})), "relu6: it is no plain ReLU"),
        (layer("Activation", json!({"name": "act", "activation": "swish"})), "act: its activation is swish"),
        (
            layer("MaxPooling2D", json!({"name": "pool", "pool_size": [3, 3], "strides": [2, 2]})),
            "pool: its windows",
        ),
        (layer("MaxPooling2D", json!({"name": "pool", "padding": "same"})), "pool: it pads maps"),
        (layer("Dense", json!({"name": "dense"})), "dense: it is applied at each position"),
        (
            layer("ZeroPadding2D", json!({"name": "pad", "padding": [[1, 1], [1, 1]]})),
            "pad: no 3×3 convolution",
        ),
        (layer("ZeroPadding2D", json!({"name": "pad", "padding": [[3, 3], [3, 3]]})), "pad: it pads by"),
        (layer("Rescaling", json!({"name": "scale", "scale": "1e999"})), "scale: its scale is"),
        (
            layer("Rescaling", json!({"name": "scale", "scale": [1, 2], "offset": [1, 2, 3]})),
            "scale: its factors",
        ),
        (
            layer("Normalization", json!({"name": "norm", "axis": [1], "mean": [1], "variance": [1]})),
            "norm: it does not normalise",
        ),
        (layer("Resizing", json!({"name": "resize", "height": 0, "width": -3})), "resize: it does not say"),
        (layer("BatchNormalization", json!({"name": "bn", "axis": [1]})), "bn: it normalises along axis 1"),
        (
            layer("InputLayer", json!({"name": "in", "batch_shape": [null, 32, 32, 1]})),
            "in: images have 1 channels",
        ),
        (
            sequential(vec![
                json!({"class_name": "InputLayer", "config": {"name": "in", "batch_shape": [null, 16, 64, 3]}}),
                json!({"class_name": "Flatten", "config": {"name": "flat"}}),
            ]),
            "flat: it flattens a map of 16×64",
        ),
        (convolution(json!({"strides": [2, 2]})), "conv: its strides is [2,2]"),
        (convolution(json!({"dilation_rate": [2, 2]})), "conv: its dilation_rate is [2,2]"),
        (convolution(json!({"groups": 3})), "conv: its groups is 3"),
        (convolution(json!({"data_format": "sideways"})), "conv: its data_format is sideways"),
        (convolution(json!({"padding": "valid"})), "conv: its map gets smaller"),
        (convolution(json!({"activation": "tanh"})), "conv: its activation is tanh"),
        (
            convolution(json!({"name": "conv", "activation": {"class_name": "LeakyReLU", "config": {}}})),
            "conv: its activation",
        ),
        (
            sequential(vec![json!({"class_name": "Dropout", "config": {"name": "drop"}}); 2000]),
            "it has 2000 layers",
        ),
        (functional(&[("a", &["b"]), ("b", &["a"])], "a"), "go round in circles"),
        (functional(&[("a", &["a"])], "a"), "go round in circles"),
        (functional(&[("a", &["b"])], "a"), "layer b of the Keras model is not listed"),
        (functional(&[("a", &["b", "b"])], "a"), "a: it has 2 inputs"),
        (functional(&[("a", &["b", "b", "b"])], "a"), "a: it has 3 inputs"),
        (functional(&[("a", &[])], "a"), "a: it has 0 inputs"),
        (functional(&[("a", &["b"]), ("a", &["b"])], "a"), "two layers of the Keras model are named a"),
    ];
    // A model with two outputs, and one that a layer uses twice.
    let mut outputs = functional(&[("a", &["b"])], "a");
    outputs["config"]["output_layers"] = json!([["a", 0, 0], ["b", 0, 0]]);
    cases.push((outputs, "the model has several outputs"));
    let mut twice = functional(&[("a", &["b"])], "a");
    twice["config"]["layers"][0]["inbound_nodes"] = json!([[["b", 0, 0, {}]], [["b", 0, 0, {}]]]);
    cases.push((twice, "a: it is used 2 times"));
    // Models within models: more than are read, and more than JSON's parser takes.
    for (depth, says) in [(20, "within 8 others"), (100, "no JSON: recursion limit")] {
        let inner = (0..depth)
            .fold(json!({"class_name": "Flatten", "config": {}}), |inner, _| sequential(vec![inner]));
        cases.push((inner, says));
    }
    cases
}

fn sequential(layers: Vec<Value>) -> Value {
    json!({"class_name": "Sequential", "config": {"name": "model", "layers": layers}})
}

/// Dropouts with these inputs.
fn functional(layers: &[(&str, &[&str])], output: &str) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|(name, inputs)| {
            let inputs: Vec<Value> = inputs.iter().map(|input| json!([input, 0, 0, {}])).collect();
            json!({"class_name": "Dropout", "name": name, "config": {"name": name}, "inbound_nodes": [inputs]})
        })
        .collect();
    json!({"class_name": "Functional", "config": {"name": "model", "layers": layers, "output_layers": [[output, 0, 0]]}})
}
