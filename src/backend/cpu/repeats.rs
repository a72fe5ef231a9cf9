//! Positions that see the same patch as a neighbour, which Winograd's transforms would tell apart.
//!
//! A plain sum is a function of the patch alone: equal patches give equal bits, and a max-pool over a flat area (a
//! saturated sky, a white background) ties and takes the first position. Winograd rounds each of a tile's positions
//! differently, so ties would fall at random: on a photo with 25 646 tied windows the gradient's cosine dropped to
//! 0.998. So positions whose patch equals that of one of their eight neighbours are summed plainly.

use super::convolution::{ScaledMaps, TAPS};
use super::tiles::{Maps, SIDE, TileRow};
use super::workspace::{Buffer, Workspace};
use rayon::prelude::*;

/// Directions to a neighbour, (dy, dx): right, down, down right, down left. The other four are these seen from the
/// neighbour.
const DIRECTIONS: [(isize, isize); 4] = [(0, 1), (1, 0), (1, 1), (1, -1)];

/// Which output positions of a batch repeat a neighbour's patch.
pub struct Repeats {
    maps: Maps,
    repeated: Vec<bool>,
}

impl Repeats {
    /// Compares all neighbouring patches of a batch.
    pub fn find(input: ScaledMaps) -> Self {
        let maps = input.maps;
        let mut repeated = vec![false; maps.images * maps.height * maps.width];
        if !repeated.is_empty() {
            repeated
                .par_chunks_mut(maps.height * maps.width)
                .enumerate()
                .for_each(|(image, repeated)| mark(input, image, repeated));
        }
        Repeats { maps, repeated }
    }

    /// The repeated positions of a group of rows of tiles, with their patches.
    pub fn of_group<'a>(
        &self,
        input: ScaledMaps,
        group: &[TileRow],
        workspace: &'a Workspace,
    ) -> RepeatedPatches<'a> {
        let Maps { height, width, channels, .. } = self.maps;
        let per_row = self.maps.tiles_per_row();
        let mut places = Vec::new();
        for (row_index, row) in group.iter().enumerate() {
            for y in row.tile_y * SIDE..height.min(row.tile_y * SIDE + SIDE) {
                let line = &self.repeated[(row.image * height + y) * width..][..width];
                for (x, _) in line.iter().enumerate().filter(|(_, repeated)| **repeated) {
                    let tile = row_index * per_row + x / SIDE;
                    let position = (y % SIDE) * SIDE + x % SIDE;
                    places.push(Place { image: row.image, y, x, tile, position });
                }
            }
        }
        places.sort_unstable_by_key(|place| (place.tile, place.position));
        let depth = TAPS * channels;
        let mut patches = workspace.take(places.len() * depth);
        for (place, patch) in places.iter().zip(patches.chunks_exact_mut(depth)) {
            for tap in 0..TAPS {
                let (y, x) =
                    (place.y as isize + tap as isize / 3 - 1, place.x as isize + tap as isize % 3 - 1);
                let values = input.position(place.image, y, x);
                for channel in 0..channels {
                    patch[channel * TAPS + tap] = values.map_or(0.0, |values| values[channel]);
                }
            }
        }
        RepeatedPatches { places, patches }
    }
}

/// A repeated position: in its map, and in its group's tiles.
struct Place {
    image: usize,
    y: usize,
    x: usize,
    tile: usize,
    position: usize,
}

/// Repeated positions of a group of tiles, in the order of tiles and positions.
pub struct RepeatedPatches<'a> {
    places: Vec<Place>,
    /// `[place][input][tap]`, as a block of kernels is laid out.
    patches: Buffer<'a>,
}

impl RepeatedPatches<'_> {
    /// Number of positions.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The patches, row by row.
    pub fn patches(&self) -> &[f32] {
        &self.patches
    }

    /// Tile and position within the tile of each.
    pub fn tiles(&self) -> impl Iterator<Item = (usize, usize)> {
        self.places.iter().map(|place| (place.tile, place.position))
    }
}

/// Marks the positions of one image that repeat a neighbour's patch.
fn mark(input: ScaledMaps, image: usize, repeated: &mut [bool]) {
    let Maps { height, width, .. } = input.maps;
    // One bit a direction: does the input position equal its neighbour? On the map with its border of zeros.
    let (rows, columns) = (height + 2, width + 2);
    let mut equal = vec![0u8; rows * columns];
    for y in 0..rows as isize {
        for x in 0..columns as isize {
            let here = input.position(image, y - 1, x - 1);
            for (bit, (dy, dx)) in DIRECTIONS.into_iter().enumerate() {
                let there = input.position(image, y - 1 + dy, x - 1 + dx);
                let same = match (here, there) {
                    (Some(here), Some(there)) => here == there,
                    (Some(inside), None) | (None, Some(inside)) => inside.iter().all(|&value| value == 0.0),
                    (None, None) => true,
                };
                equal[y as usize * columns + x as usize] |= u8::from(same) << bit;
            }
        }
    }
    // Two patches are equal where all nine pairs of their positions are.
    for y in 0..height {
        for x in 0..width {
            let mut pair = 0b1111;
            for line in equal[y * columns + x..].chunks(columns).take(3) {
                pair &= line[0] & line[1] & line[2];
                if pair == 0 {
                    break;
                }
            }
            for (bit, (dy, dx)) in DIRECTIONS.into_iter().enumerate() {
                if pair >> bit & 1 == 0 {
                    continue;
                }
                let (there_y, there_x) = (y + dy as usize, x.wrapping_add_signed(dx));
                if there_y < height && there_x < width {
                    repeated[y * width + x] = true;
                    repeated[there_y * width + there_x] = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbouring_patches_are_found_and_no_others() {
        let (height, width, channels) = (9, 11, 2);
        // Columns 0..6 are flat, the rest distinct; one position of the flat part differs.
        let mut values: Vec<f32> = (0..height * width)
            .flat_map(|at| if at % width < 6 { [1.0, 2.0] } else { [at as f32, 0.0] })
            .collect();
        values[(6 * width + 2) * channels] = 9.0;
        let maps = Maps { images: 1, height, width, channels };
        let input = ScaledMaps { values: &values, maps, scales: &[1.0] };
        let repeats = Repeats::find(input);
        let patch = |y: usize, x: usize| -> Vec<f32> {
            let positions = (0..9).map(|tap| (y as isize + tap / 3 - 1, x as isize + tap % 3 - 1));
            positions.flat_map(|(y, x)| input.position(0, y, x).unwrap_or(&[0.0, 0.0]).to_vec()).collect()
        };
        for y in 0..height {
            for x in 0..width {
                let mut expected = false;
                for (ny, nx) in (y.saturating_sub(1)..=y + 1)
                    .flat_map(|ny| (x.saturating_sub(1)..=x + 1).map(move |nx| (ny, nx)))
                {
                    if (ny, nx) != (y, x) && ny < height && nx < width {
                        expected |= patch(ny, nx) == patch(y, x);
                    }
                }
                assert_eq!(repeats.repeated[y * width + x], expected, "at {y}, {x}");
            }
        }
        assert!(repeats.repeated.iter().any(|&repeated| repeated) && !repeats.repeated.iter().all(|&r| r));
    }
}
