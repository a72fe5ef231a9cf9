//! Second moments: all kernels one after another, against products of shifted maps written plainly in float64.

use vggx::backend::LAGS;
use vggx::backend::cuda::params::{
    VGGX_SECOND_CHUNK, VGGX_SECOND_KINDS, VGGX_SECOND_PLANES, VggxSecondDense, VggxSecondMaps,
    VggxSecondPass, VggxSecondRegions, VggxSecondView,
};

use crate::host_driver;
use crate::support::{Buffer, Element, Gpu, Random, gpu, padded, power_of_two};

const CHUNK: usize = VGGX_SECOND_CHUNK as usize;
const KINDS: usize = VGGX_SECOND_KINDS as usize;
const PLANES: usize = VGGX_SECOND_PLANES as usize;

/// A layer's input, in stored units; every value is exact in the element type.
struct Layer {
    element: Element,
    images: usize,
    height: usize,
    width: usize,
    /// Before padding.
    real_channels: usize,
    /// Padded; 3 for an image.
    channels: usize,
    input: Vec<f64>,
    exponents: Vec<i32>,
    counted: Vec<bool>,
}

/// How the work is split.
#[derive(Clone, Copy, Debug)]
struct Split {
    images_of_pass: usize,
    slice_images: usize,
    stages: usize,
}

const WHOLE: Split = Split { images_of_pass: usize::MAX, slice_images: 4, stages: 4 };
const FINE: Split = Split { images_of_pass: 1, slice_images: 1, stages: 2 };

/// What the kernels leave.
#[derive(Clone, Debug, PartialEq)]
struct Sums {
    pilots: Vec<f32>,
    /// Planes or the triangle, in true units.
    products: Vec<f64>,
}

/// A product of one plane, in true units.
#[derive(Clone, Copy, Default)]
struct Product {
    /// Σ x x'.
    exact: f64,
    /// The same with centred values as the kernels round them.
    rounded: f64,
    /// Σ |x̂ x̂'| · 4.
    centred: f64,
    /// Σ |x x'|.
    raw: f64,
    /// Σ |x̂| + |x̂'|, halved as they are stored, in units of 2^E.
    stored: f64,
    terms: usize,
}

impl Layer {
    /// Activations as behind a ReLU with an offset, of `offset` standard deviations; an image's are of both signs. Images
    /// differ in their exponents, and of three or more images one does not count.
    fn new(
        element: Element,
        seed: u64,
        (images, height, width): (usize, usize, usize),
        real_channels: usize,
        offset: f64,
    ) -> Self {
        let mut random = Random::new(seed);
        let is_image = real_channels == 3;
        let channels = if is_image { 3 } else { padded(real_channels) };
        let mut input = vec![0.0; images * height * width * channels];
        for (position, values) in input.chunks_exact_mut(channels).enumerate() {
            let image = position / (height * width);
            let scale = power_of_two(6 - image as i32 % 3) * if image == 1 { 3.0 } else { 1.0 };
            for value in &mut values[..real_channels] {
                let normal = random.normal() + offset;
                *value = element.round(if normal < 0.0 && !is_image { 0.0 } else { normal * scale });
            }
        }
        Layer {
            element,
            images,
            height,
            width,
            real_channels,
            channels,
            input,
            // The image that does not count must not set the exponent for the others.
            exponents: (0..images)
                .map(|image| if image == 1 && images > 2 { 30 } else { [-9, -10, -6, -12][image % 4] })
                .collect(),
            counted: (0..images).map(|image| images < 3 || image != 1).collect(),
        }
    }

    fn common(&self) -> i32 {
        let counted = self.exponents.iter().zip(&self.counted).filter(|(_, counted)| **counted);
        counted.map(|(&exponent, _)| exponent).max().unwrap_or(0)
    }

    /// Of each image: 2^(exponent - E), or 0.
    fn factors(&self) -> Vec<f32> {
        let factor = |(&exponent, &counted): (&i32, &bool)| {
            if counted { power_of_two(exponent - self.common()) as f32 } else { 0.0 }
        };
        self.exponents.iter().zip(&self.counted).map(factor).collect()
    }

