//! Writes a VGG that is as narrow as can be, with random weights, for runs whose pipeline matters and not the network:
//! `narrow_network FILE.safetensors`. Its classifier has ten classes and takes inputs of 32×32.

use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::error::Error;

/// SplitMix64 (Steele, Lea & Flood 2014), uniform in [−1, 1).
fn random(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((word ^ (word >> 31)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: narrow_network FILE.safetensors")?;
    // Convolutions, pools after each of them, down to 8×8; then the classifier.
    let layers: [(&str, Vec<usize>); 4] = [
        ("features.0", vec![4, 3, 3, 3]),
        ("features.3", vec![6, 4, 3, 3]),
        ("classifier.0", vec![12, 6 * 8 * 8]),
        ("classifier.3", vec![10, 12]),
    ];
    let mut state = 7;
    let mut tensors = BTreeMap::new();
    for (layer, shape) in layers {
        let inputs: usize = shape[1..].iter().product();
        // He et al. 2015: variance 2 / inputs, of a uniform distribution.
        let scale = (6.0 / inputs as f32).sqrt();
        let weight: Vec<u8> =
            (0..shape[0] * inputs).flat_map(|_| (scale * random(&mut state)).to_le_bytes()).collect();
        let bias: Vec<u8> = (0..shape[0]).flat_map(|_| (0.1 * random(&mut state)).to_le_bytes()).collect();
        tensors.insert(format!("{layer}.bias"), (vec![shape[0]], bias));
        tensors.insert(format!("{layer}.weight"), (shape, weight));
    }
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    std::fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}
