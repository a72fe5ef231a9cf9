//! The steps read from the files of real Kerases compute what Keras does.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::super::mapped;
use super::super::{Array, DenseAxes, FlattenOrder, Imported, InputConvention, KernelAxes, Operation};
use super::read;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/keras")
}

fn import(path: &Path) -> Imported {
    read(path, mapped::map(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The image of `write_keras.py`.
fn pixels(side: usize) -> Map {
    let pixel = |row: usize, column: usize, channel: usize| {
        ((37 * row + 91 * column + 53 * channel + row * column) % 256) as f64
    };
    let planes = (0..3)
        .map(|channel| (0..side * side).map(|index| pixel(index / side, index % side, channel)).collect())
        .collect();
    Map { planes, columns: side }
}

/// One plane a channel; a vector has one element a channel.
struct Map {
    planes: Vec<Vec<f64>>,
    columns: usize,
}

#[test]
fn real_files_compute_what_keras_does() {
    let mut files = 0;
    for version in ["2", "3"] {
        let text = std::fs::read_to_string(folder().join(format!("expected_{version}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        for (name, expected) in expected.as_object().unwrap() {
            check(name, expected);
            files += 1;
        }
    }
    assert_eq!(files, std::fs::read_dir(folder()).unwrap().count() - 3, "a file without an expectation");
}

fn check(name: &str, expected: &Value) {
    let imported = import(&folder().join(name));
    let mut map = pixels(expected["side"].as_u64().unwrap() as usize);
    let caffe = expected["caffe"].as_bool().unwrap();
    match &imported.input {
        InputConvention::Assumed { preprocessing, .. } => {
            assert!(caffe, "{name}");
            map.planes.reverse();
            for (plane, mean) in map.planes.iter_mut().zip(preprocessing.mean) {
                plane.iter_mut().for_each(|value| *value -= f64::from(mean));
            }
        }
        InputConvention::Pixels { white, .. } => assert!(!caffe && *white == 255.0, "{name}"),
        other => panic!("{name}: {other:?}"),
    }
    if let Some((rows, columns)) = imported.extent {
        assert_eq!([rows as u64, columns as u64].map(Some), [expected["side"].as_u64(); 2], "{name}");
    }
    let outputs = run(map, imported);
    let expected: Vec<f64> =
        expected["outputs"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(outputs.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for (found, expected) in outputs.iter().zip(&expected) {
        // Keras computes in float32: 2^-24 a rounding, errors of a few dozen terms and ten layers.
        assert!((found - expected).abs() <= 2e-5 * largest, "{name}: {outputs:?}, Keras {expected:?}");
    }
}

fn run(mut map: Map, imported: Imported) -> Vec<f64> {
    let count = imported.steps.len();
    for (index, step) in imported.steps.into_iter().enumerate() {
        map = match step.operation {
            Operation::Convolution { weight, axes, bias } => {
                assert_eq!(axes, KernelAxes::RowsColumnsInputsOutputs);
                convolve(&map, weight, bias)
            }
            Operation::Dense { weight, axes, bias } => {
                assert_eq!(axes, DenseAxes::InputsOutputs);
                let [inputs, outputs] = *weight.shape() else { panic!() };
                assert_eq!(map.planes.len(), inputs);
                let (weight, bias) = (values(weight), bias.map(values).unwrap_or(vec![0.0; outputs]));
                let output = |output: usize| {
                    bias[output]
                        + (0..inputs)
                            .map(|input| map.planes[input][0] * weight[input * outputs + output])
                            .sum::<f64>()
                };
                vector((0..outputs).map(output).collect())
            }
            Operation::Affine { scale, shift } => {
                let pick = |values: &[f64], channel: usize| values[channel % values.len()];
                for (channel, plane) in map.planes.iter_mut().enumerate() {
                    plane
                        .iter_mut()
                        .for_each(|value| *value = *value * pick(&scale, channel) + pick(&shift, channel));
                }
                map
            }
            Operation::Relu => {
                map.planes.iter_mut().flatten().for_each(|value| *value = value.max(0.0));
                map
            }
            Operation::MaxPool => pool(&map),
            Operation::AdaptiveAveragePool { side } => {
                assert_eq!(side, 1);
                vector(
                    map.planes.iter().map(|plane| plane.iter().sum::<f64>() / plane.len() as f64).collect(),
                )
            }
            Operation::Flatten(FlattenOrder::ChannelsFirst) => {
                vector(map.planes.into_iter().flatten().collect())
            }
            Operation::Flatten(FlattenOrder::ChannelsLast) => {
                let places = map.planes[0].len();
                vector(
                    (0..places).flat_map(|place| map.planes.iter().map(move |plane| plane[place])).collect(),
                )
            }
            Operation::ReverseChannels => {
                map.planes.reverse();
                map
            }
            Operation::Softmax => {
                assert_eq!(index + 1, count);
                map
            }
        }
    }
    let places = map.planes[0].len();
    // Keras's order, for maps too.
    (0..places).flat_map(|place| map.planes.iter().map(move |plane| plane[place])).collect()
}

fn vector(values: Vec<f64>) -> Map {
    Map { planes: values.into_iter().map(|value| vec![value]).collect(), columns: 1 }
}

fn values(array: Array) -> Vec<f64> {
    array.into_float64().unwrap()
}

fn convolve(map: &Map, weight: Array, bias: Option<Array>) -> Map {
    let [side, _, inputs, outputs] = *weight.shape() else { panic!() };
    assert_eq!(map.planes.len(), inputs);
    let (weight, bias) = (values(weight), bias.map(values).unwrap_or(vec![0.0; outputs]));
    let (columns, rows) = (map.columns as isize, (map.planes[0].len() / map.columns) as isize);
    let half = side as isize / 2;
    let at = |output: usize, row: isize, column: isize| {
        let mut sum = bias[output];
        for (kernel_row, kernel_column) in
            (0..side).flat_map(|row| (0..side).map(move |column| (row, column)))
        {
            let (row, column) = (row + kernel_row as isize - half, column + kernel_column as isize - half);
            if (0..rows).contains(&row) && (0..columns).contains(&column) {
                for input in 0..inputs {
                    sum += map.planes[input][(row * columns + column) as usize]
                        * weight[((kernel_row * side + kernel_column) * inputs + input) * outputs + output];
                }
            }
        }
        sum
    };
    let planes = (0..outputs)
        .map(|output| (0..rows * columns).map(|index| at(output, index / columns, index % columns)).collect())
        .collect();
    Map { planes, columns: map.columns }
}

fn pool(map: &Map) -> Map {
    let (columns, rows) = (map.columns / 2, map.planes[0].len() / map.columns / 2);
    let plane = |plane: &Vec<f64>| {
        (0..rows * columns)
            .map(|index| {
                let first = index / columns * 2 * map.columns + index % columns * 2;
                [0, 1, map.columns, map.columns + 1]
                    .map(|offset| plane[first + offset])
                    .into_iter()
                    .fold(f64::MIN, f64::max)
            })
            .collect()
    };
    Map { planes: map.planes.iter().map(plane).collect(), columns }
}