    fn counted_images(&self) -> usize {
        self.counted.iter().filter(|&&counted| counted).count()
    }

    fn at(&self, image: usize, y: isize, x: isize) -> Option<&[f64]> {
        if y < 0 || x < 0 || y >= self.height as isize || x >= self.width as isize {
            return None;
        }
        let position = (image * self.height + y as usize) * self.width + x as usize;
        Some(&self.input[position * self.channels..][..self.channels])
    }

    /// Σx of each channel, true units.
    fn sums(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        for (position, values) in self.input.chunks_exact(self.channels).enumerate() {
            let image = position / (self.height * self.width);
            if self.counted[image] {
                let power = power_of_two(self.exponents[image]);
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * power);
            }
        }
        sums
    }

    /// A value as the kernels centre it: (x · 2^(e - E) - c) / 2 in float32, rounded.
    fn centred(&self, value: f64, factor: f32, pilot: f32) -> f64 {
        self.element.round(f64::from((value as f32 * factor - pilot) * 0.5))
    }

    /// The places of a plane's view, and its lag.
    fn plane(&self, plane: usize) -> (impl Fn(isize, isize) -> bool, (isize, isize)) {
        let (last_y, last_x) = (self.height as isize - 1, self.width as isize - 1);
        let lag = match plane {
            0..13 => LAGS[plane],
            13..19 => (0, (plane as isize - 13) % 3),
            19..25 => ((plane as isize - 13) % 3, 0),
            _ => (0, 0),
        };
        let inside = move |y: isize, x: isize| match plane {
            0..13 => true,
            13..16 => y == 0,
            16..19 => y == last_y,
            19..22 => x == 0,
            22..25 => x == last_x,
            25 => (y, x) == (0, 0),
            26 => (y, x) == (0, last_x),
            27 => (y, x) == (last_y, 0),
            _ => (y, x) == (last_y, last_x),
        };
        (inside, lag)
    }

    /// A plane's products [channels, channels]; padding has none.
    fn products(&self, plane: usize, pilots: &[f32]) -> Vec<Product> {
        let channels = self.channels;
        let (inside, (dy, dx)) = self.plane(plane);
        let mut products = vec![Product::default(); channels * channels];
        let unit = power_of_two(self.common());
        for (image, factor) in self.factors().into_iter().enumerate().filter(|(_, factor)| *factor > 0.0) {
            for y in 0..self.height as isize {
                for x in 0..self.width as isize {
                    let (Some(a), Some(b)) = (self.at(image, y, x), self.at(image, y + dy, x + dx)) else {
                        continue;
                    };
                    if !inside(y, x) {
                        continue;
                    }
                    let prepare = |values: &[f64]| -> Vec<[f64; 3]> {
                        let of_channel = |(&value, &pilot): (&f64, &f32)| {
                            let centred = self.centred(value, factor, pilot);
                            [value * f64::from(factor), centred, f64::from(pilot)]
                        };
                        values.iter().zip(pilots).take(self.real_channels).map(of_channel).collect()
                    };
                    let (a, b) = (prepare(a), prepare(b));
                    for (products, &[a, a_centred, c]) in products.chunks_exact_mut(channels).zip(&a) {
                        for (product, &[b, b_centred, d]) in products.iter_mut().zip(&b) {
                            product.exact += a * b * unit * unit;
                            let centred = 4.0 * a_centred * b_centred;
                            product.rounded += (centred + c * b + (a - c) * d) * unit * unit;
                            product.centred += centred.abs() * unit * unit;
                            product.raw +=
                                ((a * b).abs() + (c * b).abs() + (a * d).abs() + (c * d).abs()) * unit * unit;
                            product.stored += a_centred.abs() + b_centred.abs();
                            product.terms += 1;
                        }
                    }
                }
            }
        }
        products
    }

    /// Compares a sum that began at `before`.
    fn check(&self, what: &str, product: &Product, before: f64, got: f64) {
        // A float32 sum of n terms errs by n 2^-24 of the magnitudes; tensor cores cut off instead of rounding: twice that.
        // Sums in float64 lose nothing that counts.
        let terms = product.terms.min(CHUNK) as f64 + 2.0;
        let single = terms * power_of_two(if self.element == Element::F32 { -24 } else { -23 });
        let double = power_of_two(-48) * (product.raw + before.abs());
        let bound = if product.terms == 0 { 0.0 } else { single * product.centred + double };
        let error = (got - before - product.rounded).abs();
        assert!(
            error <= bound,
            "{what}: {got} is off by {error:e} > {bound:e} from {} + {before}",
            product.rounded
        );
        // Against unrounded values: each factor is rounded once, and a subnormal one by half a quantum.
        let rounding = self.element.relative() * (2.0 + self.element.relative()) + power_of_two(-23);
        let quanta = 4.0 * self.element.quantum() * product.stored * power_of_two(2 * self.common());
        let bound = (single + 2.0 * rounding) * product.centred + quanta + double;
        let error = (got - before - product.exact).abs();
        assert!(
            error <= bound,
            "{what}: {got} is off by {error:e} > {bound:e} from {} + {before}",
            product.exact
        );
    }
}

