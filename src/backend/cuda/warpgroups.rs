//! Convolutions by warpgroups (`kernels/hopper_convolution.cuh`, `kernels/hopper_resident.cuh`): which layers they run, and with which
//! tiles. All tiles sum in the same order, so the choice never changes a bit; whether a layer runs this way depends on its extents alone,
//! never on the batch.

use super::device::{DeviceError, LaunchSize, tensor_map, tensor_map_of_bytes};
use super::float8::{Float8Signals, ROW_CHANNELS};
use super::options::Precision;
use super::params::{
    VGGX_BELOW_POOL, VGGX_CHANNELS, VGGX_HOPPER_SLOTS, VGGX_HOPPER_STAGING, VGGX_HOPPER_THREADS,
    VGGX_RECTIFY_POOL, VggxBoxes, VggxConvolutionBackward, VggxConvolutionForward, VggxHopperBackward,
    VggxHopperForward, VggxOperand, VggxTensorMap,
};
use super::resident;
use super::tiles::Limits;

/// Positions of a tile of [`TILES`]; a block works on two.
pub(super) const POSITIONS: usize = 128;
/// Positions of a warp, which leave as one box, as a power of two.
const WARP_LOG2: usize = 4;
/// Blocks of a cluster, of which each brings a part of the operator to all.
const CLUSTER: usize = 2;
/// Bytes of 64 channels of a position, and of 64 inputs of an output; in float8, of 128. That many products take as long, so tiles are
/// chosen the same way.
pub(super) const ROW: usize = 128;
/// What layers are at least to use of their tiles along the map.
const LEAST_USE: f64 = 0.5;
/// Bytes that the L2 cache gives a multiprocessor in each clock, about (docs/performance.md).
const L2_BYTES: f64 = 30.0;
/// Products of 16-bit elements of a multiprocessor in each clock.
const PRODUCTS: f64 = 2048.0;
/// How much longer 64 outputs multiply: what they read of shared memory.
const NARROW: f64 = 1.25;
/// Clocks of the epilogue of a pair of tiles, about.
const EPILOGUE: f64 = 2500.0;

/// A box of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BoxTile {
    pub width_log2: usize,
    pub height_log2: usize,
    pub images_log2: usize,
    /// Whether rows of the product go along the images before they go along y.
    pub images_between: bool,
}

/// Each holds 128 positions. A step along y is always whole groups of eight rows, after which the pattern of the swizzle repeats.
pub(super) const TILES: [BoxTile; 4] = [
    BoxTile { width_log2: 3, height_log2: 4, images_log2: 0, images_between: false },
    BoxTile { width_log2: 3, height_log2: 3, images_log2: 1, images_between: false },
    BoxTile { width_log2: 2, height_log2: 2, images_log2: 3, images_between: true },
    BoxTile { width_log2: 1, height_log2: 1, images_log2: 5, images_between: true },
];

impl BoxTile {
    /// Tiles along x, y and the images.
    pub fn counts(self, (images, height, width): (usize, usize, usize)) -> [usize; 3] {
        [
            width.div_ceil(1 << self.width_log2),
            height.div_ceil(1 << self.height_log2),
            images.div_ceil(1 << self.images_log2),
        ]
    }

    /// Bytes of 64 channels of a box, with its two rows more.
    pub fn box_bytes(self) -> usize {
        (((1 << self.height_log2) + 2) << (self.width_log2 + self.images_log2)) * ROW
    }

    /// The share of the positions along the map that lie on it.
    pub fn used(self, height: usize, width: usize) -> f64 {
        let [x, y, _] = self.counts((1, height, width));
        let covered = (x << self.width_log2) * (y << self.height_log2);
        (height * width) as f64 / covered as f64
    }

    /// Clocks for each block of 64 channels: of the longer of what a pair of tiles multiplies and what it reads, as often as the busiest
    /// multiprocessor does it. Blocks of a cluster read the operator once for all of them.
    fn cost(
        self,
        cluster: usize,
        extents: (usize, usize, usize),
        outputs: usize,
        multiprocessors: usize,
    ) -> f64 {
        let [products, bytes] = self.pair_clocks(cluster, columns(outputs));
        self.items(cluster, extents, outputs, multiprocessors) as f64 * products.max(bytes)
    }

    /// Clocks in which a pair of tiles multiplies 64 channels, and in which it reads them.
    fn pair_clocks(self, cluster: usize, columns: usize) -> [f64; 2] {
        [pair_products(columns), (2 * 3 * self.box_bytes() + 9 * columns * ROW / cluster) as f64 / L2_BYTES]
    }

