//! Operators from the tensors of a file.

use crate::host_driver;
use crate::support::{Element, Random, gpu, padded};
use vggx::backend::cuda::params::{
    VGGX_BF16, VGGX_F16, VGGX_F32, VGGX_LAYOUT_BACKWARD, VGGX_LAYOUT_FORWARD, VGGX_LAYOUT_IMAGE_BACKWARD,
    VGGX_LAYOUT_IMAGE_FORWARD, VggxOperatorBound, VggxPrepareOperator,
};

/// What operators are laid out in.
const PREPARED: [Element; 4] = [Element::F8, Element::F16, Element::Bf16, Element::F32];

fn file_type(element: Element) -> i32 {
    match element {
        Element::F8 => unreachable!("no file has float8"),
        Element::F32 => VGGX_F32,
        Element::F16 => VGGX_F16,
        Element::Bf16 => VGGX_BF16,
    }
}

struct Problem {
    outputs: usize,
    inputs: usize,
    taps: usize,
    flatten: usize,
    first: (Element, Vec<f64>),
    second: Option<(Element, Vec<f64>)>,
    neuron_scales: Option<Vec<f64>>,
    shift: i32,
}

impl Problem {
    fn random(
        [outputs, inputs, taps, flatten]: [usize; 4],
        first: Element,
        second: Option<Element>,
        with_scales: bool,
        shift: i32,
    ) -> Self {
        let mut random = Random::new((outputs * inputs + taps) as u64);
        let count = outputs * inputs * taps;
        let mut tensor = |element| (element, random.elements(element, count, 0.7));
        let (first, second) = (tensor(first), second.map(tensor));
        let neuron_scales =
            with_scales.then(|| (0..outputs).map(|_| (random.normal() * 3.0).exp()).collect());
        Problem { outputs, inputs, taps, flatten, first, second, neuron_scales, shift }
    }

    fn value(&self, output: usize, input: usize, tap: usize) -> f64 {
        let at = (output * self.inputs + input) * self.taps + tap;
        let second = self.second.as_ref().map_or(1.0, |(_, values)| values[at]);
        let scale = self.neuron_scales.as_ref().map_or(1.0, |scales| scales[output]);
        self.first.1[at] * second * scale
    }

    fn parameters(&self, layout: i32) -> VggxPrepareOperator {
        VggxPrepareOperator {
            first_type: file_type(self.first.0),
            second_type: self.second.as_ref().map_or(-1, |(element, _)| file_type(*element)),
            layout,
            shift: self.shift,
            outputs: self.outputs as i32,
            inputs: self.inputs as i32,
            taps: self.taps as i32,
            flatten: self.flatten as i32,
            ..VggxPrepareOperator::default()
        }
    }

    /// Launches a kernel on the tensors, and gives back the bytes of its destination.
    fn run(&self, name: &str, layout: i32, blocks: usize, destination: crate::support::Buffer) -> Vec<u8> {
        let gpu = gpu();
        let first = gpu.upload_elements(self.first.0, &self.first.1);
        let second = self.second.as_ref().map(|(element, values)| gpu.upload_elements(*element, values));
        let scales = self.neuron_scales.as_ref().map(|scales| {
            let bits: Vec<u64> = scales.iter().map(|scale| scale.to_bits()).collect();
            gpu.upload(&bits)
        });
        let parameters = VggxPrepareOperator {
            first: first.address(),
            second: second.as_ref().map_or(0, |second| second.address()),
            neuron_scales: scales.as_ref().map_or(0, |scales| scales.address()),
            destination: destination.address(),
            ..self.parameters(layout)
        };
        gpu.launch(name, [blocks, 1, 1], 256, 0, &parameters);
        gpu.download(&destination)
    }

    /// Where every element of the file goes, and how many elements there are with padding.
    fn layout(&self, layout: i32) -> (usize, impl Fn(usize, usize, usize) -> usize) {
        let (outputs, channels) = (padded(self.outputs), padded(self.inputs / self.flatten));
        let inputs = channels * self.flatten;
        let (taps, flatten) = (self.taps, self.flatten);
        let count = match layout {
            VGGX_LAYOUT_IMAGE_FORWARD => outputs * 32,
            VGGX_LAYOUT_IMAGE_BACKWARD => 9 * outputs * 4,
            _ => outputs * inputs * taps,
        };
        let place = move |output: usize, input: usize, tap: usize| {
            let row = input % flatten * channels + input / flatten;
            match layout {
                VGGX_LAYOUT_FORWARD => (output * taps + tap) * inputs + row,
                VGGX_LAYOUT_BACKWARD => (row * taps + (taps - 1 - tap)) * outputs + output,
                VGGX_LAYOUT_IMAGE_FORWARD => output * 32 + 3 * tap + input,
                _ => ((8 - tap) * outputs + output) * 4 + input,
            }
        };
        (count, place)
    }

    fn check(&self, element: Element, layout: i32) {
        let what = format!(
            "{element:?}, layout {layout}, {}x{}x{}, flattened from {}, {:?} {:?}",
            self.outputs,
            self.inputs,
            self.taps,
            self.flatten,
            self.first.0,
            self.second.as_ref().map(|second| second.0)
        );
        let stored = if layout == VGGX_LAYOUT_IMAGE_BACKWARD { Element::F32 } else { element };
        let (count, place) = self.layout(layout);
        let mut expected = vec![0.0; count];
        for output in 0..self.outputs {
            for input in 0..self.inputs {
                for tap in 0..self.taps {
                    let value = self.value(output, input, tap) * 2_f64.powi(self.shift);
                    expected[place(output, input, tap)] = stored.round(value);
                }
            }
        }
        let bytes = gpu().in_every_order(&what, || {
            let destination = gpu().poisoned_elements(stored, count);
            self.run(&element.kernel("prepare_operator"), layout, count.div_ceil(256), destination)
        });
        let got = stored.decode(&bytes);
        for (at, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert!(got == expected, "{what}: element {at} is {got}, not {expected}");
        }
    }