/// A layer on the device.
struct Uploaded {
    maps: VggxSecondMaps,
    _buffers: [Buffer; 4],
}

impl Uploaded {
    fn new(gpu: &Gpu, layer: &Layer) -> Self {
        let buffers = [
            gpu.upload_elements(layer.element, &layer.input),
            gpu.upload(&layer.factors()),
            gpu.upload(&[layer.common(), 12345, layer.counted_images() as i32, 0]),
            gpu.upload(&layer.sums()),
        ];
        let [input, factors, common, sums] = buffers.each_ref().map(Buffer::address);
        let maps = VggxSecondMaps {
            input,
            factors,
            common,
            sums,
            images: layer.images as i32,
            height: layer.height as i32,
            width: layer.width as i32,
            channels: layer.channels as i32,
        };
        Uploaded { maps, _buffers: buffers }
    }
}

/// As params.h says.
fn pilot_bits(element: Element) -> i32 {
    if element == Element::F32 { 24 } else { 4 }
}

/// Pilots and regions.
fn regions(gpu: &Gpu, layer: &Layer, maps: VggxSecondMaps, planes: usize, split: Split) -> [Buffer; 2] {
    let slices = layer.images.div_ceil(split.slice_images);
    let partials = gpu.poisoned(slices * KINDS * layer.channels * 8);
    let pilots = gpu.poisoned(layer.channels * 4);
    let regions = gpu.poisoned(planes * 2 * layer.channels * 8);
    let parameters = VggxSecondRegions {
        maps,
        partials: partials.address(),
        pilots: pilots.address(),
        regions: regions.address(),
        slice_images: split.slice_images as i32,
        slices: slices as i32,
        planes: planes as i32,
        pilot_bits: pilot_bits(layer.element),
    };
    let groups = layer.channels.div_ceil(64);
    let kernel = layer.element.kernel("second_borders");
    gpu.launch(&kernel, [groups, KINDS, slices], 256, 256 * 8, &parameters);
    gpu.launch("second_regions", [groups, 1, 1], 256, (KINDS + 1) * 64 * 8, &parameters);
    [pilots, regions]
}

/// Rows, length, first position, strides of rows and positions, lags.
fn views(layer: &Layer) -> Vec<[usize; 6]> {
    let (height, width) = (layer.height, layer.width);
    let (last_row, last_column) = ((height - 1) * width, width - 1);
    let row = |start| [1, width, start, 0, 1, 3];
    let column = |start| [1, height, start, 0, width, 3];
    let corner = |start| [1, 1, start, 0, 0, 1];
    let mut views =
        vec![[height, width, 0, width, 1, 13], row(0), row(last_row), column(0), column(last_column)];
    views.extend([0, last_column, last_row, last_row + last_column].map(corner));
    views
}