    /// Pairs of tiles times blocks of outputs that the busiest multiprocessor does.
    fn items(
        self,
        cluster: usize,
        extents: (usize, usize, usize),
        outputs: usize,
        multiprocessors: usize,
    ) -> usize {
        let items = self.pairs(extents).div_ceil(cluster) * (outputs / columns(outputs));
        items.div_ceil((multiprocessors / cluster).max(1))
    }

    /// Boxes with so many rows more than a tile, of 64 channels (in float8, of 128) of maps \[images, height, width, channels\] with these
    /// extents.
    pub fn map(
        self,
        address: u64,
        extents: (usize, usize, usize),
        channels: usize,
        more: usize,
        float8: bool,
    ) -> Result<VggxTensorMap, DeviceError> {
        let positions = [1 << self.width_log2, (1 << self.height_log2) + more, 1 << self.images_log2];
        self.tensor(address, extents, channels, positions, float8)
    }

    /// Pairs of tiles.
    fn pairs(self, extents: (usize, usize, usize)) -> usize {
        self.counts(extents).iter().product::<usize>().div_ceil(2)
    }

    /// Boxes of as many channels and so many positions along x, y and the images, of the same maps.
    fn tensor(
        self,
        address: u64,
        (count, height, width): (usize, usize, usize),
        channels: usize,
        [x, y, images]: [usize; 3],
        float8: bool,
    ) -> Result<VggxTensorMap, DeviceError> {
        // Extent, elements from one to the next, extent of the box.
        let row = channels * width;
        let along_x = (width, channels, x);
        let along_y = (height, row, y);
        let along_images = (count, row * height, images);
        let [middle, outer] =
            if self.images_between { [along_images, along_y] } else { [along_y, along_images] };
        if float8 {
            tensor_map_of_bytes(address, [(channels, 1, ROW_CHANNELS), along_x, middle, outer])
        } else {
            tensor_map(address, [(channels, 1, VGGX_CHANNELS as usize), along_x, middle, outer])
        }
    }

    /// What a warp stores of a map at an address, box by box; nothing where there is none.
    fn leaving(self, address: u64, operand: &VggxOperand) -> Result<VggxTensorMap, DeviceError> {
        if address == 0 {
            return Ok(VggxTensorMap::default());
        }
        // Its rows go along x first, then on as those of the tile do.
        let x = self.width_log2.min(WARP_LOG2);
        let middle = if self.images_between { self.images_log2 } else { self.height_log2 };
        let middle = middle.min(WARP_LOG2 - x);
        let outer = WARP_LOG2 - x - middle;
        let [y, images] = if self.images_between { [outer, middle] } else { [middle, outer] };
        self.tensor(
            address,
            extents_of(operand),
            operand.outputs as usize,
            [1 << x, 1 << y, 1 << images],
            false,
        )
    }
}

/// Clocks in which a pair of tiles multiplies 64 channels.
fn pair_products(columns: usize) -> f64 {
    (2 * POSITIONS * columns * 64 * 9) as f64 / PRODUCTS
}

/// Images, height and width.
fn extents_of(operand: &VggxOperand) -> (usize, usize, usize) {
    let extent = |extent: i32| extent as usize;
    (extent(operand.images), extent(operand.height), extent(operand.width))
}

/// Where a block has its operator from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operators {
    /// A ring of boxes, copied for each pair of tiles; so many blocks share what each of them copies.
    Ring { cluster: usize },
    /// All of them, copied once.
    Resident,
}

impl Operators {
    /// Blocks of a cluster; 1 without.
    fn cluster(self) -> usize {
        match self {
            Operators::Ring { cluster } => cluster,
            Operators::Resident => 1,
        }
    }
}

/// A tile with what shared memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BoxVariant {
    pub tile: BoxTile,
    pub operators: Operators,
    pub columns: usize,
    pub map_slots: usize,
    pub operator_slots: usize,
    pub size: LaunchSize,
}

/// Output channels of a block.
fn columns(outputs: usize) -> usize {
    if outputs.is_multiple_of(128) { 128 } else { 64 }
}

/// Tiles that may be used, each with the number of blocks of a cluster: these work on different pairs of tiles.
fn candidates(
    extents: (usize, usize, usize),
    pool: bool,
    limits: Limits,
) -> impl Iterator<Item = (BoxTile, usize)> {
    let clusters = if limits.clusters && limits.multiprocessors >= CLUSTER { CLUSTER } else { 1 };
    let of_cluster = move |cluster| {
        let enough = move |tile: &BoxTile| tile.pairs(extents) >= cluster;
        tiles(pool).filter(enough).map(move |tile| (tile, cluster))
    };
    (1..=clusters).flat_map(of_cluster)
}

