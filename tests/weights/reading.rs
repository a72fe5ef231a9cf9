//! Elements of every type, at any alignment, and nothing read before it is needed.

use std::fs;

use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::Dtype;
use vggx::weights::{ElementType, TensorFile};

use crate::support::{Model, Random, raw};

/// One tensor `t` after `before` bytes, in a file whose data start after `padding` spaces: any alignment.
fn shifted(dtype: &str, count: usize, data: &[u8], before: usize, padding: usize) -> Vec<u8> {
    let end = before + data.len();
    let header = format!(
        r#"{{"a":{{"dtype":"U8","shape":[{before}],"data_offsets":[0,{before}]}},"t":{{"dtype":"{dtype}","shape":[{count}],"data_offsets":[{before},{end}]}}}}{}"#,
        " ".repeat(padding)
    );
    raw(&header, &[vec![0xff; before], data.to_vec()].concat())
}

fn with_tensor_file<T>(bytes: &[u8], check: impl FnOnce(&TensorFile) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    check(&TensorFile::open(&path).unwrap())
}

fn same(left: f32, right: f32) -> bool {
    left == right && left.is_sign_negative() == right.is_sign_negative() || left.is_nan() && right.is_nan()
}

#[test]
fn every_16_bit_pattern_is_read_as_half_reads_it_at_every_alignment() {
    let data: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for (name, element) in [("F16", ElementType::F16), ("BF16", ElementType::Bf16)] {
        let scalar = |bits| match element {
            ElementType::F16 => f16::from_bits(bits).to_f32(),
            _ => bf16::from_bits(bits).to_f32(),
        };
        let mut addresses = [false; 2];
        for before in 0..4 {
            with_tensor_file(&shifted(name, 1 << 16, &data, before, 0), |file| {
                let tensor = file.tensor("t").unwrap().unwrap();
                assert_eq!((tensor.element(), tensor.len()), (element, 1 << 16));
                addresses[tensor.bytes().as_ptr().addr() % 2] = true;
                let values = tensor.to_vec();
                for bits in 0..=u16::MAX {
                    let (found, expected) = (values[usize::from(bits)], scalar(bits));
                    assert!(same(found, expected), "{name} {bits:#06x}: {found}");
                }
            });
        }
        assert_eq!(addresses, [true; 2], "both alignments were tried");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_range_is_read_at_any_alignment(
        bits in prop::collection::vec(any::<u32>(), 1..3000),
        before in 0usize..5,
        padding in 0usize..9,
        kind in 0usize..3,
        range in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let (name, size) = [("F32", 4), ("F16", 2), ("BF16", 2)][kind];
        let data: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()[..size].to_vec()).collect();
        let expected: Vec<f32> = bits
            .iter()
            .map(|bits| match kind {
                0 => f32::from_bits(*bits),
                1 => f16::from_bits(*bits as u16).to_f32(),
                _ => bf16::from_bits(*bits as u16).to_f32(),
            })
            .collect();
        let (one, other) = (range.0.index(bits.len() + 1), range.1.index(bits.len() + 1));
        let (start, end) = (one.min(other), one.max(other));
        with_tensor_file(&shifted(name, bits.len(), &data, before, padding), |file| {
            let tensor = file.tensor("t").unwrap().unwrap();
            let mut out = vec![7.0; end - start];
            tensor.read(start, &mut out);
            for (index, value) in out.iter().enumerate() {
                prop_assert!(same(*value, expected[start + index]));
            }
            prop_assert_eq!(tensor.first_non_finite(), expected.iter().position(|value| !value.is_finite()));
            Ok(())
        })?;
    }
}

/// Long enough to be cut into several pieces of work.
#[test]
fn the_first_number_that_is_not_finite_is_found_in_large_tensors() {
    let count = 300_001;
    let mut random = Random(5);
    let values: Vec<f32> = (0..count).map(|_| random.next()).collect();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        for positions in [&[][..], &[0], &[65_535], &[65_536], &[300_000], &[200_000, 131_072, 299_999]] {
            let mut values = values.clone();
            for position in positions {
                values[*position] = f32::NAN;
            }
            let mut model = Model::default();
            model.set("t", &[count], values);
            with_tensor_file(&model.bytes(dtype), |file| {
                let tensor = file.tensor("t").unwrap().unwrap();
                assert_eq!(tensor.first_non_finite(), positions.iter().min().copied());
            });
        }
    }
}

#[test]
#[should_panic(expected = "elements 2..2+3 of")]
fn reading_past_the_end_is_a_panic_that_says_where() {
    with_tensor_file(&Model::default().with("t", &[4]).bytes(Dtype::F16), |file| {
        file.tensor("t").unwrap().unwrap().read(2, &mut [0.0; 3]);
    });
}

/// Bytes of memory this process has in use.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    4096 * pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
}

/// Reading six gigabytes, even of a sparse file's zeros, takes seconds and shows in the memory in use.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn opening_reads_the_header_only() {
    use std::time::{Duration, Instant};

    let (classes, inputs) = (65_536usize, 25_088usize);
    let features = Model::vgg(&[vec![512]], 0, &[], 0).bytes(Dtype::F32);
    let length = u64::from_le_bytes(features[..8].try_into().unwrap()) as usize;
    let data = &features[8 + length..];
    let text = std::str::from_utf8(&features[8..8 + length]).unwrap().trim_end();
    let (bias, weight) = (data.len() + 4 * classes, data.len() + 4 * classes + 4 * classes * inputs);
    let header = format!(
        r#"{},"classifier.0.bias":{{"dtype":"F32","shape":[{classes}],"data_offsets":[{},{bias}]}},"classifier.0.weight":{{"dtype":"F32","shape":[{classes},{inputs}],"data_offsets":[{bias},{weight}]}}}}"#,
        text.strip_suffix('}').unwrap(),
        data.len(),
    );
    let bytes = raw(&header, data);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.safetensors");
    fs::write(&path, &bytes).unwrap();
    let size = (bytes.len() - data.len() + weight) as u64;
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size).unwrap();

    assert!(size > 6 << 30);
    // The fastest of some: other tests run at the same time.
    let fastest = (0..3)
        .map(|_| {
            let (before, start) = (resident(), Instant::now());
            let weights = crate::support::open(&path).unwrap();
            let mut last = [1.0];
            weights.weight(1).read(classes * inputs - 1, &mut last);
            let (elapsed, grown) = (start.elapsed(), resident().saturating_sub(before));
            assert_eq!(last, [0.0]);
            assert_eq!(weights.network().outputs(), classes);
            assert!(grown < 1 << 30, "{grown} bytes");
            elapsed
        })
        .min()
        .unwrap();
    assert!(fastest < Duration::from_millis(500), "{fastest:?}");
}