/// Adds a layer's products to `before`, with the tile of `rows` × `columns`.
fn run_maps(layer: &Layer, split: Split, [rows, columns]: [usize; 2], before: &[f64]) -> Sums {
    let gpu = gpu();
    let uploaded = Uploaded::new(gpu, layer);
    let maps = uploaded.maps;
    let [pilots, regions] = regions(gpu, layer, maps, PLANES, split);
    let planes = gpu.upload(before);
    let is_image = layer.channels == 3;
    let line_channels = if is_image { 64 } else { layer.channels };
    let step = split.images_of_pass.min(layer.images);
    for first in (0..layer.images).step_by(step) {
        let images = step.min(layer.images - first);
        let mut pass = VggxSecondPass {
            maps,
            pilots: pilots.address(),
            regions: if first == 0 { regions.address() } else { 0 },
            planes: planes.address(),
            first_image: first as i32,
            images: images as i32,
            line_channels: line_channels as i32,
            stages: split.stages as i32,
            ..VggxSecondPass::default()
        };
        let (mut line, mut plane, mut block, mut partial) = (0, 0, 0, 0);
        for (view, [view_rows, length, start, row_stride, position_stride, lags]) in
            pass.view.iter_mut().zip(views(layer))
        {
            let reach = if is_image { 0 } else { 2.min(length - 1) };
            let row = images * (length + reach);
            let chunks = (view_rows * row).div_ceil(CHUNK);
            let products = if is_image { 1 } else { lags };
            *view = VggxSecondView {
                rows: view_rows as i32,
                length: length as i32,
                start: start as i32,
                row_stride: row_stride as i32,
                position_stride: position_stride as i32,
                reach: reach as i32,
                lags: lags as i32,
                plane,
                line: line as i32,
                positions: (view_rows * row) as i32,
                chunks: chunks as i32,
                block: block as i32,
                partial: partial as i64,
            };
            plane += lags as i32;
            line += view_rows * row + 2.min(view_rows - 1) * row + reach;
            block += chunks * line_channels.div_ceil(rows) * (products * line_channels).div_ceil(columns);
            partial += chunks * products * line_channels * line_channels;
            pass.views += 1;
        }
        let lines = gpu.poisoned_elements(layer.element, line * line_channels);
        let partials = gpu.poisoned(partial * 4);
        pass.line_positions = line as i32;
        pass.lines = lines.address();
        pass.partials = partials.address();
        let gather = layer.element.kernel("second_gather");
        gpu.launch(&gather, [(line * line_channels / 8).div_ceil(256), 1, 1], 256, 0, &pass);
        let products = format!("second_products_{}_{rows}x{columns}", layer.element.suffix());
        let shared = split.stages * (rows + columns) * 64;
        gpu.launch(&products, [block, 1, 1], (rows * columns / 128) as u32, shared, &pass);
        let elements = layer.channels * layer.channels;
        gpu.launch("second_flush", [elements.div_ceil(256), PLANES, 1], 256, 0, &pass);
    }
    Sums { pilots: gpu.download(&pilots), products: gpu.download(&planes) }
}

fn tiles(element: Element) -> [[usize; 2]; 2] {
    if element == Element::F32 { [[64, 256], [128, 128]] } else { [[64, 256], [128, 256]] }
}

/// Numbers of the size of what is added, so that they show.
fn numbers(count: usize) -> Vec<f64> {
    (0..count).map(|index| (index % 97) as f64 * 0.25 - 10.0).collect()
}

fn check_pilots(what: &str, layer: &Layer, pilots: &[f32]) {
    let positions = (layer.counted_images() * layer.height * layer.width) as f64;
    for (channel, (&pilot, sum)) in pilots.iter().zip(layer.sums()).enumerate() {
        let mean = sum / positions * power_of_two(-layer.common());
        // Half of the last bit that is kept, which is at most 2^(1 - bits) of the value; float32 rounds once more.
        let allowed = power_of_two(-pilot_bits(layer.element)) + power_of_two(-24);
        let error = (f64::from(pilot) - mean).abs();
        assert!(error <= allowed * mean.abs(), "{what}: pilot {channel} is {pilot}, not {mean}");
        let dropped = pilot.to_bits() & ((1 << (24 - pilot_bits(layer.element))) - 1);
        assert_eq!(dropped, 0, "{what}: pilot {channel} is {pilot}, which has more bits");
    }
}