/// The tiles that may be used; a pool needs whole windows in a warp.
fn tiles(pool: bool) -> impl Iterator<Item = BoxTile> {
    TILES.into_iter().filter(move |tile| !(pool && tile.images_between))
}

/// The share of the positions along a map that lie on it, with the tile that uses most.
fn most_used(height: usize, width: usize, pool: bool) -> f64 {
    tiles(pool).map(|tile| tile.used(height, width)).fold(0.0, f64::max)
}

impl BoxVariant {
    /// For maps of these extents \[images, height, width\] with so many channels, and so many output channels; none where the portable
    /// kernels are to run.
    pub fn choose(
        precision: Precision,
        extents: (usize, usize, usize),
        (channels, outputs): (usize, usize),
        pool: bool,
        limits: Limits,
    ) -> Option<Self> {
        let (_, height, width) = extents;
        if !Self::runs(precision, (height, width), pool, limits) {
            return None;
        }
        let used = most_used(height, width, pool);
        let resident = resident::variant(extents, (channels, outputs), limits);
        if let Some(variant) = resident.filter(|variant| resident::pays(variant, extents, used)) {
            return Some(variant);
        }
        Self::choose_ring(extents, outputs, pool, limits)
    }

    /// The same of kernels with a ring of operators, where warpgroups run the layer.
    pub fn choose_ring(
        extents: (usize, usize, usize),
        outputs: usize,
        pool: bool,
        limits: Limits,
    ) -> Option<Self> {
        // Without clusters where they are no faster: those come first.
        let cost = |&(tile, cluster): &(BoxTile, usize)| {
            tile.cost(cluster, extents, outputs, limits.multiprocessors)
        };
        let cheapest =
            candidates(extents, pool, limits).min_by(|one, other| cost(one).total_cmp(&cost(other)))?;
        Self::of_tile(cheapest, extents, outputs, limits)
    }

    /// Whether warpgroups run layers on maps of these extents \[height, width\].
    pub fn runs(precision: Precision, (height, width): (usize, usize), pool: bool, limits: Limits) -> bool {
        limits.warpgroups && precision != Precision::F32 && most_used(height, width, pool) >= LEAST_USE
    }

    /// Every tile, with clusters and without, for timing them.
    pub fn all(
        extents: (usize, usize, usize),
        (channels, outputs): (usize, usize),
        pool: bool,
        limits: Limits,
    ) -> Vec<Self> {
        let rings = candidates(extents, pool, limits)
            .filter_map(|candidate| Self::of_tile(candidate, extents, outputs, limits));
        rings.chain(resident::variant(extents, (channels, outputs), limits)).collect()
    }

    fn of_tile(
        (tile, cluster): (BoxTile, usize),
        extents: (usize, usize, usize),
        outputs: usize,
        limits: Limits,
    ) -> Option<Self> {
        let columns = columns(outputs);
        let (map_slot, operator_slot) = (2 * tile.box_bytes(), columns * ROW);
        let beside = 8 * VGGX_HOPPER_STAGING as usize + VGGX_HOPPER_SLOTS as usize * 16;
        let rings = limits.shared_memory.checked_sub(beside)?;
        // A box of the map serves three taps: two of them last as long as six boxes of the operator.
        let map_slots = 2;
        let operator_slots = (rings.checked_sub(map_slots * map_slot)? / operator_slot).min(8);
        if operator_slots < 2 {
            return None;
        }
        let items = tile.pairs(extents).div_ceil(cluster) * (outputs / columns);
        let blocks = cluster * items.min(limits.multiprocessors / cluster).max(1);
        let shared = map_slots * map_slot + operator_slots * operator_slot + beside;
        let size = LaunchSize {
            grid: [blocks as u32, 1, 1],
            threads: VGGX_HOPPER_THREADS as u32,
            shared: shared as u32,
        };
        let operators = Operators::Ring { cluster };
        Some(BoxVariant { tile, operators, columns, map_slots, operator_slots, size })
    }

