//! The output of a 3×3 convolution cut into 4×4 tiles, the unit that every algorithm computes and every epilogue
//! consumes. A tile starts at a multiple of four, so it holds four whole 2×2 pooling windows.

/// Side of a tile in output positions.
pub const SIDE: usize = 4;
/// Output positions of a tile.
pub const POSITIONS: usize = SIDE * SIDE;

/// A batch of maps \[images, height, width, channels\].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Maps {
    /// Number of values of the whole batch.
    pub fn len(&self) -> usize {
        self.images * self.image_len()
    }

    /// Number of values of one image.
    pub fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The same batch with another number of channels.
    pub fn with_channels(self, channels: usize) -> Self {
        Maps { channels, ..self }
    }

    /// After 2×2 max-pooling with stride 2: an odd last row or column is in no window.
    pub fn pooled(self) -> Self {
        Maps { height: self.height / 2, width: self.width / 2, ..self }
    }

    /// Rows of tiles that cover one image.
    pub fn tile_rows_per_image(&self) -> usize {
        self.height.div_ceil(SIDE)
    }

    /// Tiles in a row of tiles.
    pub fn tiles_per_row(&self) -> usize {
        self.width.div_ceil(SIDE)
    }

    /// Rows of positions in tile row `tile_y`: four, or fewer at the bottom.
    pub fn rows_in(&self, tile_y: usize) -> usize {
        SIDE.min(self.height - tile_y * SIDE)
    }
}

/// What one row of tiles of one image produces: slices of the output that no other row touches.
pub struct TileRow<'a> {
    pub image: usize,
    pub tile_y: usize,
    /// The float32 output of this row of tiles.
    pub values: &'a mut [f32],
    /// Mask bits or pooling codes of this row of tiles.
    pub codes: &'a mut [u8],
    /// Largest magnitude produced, as [`magnitude_bits`](super::simd::magnitude_bits).
    pub largest: u32,
}

/// Takes the first `len` elements off a slice.
pub fn split_off<'a, T>(slice: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (head, tail) = std::mem::take(slice).split_at_mut(len);
    *slice = tail;
    head
}

/// What happens to the sums of a tile before they are stored.
pub trait Epilogue: Sync {
    /// Lengths of the float32 output and of the codes of tile row `tile_y`.
    fn lengths(&self, tile_y: usize) -> (usize, usize);

    /// Consumes the sums of one tile: position p = 4·dy + dx and channel `first_channel` + c is `sums[p * stride + c]`,
    /// for `channels` channels. `first_channel` is a multiple of 8.
    fn tile(
        &self,
        row: &mut TileRow,
        tile_x: usize,
        sums: &[f32],
        stride: usize,
        first_channel: usize,
        channels: usize,
    );
}

/// Cuts the output into rows of tiles, image by image, top to bottom.
pub fn tile_rows<'a>(
    maps: Maps,
    epilogue: &impl Epilogue,
    mut values: &'a mut [f32],
    mut codes: &'a mut [u8],
) -> Vec<TileRow<'a>> {
    let mut rows = Vec::with_capacity(maps.images * maps.tile_rows_per_image());
    for image in 0..maps.images {
        for tile_y in 0..maps.tile_rows_per_image() {
            let (value_count, code_count) = epilogue.lengths(tile_y);
            rows.push(TileRow {
                image,
                tile_y,
                values: split_off(&mut values, value_count),
                codes: split_off(&mut codes, code_count),
                largest: 0,
            });
        }
    }
    rows
}

/// The largest magnitude of each image over its rows of tiles (a maximum: independent of any order).
pub fn largest_per_image(images: usize, rows: &[TileRow]) -> Vec<u32> {
    let mut largest = vec![0; images];
    for row in rows {
        largest[row.image] = row.largest.max(largest[row.image]);
    }
    largest
}