fn check_maps(what: &str, layer: &Layer, before: &[f64], sums: &Sums) {
    check_pilots(what, layer, &sums.pilots);
    let plane_size = layer.channels * layer.channels;
    for (plane, got) in sums.products.chunks_exact(plane_size).enumerate() {
        let before = &before[plane * plane_size..];
        for (at, (product, got)) in layer.products(plane, &sums.pilots).iter().zip(got).enumerate() {
            let [row, column] = [at / layer.channels, at % layer.channels];
            layer.check(&format!("{what}, plane {plane} at {row},{column}"), product, before[at], *got);
        }
    }
}

#[test]
fn products_of_shifted_maps() {
    let shapes = [
        (1, 1, 1, 64),
        (2, 1, 5, 3),
        (3, 5, 1, 70),
        (4, 2, 2, 5),
        (3, 7, 13, 70),
        (2, 3, 4, 130),
        (33, 4, 3, 20),
        (5, 6, 5, 3),
        (3, 2, 7, 3),
    ];
    for element in Element::ALL {
        for (index, &(images, height, width, channels)) in shapes.iter().enumerate() {
            let layer = Layer::new(element, index as u64, (images, height, width), channels, 0.8);
            let before = numbers(PLANES * layer.channels * layer.channels);
            for (number, tile) in tiles(element).into_iter().enumerate() {
                for (part, split) in [WHOLE, FINE].into_iter().enumerate() {
                    // Sanitizers see each tile with each split on some shape.
                    if host_driver::is_sanitized() && (index + number + part) % 2 == 1 {
                        continue;
                    }
                    // Deep layers with many passes take long on the host.
                    if split.images_of_pass == 1 && layer.channels > 64 {
                        continue;
                    }
                    let what = format!("{element:?} {images}×{height}×{width}×{channels} {tile:?} {split:?}");
                    let sums = gpu().in_every_order(&what, || run_maps(&layer, split, tile, &before));
                    check_maps(&what, &layer, &before, &sums);
                }
            }
        }
    }
}

#[test]
fn more_positions_than_float32_may_sum() {
    for element in Element::ALL {
        // The lines of an image are as those of a map; sanitizers need not see both.
        let cases: &[usize] = if host_driver::is_sanitized() { &[10] } else { &[3, 10] };
        for &channels in cases {
            // Two stretches of the line, the second of which ends within a row.
            let layer = Layer::new(element, 5, (1, 67, 69), channels, 2.0);
            let before = numbers(PLANES * layer.channels * layer.channels);
            let what = format!("{element:?}, {channels} channels");
            let split = Split { stages: 3, ..WHOLE };
            let sums = run_maps(&layer, split, [64, 256], &before);
            check_maps(&what, &layer, &before, &sums);
        }
    }
}

#[test]
fn the_number_of_stages_changes_no_bit() {
    for element in Element::ALL {
        let layer = Layer::new(element, 6, (2, 9, 11), 64, 0.8);
        let before = numbers(PLANES * 64 * 64);
        let with = |stages| run_maps(&layer, Split { stages, ..WHOLE }, [64, 256], &before);
        let two = with(2);
        for stages in [3, 5, 8] {
            assert!(with(stages) == two, "{element:?}, {stages} stages");
        }
        // Nor does the tile.
        let [_, other] = tiles(element);
        assert!(run_maps(&layer, WHOLE, other, &before) == two, "{element:?}, {other:?}");
    }
}

