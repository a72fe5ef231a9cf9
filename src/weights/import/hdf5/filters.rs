//! How chunks are unpacked.

use std::io::Read;

use flate2::read::ZlibDecoder;
use hdf5_reader::FilterRegistry;
use hdf5_reader::error::Error;
use hdf5_reader::filters::{FILTER_DEFLATE, FILTER_NBIT, FILTER_SCALEOFFSET, FILTER_SHUFFLE, FILTER_SZIP};

use super::meter::{LARGEST_RATIO, Meter};

/// Deflate, shuffle and Fletcher32, which h5py has without further libraries; all chunks together may unpack to as many
/// bytes as the meter allows.
pub(super) fn filters(unpacked: Meter) -> FilterRegistry {
    let mut filters = FilterRegistry::new();
    // The crate's own reserves memory for what a chunk could unpack to at most, a thousand times its size.
    filters.register(FILTER_DEFLATE, Box::new(move |_, data, _| inflate(data, &unpacked)));
    // The crate is compiled without optimisation, and this goes over every byte.
    filters.register(FILTER_SHUFFLE, Box::new(|_, data, size| Ok(unshuffle(data, size))));
    // No Keras writes them.
    for id in [FILTER_SZIP, FILTER_NBIT, FILTER_SCALEOFFSET] {
        let unread = move |_: &_, _: &[u8], _| Err(Error::UnsupportedFilter(format!("filter {id}")));
        filters.register(id, Box::new(unread));
    }
    filters
}

fn inflate(data: &[u8], unpacked: &Meter) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(data)
        .take(unpacked.left().saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| Error::DecompressionError(error.to_string()))?;
    unpacked.spend(bytes.len() as u64, || {
        format!("its chunks unpack to more than {LARGEST_RATIO} times its size")
    })?;
    Ok(bytes)
}

/// First come the first bytes of all elements, then the second ones, and so on; bytes that make no element stay at the end.
fn unshuffle(data: &[u8], size: usize) -> Vec<u8> {
    let Some(count) = data.len().checked_div(size) else { return data.to_vec() };
    let (shuffled, rest) = data.split_at(count * size);
    let mut bytes = vec![0; shuffled.len()];
    for (place, plane) in shuffled.chunks_exact(count.max(1)).enumerate() {
        for (element, byte) in bytes.chunks_exact_mut(size).zip(plane) {
            element[place] = *byte;
        }
    }
    bytes.extend_from_slice(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use super::unshuffle;

    #[test]
    fn shuffled_bytes_are_put_in_order() {
        for (size, length) in [(1usize, 5usize), (4, 0), (4, 3), (4, 28), (2, 15), (8, 65), (0, 7)] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 37 + 11) as u8).collect();
            let count = length.checked_div(size).unwrap_or(0);
            let mut shuffled: Vec<u8> = (0..size)
                .flat_map(|place| (0..count).map(move |element| (place, element)))
                .map(|(place, element)| bytes[element * size + place])
                .collect();
            shuffled.extend_from_slice(&bytes[count * size..]);
            assert_eq!(unshuffle(&shuffled, size), bytes);
        }
    }
}
