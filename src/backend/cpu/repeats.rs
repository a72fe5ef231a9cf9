//! Positions that see the same patch as a neighbour, which Winograd's transforms would tell apart.
//!
//! A plain sum is a function of the patch alone: equal patches give equal bits, and a max-pool over a flat area (a
//! saturated sky, a white background) ties and takes the first position. Winograd rounds each of a tile's positions
//! differently, so ties would fall at random: on a photo with 25 646 tied windows the gradient's cosine dropped to
//! 0.998. So positions whose patch equals that of one of their eight neighbours are summed plainly.

use super::convolution::{ScaledMaps, TAPS};
use super::tiles::{Maps, SIDE, TileRow};
use super::workspace::{Buffer, Workspace};
use crate::parallel;

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
        let Maps { images, height, width, .. } = maps;
        // One bit a direction: does the input position equal its neighbour? On the maps with their borders of zeros.
        let (rows, columns) = (height + 2, width + 2);
        let mut equal = vec![0u8; images * rows * columns];
        parallel::each(equal.chunks_mut(columns).enumerate(), |(line, equal)| {
            let (image, y) = (line / rows, (line % rows) as isize - 1);
            compare_row(input, image, y, equal);
        });
        // Two patches are equal where all nine pairs of their positions are.
        let pair = |image: usize, y: usize, x: usize| {
            let lines = equal[(image * rows + y) * columns..].chunks(columns).take(3);
            lines.fold(0b1111, |pair, line| pair & line[x] & line[x + 1] & line[x + 2])
        };
        let inside =
            |y: isize, x: isize| (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        let mut repeated = vec![false; images * height * width];
        parallel::each(repeated.chunks_mut(width.max(1)).enumerate(), |(line, repeated)| {
            let (image, y) = (line / height, line % height);
            for (x, repeated) in repeated.iter_mut().enumerate() {
                let here = pair(image, y, x);
                *repeated = DIRECTIONS.into_iter().enumerate().any(|(bit, (dy, dx))| {
                    let (y, x) = (y as isize, x as isize);
                    let forward = here >> bit & 1 != 0 && inside(y + dy, x + dx);
                    let backward = || pair(image, (y - dy) as usize, (x - dx) as usize) >> bit & 1 != 0;
                    forward || inside(y - dy, x - dx) && backward()
                });
            }
        });
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

/// Compares the positions of one row, from the border's −1 on, with their neighbours.
fn compare_row(input: ScaledMaps, image: usize, y: isize, equal: &mut [u8]) {
    for (x, bits) in equal.iter_mut().enumerate() {
        let x = x as isize - 1;
        let here = input.position(image, y, x);
        for (bit, (dy, dx)) in DIRECTIONS.into_iter().enumerate() {
            let same = match (here, input.position(image, y + dy, x + dx)) {
                (Some(here), Some(there)) => here == there,
                (Some(inside), None) | (None, Some(inside)) => inside.iter().all(|&value| value == 0.0),
                (None, None) => true,
            };
            *bits |= u8::from(same) << bit;
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