#[test]
fn an_offset_leaves_the_covariance() {
    // Of terms of one sign the sum grows evenly, and n roundings by up to 2^-25 of it add up to 2^-25 sqrt(n / 3) at random;
    // four times that is rare. Tensor cores cut off instead, once in 16 terms, by up to 2^-23. A float16 x̂ is rounded by up to 2^-12
    // where it is rounded, at random, which a thousand positions average out to less than 2^-16.
    let terms = 4.0 * 20.0 * 23.0_f64;
    let float32 = 4.0 * power_of_two(-25) * (terms / 3.0).sqrt();
    let float16 = terms / 16.0 * power_of_two(-23) + power_of_two(-16);
    for (element, offset, allowed) in [(Element::F32, 100.0, float32), (Element::F16, 10.0, float16)] {
        let layer = Layer::new(element, 7, (4, 20, 23), 8, offset);
        let size = layer.channels * layer.channels;
        let sums = run_maps(&layer, WHOLE, [64, 256], &vec![0.0; PLANES * size]);
        for plane in [0, 7] {
            let products = layer.products(plane, &sums.pilots);
            for row in 0..8 {
                for column in 0..8 {
                    let at = row * layer.channels + column;
                    let variance = |channel: usize| products[channel * (layer.channels + 1)].centred;
                    let error = (sums.products[plane * size + at] - products[at].exact).abs();
                    let relative = error / (variance(row) * variance(column)).sqrt();
                    assert!(
                        relative <= allowed,
                        "{element:?}, plane {plane} at {row},{column}: {relative:e}"
                    );
                }
            }
        }
    }
}

/// Adds a dense layer's products.
fn run_dense(layer: &Layer, split: Split, before: &[f64]) -> Sums {
    let gpu = gpu();
    let uploaded = Uploaded::new(gpu, layer);
    let maps = uploaded.maps;
    let [pilots, regions] = regions(gpu, layer, maps, 1, split);
    let triangle = gpu.upload(before);
    let step = split.images_of_pass.min(layer.images);
    for first in (0..layer.images).step_by(step) {
        let images = step.min(layer.images - first);
        let lines = gpu.poisoned_elements(layer.element, images * layer.channels);
        let mut pass = VggxSecondPass {
            maps,
            pilots: pilots.address(),
            lines: lines.address(),
            first_image: first as i32,
            images: images as i32,
            line_positions: images as i32,
            line_channels: layer.channels as i32,
            views: 1,
            ..VggxSecondPass::default()
        };
        pass.view[0] = VggxSecondView {
            rows: 1,
            length: 1,
            lags: 1,
            positions: images as i32,
            ..VggxSecondView::default()
        };
        let gather = layer.element.kernel("second_gather");
        gpu.launch(&gather, [(images * layer.channels / 8).div_ceil(256), 1, 1], 256, 0, &pass);
        let dense = VggxSecondDense {
            maps,
            pilots: pilots.address(),
            regions: if first == 0 { regions.address() } else { 0 },
            lines: lines.address(),
            triangle: triangle.address(),
            images: images as i32,
            stages: split.stages as i32,
        };
        let tiles = layer.channels.div_ceil(128);
        let shared = split.stages * 256 * 64;
        gpu.launch(&layer.element.kernel("second_dense"), [tiles, tiles, 1], 128, shared, &dense);
    }
    Sums { pilots: gpu.download(&pilots), products: gpu.download(&triangle) }
}

#[test]
fn products_of_dense_inputs() {
    for element in Element::ALL {
        for (images, inputs) in [(1, 64), (2, 5), (3, 130), (33, 320), (70, 64)] {
            let layer = Layer::new(element, images as u64, (images, 1, 1), inputs, 0.8);
            let channels = layer.channels;
            let before = numbers(channels * (channels + 1) / 2);
            for split in [WHOLE, Split { images_of_pass: 20, slice_images: 3, stages: 2 }] {
                let what = format!("{element:?} {images}×{inputs} {split:?}");
                let sums = gpu().in_every_order(&what, || run_dense(&layer, split, &before));
                check_pilots(&what, &layer, &sums.pilots);
                let products = layer.products(0, &sums.pilots);
                for row in 0..channels {
                    for column in 0..=row {
                        let at = row * (row + 1) / 2 + column;
                        let product = &products[row * channels + column];
                        layer.check(
                            &format!("{what} at {row},{column}"),
                            product,
                            before[at],
                            sums.products[at],
                        );
                    }
                }
            }
        }
    }
}