    /// Clocks of the busiest multiprocessor for a layer, about: those of all channels, and the epilogues that nothing runs beside.
    pub fn clocks(
        &self,
        extents: (usize, usize, usize),
        channels: usize,
        outputs: usize,
        limits: Limits,
    ) -> f64 {
        let blocks = channels.div_ceil(64) as f64;
        match self.operators {
            Operators::Ring { cluster } => {
                let [products, bytes] = self.tile.pair_clocks(cluster, self.columns);
                let narrow = if self.columns == 64 { NARROW } else { 1.0 };
                let items = self.tile.items(cluster, extents, outputs, limits.multiprocessors) as f64;
                items * (blocks * bytes.max(products * narrow) + EPILOGUE)
            }
            Operators::Resident => {
                let tiles: usize = self.tile.counts(extents).iter().product();
                // A tile has the positions of a pair of others.
                let products = pair_products(self.columns);
                let bytes = (3 * self.tile.box_bytes()) as f64 / L2_BYTES;
                tiles.div_ceil(self.size.grid[0] as usize) as f64 * blocks * products.max(bytes) + EPILOGUE
            }
        }
    }

    /// The name of the kernel that goes this way, `forward` or `backward`, on such elements.
    pub fn kernel(&self, way: &str, elements: &str) -> String {
        let (family, ending) = match self.operators {
            Operators::Ring { cluster: 1 } => ("hopper", ""),
            Operators::Ring { .. } => ("hopper", "_cluster"),
            Operators::Resident => ("hopper_resident", ""),
        };
        format!("{family}_{way}_{elements}_256x{}{ending}", self.columns)
    }

    /// What a forward kernel takes.
    ///
    /// # Errors
    /// When the driver refuses to describe a tensor.
    pub fn forward(&self, layer: VggxConvolutionForward) -> Result<VggxHopperForward, DeviceError> {
        let pools = layer.epilogue == VGGX_RECTIFY_POOL;
        Ok(VggxHopperForward {
            boxes: self.boxes(&layer.operand, false)?,
            output: self.leaving(if pools { 0 } else { layer.output }, &layer.operand)?,
            pre_activation: self.leaving(layer.pre_activation, &layer.operand)?,
            layer,
        })
    }

    /// What a backward kernel takes.
    ///
    /// # Errors
    /// As [`BoxVariant::forward`].
    pub fn backward(
        &self,
        layer: VggxConvolutionBackward,
        float8: Float8Signals,
    ) -> Result<VggxHopperBackward, DeviceError> {
        let by_threads = layer.below.below == VGGX_BELOW_POOL || float8.output;
        Ok(VggxHopperBackward {
            boxes: self.boxes(&layer.operand, float8.input)?,
            output: self.leaving(if by_threads { 0 } else { layer.below.output }, &layer.operand)?,
            layer,
        })
    }

    /// What leaves by boxes: all of a map but what kernels with resident operators store, which do it thread by thread.
    fn leaving(&self, address: u64, operand: &VggxOperand) -> Result<VggxTensorMap, DeviceError> {
        match self.operators {
            Operators::Ring { .. } => self.tile.leaving(address, operand),
            Operators::Resident => Ok(VggxTensorMap::default()),
        }
    }

    /// The boxes for an operand that lies on a device.
    fn boxes(&self, operand: &VggxOperand, float8: bool) -> Result<VggxBoxes, DeviceError> {
        let BoxTile { width_log2, height_log2, images_log2, images_between } = self.tile;
        let channels = operand.channels as usize;
        let map = self.tile.map(operand.input, extents_of(operand), channels, 2, float8)?;
        let depth = 9 * channels;
        let columns = (operand.outputs as usize, depth, self.columns / self.operators.cluster());
        let operator_ = if float8 {
            tensor_map_of_bytes(operand.operator_, [(depth, 1, ROW_CHANNELS), columns])?
        } else {
            tensor_map(operand.operator_, [(depth, 1, VGGX_CHANNELS as usize), columns])?
        };
        Ok(VggxBoxes {
            map,
            operator_,
            tile_width_log2: width_log2 as i32,
            tile_height_log2: height_log2 as i32,
            tile_images_log2: images_log2 as i32,
            images_between: i32::from(images_between),
            map_slots: self.map_slots as i32,
            operator_slots: self.operator_slots as i32,
        })
    }
}