    fn check_largest(&self) {
        let count = self.outputs * self.inputs * self.taps;
        let mut largest = 0_f32;
        for (output, input) in (0..self.outputs).flat_map(|o| (0..self.inputs).map(move |i| (o, i))) {
            for tap in 0..self.taps {
                largest = largest.max(self.value(output, input, tap).abs() as f32);
            }
        }
        let bytes = gpu().in_every_order("operator_largest", || {
            self.run("operator_largest", VGGX_LAYOUT_FORWARD, count.div_ceil(1024), gpu().zeros(4))
        });
        assert_eq!(bytes, largest.to_bits().to_le_bytes());
    }
}

#[test]
fn every_element_has_its_place() {
    for element in PREPARED {
        for layout in [VGGX_LAYOUT_FORWARD, VGGX_LAYOUT_BACKWARD] {
            for shape in [[64, 64, 9, 1], [5, 3, 9, 1], [70, 65, 9, 1], [100, 130, 1, 1], [10, 6 * 49, 1, 49]]
            {
                Problem::random(shape, Element::F32, None, false, 14).check(element, layout);
            }
        }
        for layout in [VGGX_LAYOUT_IMAGE_FORWARD, VGGX_LAYOUT_IMAGE_BACKWARD] {
            for outputs in [64, 7, 100] {
                Problem::random([outputs, 3, 9, 1], Element::F16, None, true, 15).check(element, layout);
            }
        }
    }
}

#[test]
fn products_of_all_types_are_rounded_once() {
    for element in PREPARED {
        for first in Element::ALL {
            for second in Element::ALL {
                // Shifts to the largest numbers that are meant, and into what is subnormal.
                let shifts = [(13, true), (-20, false), (-130, true)];
                // The last one changes no address.
                for &(shift, with_scales) in &shifts[..if host_driver::is_sanitized() { 2 } else { 3 }] {
                    let problem = Problem::random([9, 17, 9, 1], first, Some(second), with_scales, shift);
                    problem.check(element, VGGX_LAYOUT_FORWARD);
                    problem.check(element, VGGX_LAYOUT_BACKWARD);
                }
            }
        }
    }
}

#[test]
fn the_largest_is_exact() {
    for first in Element::ALL {
        for (second, with_scales) in [(None, false), (Some(Element::F16), true), (Some(Element::F32), false)]
        {
            for shape in [[1, 1, 1, 1], [70, 33, 9, 1], [3, 5, 1, 1]] {
                Problem::random(shape, first, second, with_scales, 0).check_largest();
            }
        }
    }
}

/// At least the exact sum, and less than it by a factor of 1 + 2^-9.
fn check_bound(what: &str, bits: u32, exact: f64) {
    let bound = f64::from(f32::from_bits(bits));
    assert!(bound >= exact && bound <= exact * (1.0 + 1.0 / 512.0), "{what}: {bound} for {exact}");
}

#[test]
fn bounds_are_just_above_the_largest_sum() {
    let gpu = gpu();
    for element in PREPARED {
        for (rows, depth) in [(64, 32), (64, 576), (128, 64), (100, 25088)] {
            let what = format!("operator_bound {element:?}, {rows}x{depth}");
            let mut random = Random::new((rows + depth) as u64);
            let largest = if element == Element::F8 { 256.0 } else { 32752.0 };
            let values = random.elements(element, rows * depth, largest);
            let bits = gpu.in_every_order(&what, || {
                let operator = gpu.upload_elements(element, &values);
                let bound = gpu.zeros(4);
                let parameters = VggxOperatorBound {
                    operator_: operator.address(),
                    bound: bound.address(),
                    rows: rows as i32,
                    depth: depth as i32,
                };
                let blocks = rows.div_ceil(8);
                gpu.launch(&element.kernel("operator_bound"), [blocks, 1, 1], 256, 0, &parameters);
                gpu.download::<u32>(&bound)
            });
            let sums = values.chunks(depth).map(|row| row.iter().map(|value| value.abs()).sum::<f64>());
            check_bound(&what, bits[0], sums.fold(0.0, f64::max));
        }
    }
}

#[test]
fn the_image_operator_is_bounded_over_its_three_rows() {
    let gpu = gpu();
    for depth in [9 * 64, 9 * 128] {
        for dominant in 0..3 {
            let mut random = Random::new(depth as u64);
            let mut values = random.elements(Element::F32, depth * 4, 30000.0);
            values.iter_mut().skip(3).step_by(4).for_each(|value| *value = 0.0);
            values.iter_mut().skip(dominant).step_by(4).for_each(|value| *value *= 2.0);
            let bits = gpu.in_every_order("operator_bound_image", || {
                let operator = gpu.upload_elements(Element::F32, &values);
                let bound = gpu.zeros(4);
                let parameters = VggxOperatorBound {
                    operator_: operator.address(),
                    bound: bound.address(),
                    rows: 3,
                    depth: depth as i32,
                };
                gpu.launch("operator_bound_image", [3, 1, 1], 32, 0, &parameters);
                gpu.download::<u32>(&bound)
            });
            let sum = |row: usize| values.iter().skip(row).step_by(4).map(|value| value.abs()).sum::<f64>();
            check_bound("operator_bound_image", bits[0], sum(0).max(sum(1)).max(sum(2)));
        }
    }
}