/// A kernel with its tile, for people.
pub(super) fn label(kernel: &str, boxes: &VggxBoxes) -> String {
    let [width, height, images] = [boxes.tile_width_log2, boxes.tile_height_log2, boxes.tile_images_log2];
    format!("{kernel}, {}×{} of {} images", 1 << width, 1 << height, 1 << images)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Limits =
        Limits { multiprocessors: 132, shared_memory: 227 << 10, warpgroups: true, clusters: true };

    fn tile(extents: (usize, usize, usize)) -> [usize; 3] {
        let variant = BoxVariant::choose(Precision::F16, extents, (512, 512), false, H200)
            .expect("it runs by warpgroups");
        [variant.tile.width_log2, variant.tile.height_log2, variant.tile.images_log2]
    }

    #[test]
    fn maps_get_the_tiles_that_fit_them() {
        assert_eq!(tile((64, 224, 224)), [3, 4, 0]);
        assert_eq!(tile((64, 112, 112)), [3, 4, 0]);
        assert_eq!(tile((64, 56, 56)), [3, 3, 1]);
        // A quarter of what larger tiles cover would lie beside these.
        assert_eq!(tile((64, 28, 28)), [2, 2, 3]);
        assert_eq!(tile((256, 14, 14)), [1, 1, 5]);
        // Small tiles read more; either way there are two rounds of 132 blocks, or one.
        assert_eq!(tile((64, 14, 14)), [3, 4, 0]);
        assert_eq!(tile((1, 14, 14)), [3, 4, 0]);
    }

    #[test]
    fn the_batch_never_decides_whether_warpgroups_run_a_layer() {
        // With clusters or without: the same bits.
        let extents = [(1, 1), (1, 7), (2, 2), (3, 3), (7, 13), (5, 1), (224, 224)];
        for ((height, width), pool) in
            extents.into_iter().flat_map(|extents| [(extents, false), (extents, true)])
        {
            let runs = |images| {
                BoxVariant::choose(Precision::F16, (images, height, width), (64, 64), pool, H200)
                    .map(|variant| variant.operators == Operators::Resident)
            };
            assert!((1..100).all(|images| runs(images) == runs(1)), "{height}×{width}");
        }
        assert!(BoxVariant::choose(Precision::F16, (64, 1, 1), (64, 64), false, H200).is_none());
        assert!(BoxVariant::choose(Precision::F32, (64, 56, 56), (64, 64), false, H200).is_none());
        let without = Limits { warpgroups: false, ..H200 };
        assert!(BoxVariant::choose(Precision::F16, (64, 56, 56), (64, 64), false, without).is_none());
    }

    #[test]
    fn clusters_run_what_the_l2_cache_limits() {
        let cluster = |extents, outputs, limits| {
            // More channels than a resident operator may have.
            let variant = BoxVariant::choose(Precision::F16, extents, (256, outputs), false, limits);
            variant.expect("it runs").operators.cluster()
        };
        // 295 and 344 kB for 9216 clocks of products are too much, 258 and 270 are not.
        assert_eq!(cluster((64, 28, 28), 512, H200), 2);
        assert_eq!(cluster((256, 14, 14), 512, H200), 2);
        assert_eq!(cluster((64, 112, 112), 128, H200), 1);
        assert_eq!(cluster((64, 56, 56), 256, H200), 1);
        // 184 kB for 4608 are.
        assert_eq!(cluster((64, 224, 224), 64, H200), 2);
        // One pair of tiles has nobody to share with.
        assert_eq!(cluster((1, 14, 14), 512, H200), 1);
        for limits in [Limits { clusters: false, ..H200 }, Limits { multiprocessors: 1, ..H200 }] {
            assert_eq!(cluster((64, 28, 28), 512, limits), 1);
            assert!(
                BoxVariant::all((64, 28, 28), (512, 512), false, limits)
                    .iter()
                    .all(|one| one.operators.cluster() == 1)
            );
        }
        let both = BoxVariant::all((64, 28, 28), (512, 512), false, H200);
        assert_eq!(both.iter().filter(|one| one.operators.cluster() == CLUSTER).count(), TILES.len());
    }

    #[test]
    fn rings_fit_into_shared_memory_and_their_barriers() {
        for outputs in [64, 128, 192, 512] {
            for variant in BoxVariant::all((64, 28, 28), (512, outputs), false, H200) {
                assert!(variant.size.shared as usize <= H200.shared_memory, "{variant:?}");
                assert!(variant.map_slots + variant.operator_slots <= VGGX_HOPPER_SLOTS as usize);
                assert_eq!(outputs % variant.columns, 0);
                assert_eq!(variant.size.grid, [132, 1, 1]);
            }
        }
        let odd = Limits { multiprocessors: 13, ..H200 };
        for variant in BoxVariant::all((64, 28, 28), (512, 512), false, odd) {
            let expected = match variant.operators {
                Operators::Ring { cluster: 1 } => 13,
                Operators::Ring { .. } => 12,
                Operators::Resident => continue,
            };
            assert_eq!(variant.size.grid, [expected, 1, 1]);
        }
        let few = BoxVariant::choose(Precision::F16, (1, 14, 14), (512, 512), false, H200).expect("it runs");
        assert_eq!(few.size.grid, [4, 1, 1]);
    }
}
