// Launch parameters: one plain structure a kernel, passed by value. Rust reads this file through bindgen.
//
// Words used throughout
//
//   Element    the type that activations and signals are stored in: float16, bfloat16 or float; where it is said, float8 (float8.cuh).
//   channels   are padded to a multiple of VGGX_CHANNELS (64) everywhere but in images; what is padded holds zeros, both
//              in maps and in operators. A map is [images, height, width, channels], channels innermost (NHWC).
//   addresses  are device addresses in integers; 0 stands for "none" where a member says it may be absent.
//
// Powers of two. ReLU networks are positively homogeneous, so every map is stored times a power of two of its own for
// each image, chosen so that nothing can overflow: true value = stored value * 2^exponent[image]. `largest[image]` holds
// the bits of the largest magnitude that was stored (bits of non-negative floats are ordered like the floats, so an
// integer atomicMax gives it whatever the order of the threads), or an upper bound of it. With it, the sum of |operator| over a row and the
// bias, a kernel bounds what it is about to store before it computes it, and picks the exponent under which that bound is
// just below 2^VGGX_STORED_LOG2. See scale.cuh. Results therefore depend on nothing but the image itself.
#ifndef VGGX_PARAMS_H
#define VGGX_PARAMS_H

#include <stdint.h>

// Multiple that channels are padded to.
#define VGGX_CHANNELS 64
// Stored values stay below 2^15 in magnitude; float16 ends at 65504.
#define VGGX_STORED_LOG2 15
// Operators are scaled so that their largest magnitude lies in [2^14, 2^15): float16 then is normal down to 2^-28 of it.
// In float8 it lies in [2^7, 2^8).
#define VGGX_OPERATOR_LOG2 15
// Depth of the image's operator: 9 taps * 3 channels, padded.
#define VGGX_IMAGE_DEPTH 32
// Bytes of a row of a shared-memory tile of the convolution: one stage of the pipeline holds so much of each row.
#define VGGX_ROW_BYTES 64

typedef uint64_t vggx_address;

// What a map carries besides its values.
typedef struct {
    vggx_address largest;  // uint32 [images]: bits of the largest stored magnitude; must be 0 before a kernel writes it
    vggx_address exponent; // int32 [images]
} VggxScale;

// The operand side of a convolution (taps = 9) or of a dense layer (taps = 1, height = width = 1, channels = fan-in).
typedef struct {
    vggx_address input;    // Element [images, height, width, channels]
    VggxScale input_scale;
    // Element [outputs, taps * channels]: the row of an output channel holds tap after tap (3 * row + column, as in a
    // correlation: tap (r, c) meets the input at (y + r - 1, x + c - 1)), channels innermost.
    vggx_address operator_;
    float operator_bound;  // at least the largest sum of |stored operator| over a row
    int32_t operator_gain; // true operator = stored operator * 2^operator_gain
    int32_t images;
    int32_t height;
    int32_t width;
    int32_t channels;      // of the input, padded
    int32_t outputs;       // output channels, padded
    int32_t taps;          // 9 or 1
    int32_t stages;        // of the pipeline: 2..8. Dynamic shared memory of a block: the larger of the ring, stages *
                           // (rows + columns of the tile) * VGGX_ROW_BYTES, and of what the epilogue stages, rows * columns *
                           // sizeof(Element); plus the table of rows, 16 bytes each
    int32_t reserved;
} VggxOperand;

// What convolution_forward does with its sums.
#define VGGX_RECTIFY 0      // z = sum + bias; stores max(z, 0) as Element, and mask
#define VGGX_RECTIFY_POOL 1 // the same, then 2x2 max-pool with stride 2 (odd last row and column dropped); stores the pooled value,
                            // its mask bit and its argmax (2 * row + column, first in scan order on ties, over the ReLU'd float32 values)
#define VGGX_LINEAR 2       // stores z as float (no ReLU, no mask): the last dense layer

// convolution_forward_{f16,bf16}_{256x64,128x128,128x256}, convolution_forward_f32_{256x64,128x128}; tile rows x tile
// columns. Grid (ceil(rows / tile rows) * ceil(outputs / tile columns)), one-dimensional, where rows = images * height *
// width, with VGGX_RECTIFY_POOL images * ceil(height / 2) * ceil(width / 2) * 4; 128 threads (256 for 128x256).
//
// Bits lie in the order of the accumulator fragment: of the 64 channels of a group, word q (0..3) has in bit 2 * j + e the
// channel 8 * j + 2 * q + e (j = 0..7, e = 0, 1).
typedef struct {
    VggxOperand operand;
    vggx_address bias;     // float [outputs], true units
    float bias_bound;      // largest |bias|
    int32_t epilogue;      // VGGX_RECTIFY, VGGX_RECTIFY_POOL or VGGX_LINEAR
    vggx_address output;   // Element (VGGX_LINEAR: float) [images, h, w, outputs], h and w after pooling
    VggxScale output_scale;
    vggx_address mask;     // uint16 [images, h, w, outputs / 64, 4]: z > 0; with pooling of the pooled value
    vggx_address argmax;   // VGGX_RECTIFY_POOL: uint32 [images, h, w, outputs / 64, 4]: bits 2 * (2 * j + e) and the next
    // Element [images, height, width, outputs], or 0: z itself, signed and before the pool, with the output's exponents; a positive
    // one that would round to zero becomes the smallest positive number, so that stored values are positive where z is.
    vggx_address pre_activation;
} VggxConvolutionForward;

// What passes a ReLU on the way back (bits of VggxBackward.gate).
#define VGGX_GATE_MASK 1 // where the forward mask is set
#define VGGX_GATE_SIGN 2 // where the signal is positive

// What lies below the layer whose operator was just applied.
#define VGGX_BELOW_NOTHING 0   // stores the sum as it is (a map that is averaged or flattened first)
#define VGGX_BELOW_RECTIFIER 1 // gates, stores
#define VGGX_BELOW_POOL 2      // gates, stores at the argmax of the unpooled map and zeros everywhere else, an odd last row and column included

typedef struct {
    int32_t gate;          // VGGX_GATE_*
    int32_t below;         // VGGX_BELOW_*
    vggx_address mask;     // as written by convolution_forward, of the map that the signal arrives at
    vggx_address argmax;   // VGGX_BELOW_POOL
    int32_t unpooled_height; // VGGX_BELOW_POOL: extents of the map under the pool
    int32_t unpooled_width;
    vggx_address output;   // Element [images, h, w, outputs]
    VggxScale output_scale;
} VggxBelow;

// convolution_backward_*, as convolution_forward_*; grid as forward without pooling. The operator is the rotated,
// transposed one.
typedef struct {
    VggxOperand operand;
    VggxBelow below;
} VggxConvolutionBackward;

// What TMA copies of a tensor at a time, as cuTensorMapEncodeTiled writes it.
typedef struct __attribute__((aligned(128))) {
    uint64_t words[16];
} VggxTensorMap;

// Convolutions by warpgroups (compute capability 9.0): how positions are put together to tiles, and what is copied for them.
//
// A tile is a box of 2^tile_width_log2 x 2^tile_height_log2 positions of 2^tile_images_log2 images, 128 in all (256 of
// hopper_resident_*); tiles follow each other along x, then y, then images, and reach over the borders. What is copied has two rows more:
// shifted by a column of the taps, it serves the three taps of that column. Rows of the product go along x, then y, then images, or with
// `images_between` along x, then images, then y: then a step along y is whole groups of eight rows for narrow tiles too, but no warp
// holds whole windows of a pool. Sums go over blocks of 64 channels, in each over the columns of the taps, in each over their rows.
typedef struct {
    VggxTensorMap map;       // of operand.input as [images, height, width, channels], or [height, images, width, channels] with
                             // images_between; boxes of 64 channels and a tile with two rows more, 128-byte swizzle
    VggxTensorMap operator_; // of operand.operator_ as [outputs, 9 * channels]; boxes of 64 x the columns of the kernel, half of them for
                             // hopper_*_cluster, 128-byte swizzle
    int32_t tile_width_log2; // 3 without images_between; 4 of hopper_resident_*
    int32_t tile_height_log2; // at least 1
    int32_t tile_images_log2; // 0 or 1 without images_between
    int32_t images_between;  // 1 or 0; 0 with VGGX_RECTIFY_POOL
    int32_t map_slots;       // of a ring: each holds the boxes of two tiles; of hopper_resident_*, of one
    int32_t operator_slots;  // of a ring: each holds a box of the operator; hopper_resident_*: all 9 * channels / 64 of them
} VggxBoxes;

// Threads of hopper_*: a warpgroup that copies, and two that multiply a tile each.
#define VGGX_HOPPER_THREADS 384
// Bytes that each of the eight multiplying warps stages results in: 16 positions of 64 channels in float32.
#define VGGX_HOPPER_STAGING 4096
// The most slots of both rings.
#define VGGX_HOPPER_SLOTS 32

// hopper_forward_{f16,bf16}_{256x64,256x128}: positions x outputs of a block, as convolution_forward with taps = 9, epilogues VGGX_RECTIFY
// and VGGX_RECTIFY_POOL; outputs are a multiple of the columns. Any grid along x: blocks take pairs of tiles, for all columns one after the
// other, until none is left. Dynamic shared memory: map_slots * 2 * 128 * (positions of a box) + operator_slots * columns * 128 +
// 8 * VGGX_HOPPER_STAGING + VGGX_HOPPER_SLOTS * 16. layer.operand.stages is not used.
//
// hopper_forward_{f16,bf16}_{256x64,256x128}_cluster: the same by clusters of two blocks, which take different pairs of tiles for the same
// columns and bring each other half of the operator. The grid is a multiple of two.
//
// Maps of the layer's own extents leave hopper_{forward,backward}_* by TMA: a box holds 64 channels of the 16 positions of a warp, which
// are two rows or two images of a tile 8 wide, and so on for others; dimensions and swizzle are those of boxes.map. hopper_resident_*
// stores them itself and does not use these.
typedef struct {
    VggxBoxes boxes;
    VggxTensorMap output;    // of layer.output; not used with VGGX_RECTIFY_POOL
    VggxTensorMap pre_activation; // of layer.pre_activation; not used where there is none
    VggxConvolutionForward layer;
} VggxHopperForward;

// hopper_backward_{f16,bf16}_{256x64,256x128}{,_cluster}: the same as convolution_backward. hopper_backward_{f16_to_f8,f8}_256x128 and
// hopper_backward_f8_to_f16_{256x64,256x128}, each {,_cluster}: the input is float8, or the output, or both. An input in float8 comes with an
// operator in float8, channels that are a multiple of 128, and boxes of 128 channels; sums go over blocks of so many. Values stored in
// float8 are at most 2^8 (stored_log2 in float8.cuh), largest and exponent as ever; they do not leave by boxes.
typedef struct {
    VggxBoxes boxes;
    VggxTensorMap output;    // of layer.below.output; not used with VGGX_BELOW_POOL
    VggxConvolutionBackward layer;
} VggxHopperBackward;

// hopper_resident_forward_{f16,bf16}_256x64, hopper_resident_backward_{f16,bf16}_256x64: the same with the whole operator of 64 outputs in
// shared memory, and tiles of 16 x 16 positions of one image, one a warpgroup, in turn. Grid (any number, outputs / 64): blocks keep their
// outputs. Dynamic shared memory: operator_slots * 64 * 128 + map_slots * 128 * (positions of a box) + 2 * VGGX_RESIDENT_EXCHANGE +
// VGGX_HOPPER_SLOTS * 16. At most VGGX_HOPPER_SLOTS - 3 map slots.
//
// Bytes through which the warps of a warpgroup tell each other bits: 16 a thread.
#define VGGX_RESIDENT_EXCHANGE 2048

// convolution_image_{f16,bf16,f32}: the first layer. Grid (images * ceil(height / 8) * ceil(width / 32) * outputs / 64), 128 threads: a
// block has 64 outputs at 8x32 positions of an image.
// operand.input is Element [images, height, width, 3], operand.operator_ is Element [outputs, VGGX_IMAGE_DEPTH] with depth
// 3 * tap + channel; operand.channels, taps and stages are not used. Dynamic shared memory: (320 * VGGX_IMAGE_DEPTH + 4 * 32 * 64) *
// sizeof(Element) + 256 * 16.
// Parameters: VggxConvolutionForward.

// Pixels of a block of signal_image_{f16,bf16}.
#define VGGX_SIGNAL_ROWS 16
#define VGGX_SIGNAL_COLUMNS 62

// The last backward step, from the first layer's output to the image, no gate.
// signal_image_{f16,bf16}: grid (ceil(width / VGGX_SIGNAL_COLUMNS), ceil(height / VGGX_SIGNAL_ROWS), images), 128 threads. Shared
// memory: VGGX_SIGNAL_ROWS * 9 * (VGGX_SIGNAL_COLUMNS + 6) * 4 + 28 * 32 * 8.
// signal_image_f32: grid (ceil(width / 32), ceil(height / 8), images), 256 threads. Shared memory: 10 * 34 * 64 * 4 + 9 * 64 * 16.
typedef struct {
    vggx_address input;    // Element [images, height, width, channels]
    VggxScale input_scale;
    vggx_address operator_; // float [9, channels, 4]: rotated taps; the fourth value is zero
    float operator_bound;
    int32_t operator_gain;
    int32_t images;
    int32_t height;
    int32_t width;
    int32_t channels;      // padded
    vggx_address output;   // float [images, 3, height, width], channels in the network's order
    VggxScale output_scale;
} VggxSignalImage;

// normalise_{f16,bf16,f32}: (u8 * pixel_scale / 255 - mean) / std. Grid (ceil(images * positions / 1024)), 256 threads: 4 pixels a
// thread. The value is read from a table that the host computed in float64 and divided by 2^exponent: table[channel of the
// network][u8], in stored units.
typedef struct {
    vggx_address pixels;   // uint8 [images, positions, 3], red, green, blue
    vggx_address table;    // float [3, 256]
    vggx_address output;   // Element [images, positions, 3], channels in the network's order
    VggxScale output_scale; // writes both for every image: the bound below, rounded to Element, and `exponent`
    uint32_t largest;      // bits of the largest |table value|
    int32_t exponent;
    int32_t images;
    int32_t positions;     // of one image
    int32_t reversed;      // 1: the network takes blue, green, red
    int32_t reserved;
} VggxNormalise;

// interleave_{f16,bf16,f32}: planes of floats that are normalised already. Grid (ceil(images * positions / 256)), 256 threads.
// The host has divided by 2^exponent and has uploaded exponents and largest (rounded up to Element) itself.
typedef struct {
    vggx_address planes;   // float [images, 3, positions]
    vggx_address output;   // Element [images, positions, 3]
    int32_t images;
    int32_t positions;
} VggxInterleave;

// Images that lie on the device already, each where its owner put it.
typedef struct {
    vggx_address address;  // of the first row; 0: an image of zeros, which fills up a part
    int64_t row_stride;    // bytes from row to row, any number of them of bytes, a multiple of 4 of floats
} VggxSource;

// gather_bytes: rows of red, green, blue, packed as normalise takes them. Grid (ceil(3 * positions / 1024), images), 256 threads.
// gather_largest: raises `bits` to those of the largest magnitude of each image, infinity or NaN among them. Of planes of floats, three
// times `height` rows. Grid (ceil(3 * positions / 2048), images), 256 threads: 8 values a thread.
// gather_planes_{f16,bf16,f32}: what the host and interleave do with planes of its own: divided by the power of two that makes the largest as
// large as is stored, rounded to float, then to Element; zeros where a value is not finite. Grid (ceil(positions / 1024), images), 256
// threads: 4 pixels a thread.
typedef struct {
    vggx_address sources;  // VggxSource [images]
    vggx_address output;   // gather_bytes: uint8 [images, positions, 3]; gather_planes: Element [images, positions, 3]
    VggxScale output_scale; // gather_planes writes both for every image
    vggx_address bits;     // uint32 [images]; must be 0 before gather_largest, read by gather_planes
    vggx_address counted;  // uint32 [images], or 0; gather_planes: 1 for images whose values are all finite, 0 for others
    int32_t images;
    int32_t height;
    int32_t width;
    int32_t reserved;
} VggxGather;

// Moments (src/backend/moments.rs, which defines x, y, z and the regimes). A batch adds to accumulators in float64, by kernels
// in this order, every sum in an order that depends on nothing but the extents:
//
//   moment_factors      brings the images of the batch, which have different exponents, to common ones
//   moment_inputs       sum of x, of every tap
//   moment_regimes      positions and sum of z of both regimes; from these the pilots c, the means of z rounded to Element
//   moment_deviations   sums of g and g * g, where g = (z - c) / 2, rounded to Element, stands for y: z - b = 2 * g + c - b
//   moments             sums of x * g in both regimes and of x in the one with fewer positions
//
// The maps of a layer.
typedef struct {
    vggx_address input;    // Element [images, height, width, channels]; of the first layer [images, height, width, 3]
    vggx_address input_exponent; // int32 [images]
    vggx_address pre_activation; // Element [images, height, width, outputs]: z
    vggx_address pre_activation_exponent; // int32 [images]
    vggx_address counted;  // uint32 [images]: 1, or 0 where an image does not count; its maps must still be finite
    // By moment_factors, E being the largest exponent of the images that count:
    vggx_address factors;  // float [2, images]: 2^(exponent - E) of the input and of z; 0 where an image does not count
    vggx_address common;   // int32 [4]: E of the input, E of z, the number of images that count, 0
    int32_t images;
    int32_t height;
    int32_t width;
    int32_t channels;      // of the input, padded; 3 in the first layer
    int32_t outputs;       // padded
    int32_t taps;          // 9, or 1 in a dense layer (height = width = 1, channels = fan-in)
} VggxMomentMaps;

// moment_factors: takes VggxMomentMaps. Grid (1), 32 threads.

// Positions are split into `slices` slices of `slice_positions`; what a slice sums up is a row of `partials`.
//
// moment_inputs_{f16,bf16,f32}: sums over regions of the map: 0 all of it, and with taps = 9 also 1 the first row, 2 the last row,
// 3 the first column, 4 the last column, 5 to 8 the corners top left, top right, bottom left, bottom right.
// Grid (slices, channels / 64, regions), 256 threads. moment_inputs_image_*: channels = 3; grid (slices, 1, 9), 256 threads.
// Shared memory: 8 * 64 * 8 bytes.
// moment_inputs_taps: sums the slices, and from regions makes the sums of the taps, whose patches end at the map's border.
// Grid (ceil(channels / 8)), 256 threads: a warp a channel.
typedef struct {
    VggxMomentMaps maps;
    vggx_address partials; // double [regions, slices, channels]
    vggx_address batch_sums; // double [taps * channels]: of this batch, true units; written
    vggx_address sums;     // double [taps * channels]: added to
    int32_t slice_positions; // of the region of all positions; smaller regions need fewer slices
    int32_t slices;
} VggxMomentInputs;

// moment_regimes_{f16,bf16,f32}: per neuron the positive positions and the sums of z of both regimes: partials [slices, 3,
// outputs]. Grid (slices, outputs / 64), 256 threads. Shared memory: 8 * 3 * 64 * 8 bytes.
// moment_pilots_{f16,bf16,f32}: sums the slices; writes counts and pilots. Grid (ceil(outputs / 8)), 256 threads.
// moment_deviations_{f16,bf16,f32}: per neuron the sums of g, g * g where z > 0, then elsewhere: partials [slices, 4, outputs]. Grid as
// moment_regimes. Shared memory: 8 * 4 * 64 * 8 bytes.
// moment_responses: sums the slices, and adds counts and the sums of y. Grid as moment_pilots.
typedef struct {
    VggxMomentMaps maps;
    vggx_address bias;     // float [outputs], true units
    vggx_address partials; // double [slices, 3 or 4, outputs]
    vggx_address pilots;   // float [2, outputs]: c of the positive and of the negative regime, times 2^-(E of z)
    vggx_address counts;   // double [outputs]: positive positions of this batch
    vggx_address positive_count; // double [outputs], as the following; all are added to
    vggx_address positive_y;
    vggx_address positive_yy;
    vggx_address negative_y;
    vggx_address negative_yy;
    int32_t slice_positions;
    int32_t slices;
} VggxMomentResponses;

// moments_convolution_{f16,bf16,f32}, moments_dense_{f16,bf16,f32}: a block has 192 rows of the fan-in (three neighbouring taps of 64
// channels, or 3 * 64 channels), 64 neurons and one chunk of positions. With one chunk it adds to the accumulators itself; else
// its sums go to `partials`, which moments_flush adds. Grid (chunks * tiles * outputs / 64), one-dimensional, tiles = 3 *
// channels / 64 or ceil(channels / 192); 384 threads. Dynamic shared memory, each term rounded up to a multiple of 128:
// stages * (rows + P) * 64 * sizeof(Element) + stages * P * 8 + stages * P * sizeof(Element) + stages * P + 64 * sizeof(Element),
// P = 128 / sizeof(Element) positions a stage, rows = P + 2 of a convolution, 3 * P of a dense layer.
// moments_image_{f16,bf16,f32}: the first layer, whose fan-in has VGGX_IMAGE_DEPTH rows (depth 3 * tap + channel; what is padded
// stays zero). Grid (chunks * outputs / 64), 128 threads. Shared memory: 128 * (32 + 64) * sizeof(Element) + 128 * 8 + 128 * sizeof(Element).
// moments_flush: Grid (ceil(fan-in * outputs / 256)), 256 threads.
#define VGGX_CHUNK_POSITIONS 4096 // the most positions that are summed in float32
typedef struct {
    VggxMomentMaps maps;
    vggx_address bias;     // float [outputs], true units
    vggx_address pilots;   // of VggxMomentResponses, as the counts
    vggx_address counts;
    vggx_address input_sums; // double [fan-in]: batch_sums of VggxMomentInputs; of the first layer, zeros behind its 27
    vggx_address partials; // float [chunks, 3, fan-in, outputs]: x * g positive, x of the rarer regime, x * g negative; 0 where
                           // one chunk is added at once
    vggx_address positive_x; // double [fan-in, outputs], as the following; fan-in = tap * channels + channel
    vggx_address positive_xy;
    vggx_address negative_xy;
    int32_t chunk_positions; // at most VGGX_CHUNK_POSITIONS, a multiple of 128
    int32_t chunks;
    int32_t stages;        // of the pipeline: 3 to 8 of a convolution, 2 to 8 of a dense layer
    int32_t reserved;
} VggxMoments;

// Threads of hopper_moments_*: a warpgroup that copies, and one for each of the three products.
#define VGGX_HOPPER_MOMENT_THREADS 512

// hopper_moments_{f16,bf16}: what moments_convolution does, by warpgroups (compute capability 9.0), always into partials, of one chunk
// too. Positions are taken tile after tile (VggxBoxes), and within a tile in the order of its rows; a chunk is chunk_positions / 128 tiles.
// A block has the three taps of a column of the kernel, 64 channels and 64 neurons of one chunk, and then another one: any grid along x,
// of at most chunks * 3 * channels / 64 * outputs / 64 blocks. Dynamic shared memory, with S = layer.stages: S * (128 * positions of a
// box + 128 * 128) + S * 128 * 8 + S * 128 * sizeof(Element) + S * 16, each term rounded up to a multiple of 128.
typedef struct {
    VggxTensorMap input;   // of layer.maps.input as VggxBoxes.map: boxes of 64 channels and a tile with two rows more
    VggxTensorMap pre_activation; // of layer.maps.pre_activation in the same way: boxes of 64 neurons and a tile
    int32_t tile_width_log2; // as VggxBoxes
    int32_t tile_height_log2;
    int32_t tile_images_log2;
    int32_t images_between;
    VggxMoments layer;     // stages: slots of the ring, each of a tile; 2 or more
} VggxHopperMoments;

// average_pool_{f16,bf16,f32}: torch's adaptive average pool to side x side, flattened [row, column, channel]. Averages do
// not exceed the largest input, so the output has the input's scale. Sums in float32, row by row.
// Grid (ceil(side * side * channels / 2048), images), 256 threads: 8 channels a thread.
// average_pool_backward_*: each window's signal over its number of positions, summed where windows overlap, then
// VggxBelow at the map. Grid (ceil(height * width * channels / 2048), images), 256 threads.
typedef struct {
    vggx_address input;    // Element: forward [images, height, width, channels], backward [images, side, side, channels]
    VggxScale input_scale;
    float bound;           // backward: at least the sum of one position's shares (scale.cuh)
    int32_t images;
    int32_t height;
    int32_t width;
    int32_t channels;      // padded
    int32_t side;
    vggx_address output;   // forward: Element [images, side, side, channels]
    VggxBelow below;       // backward: everything stored goes through it; forward: not used
} VggxAveragePool;

// unpool_{f16,bf16,f32}: VggxBelow applied to a map that is there already (a start, or an average pool that is the
// identity). The output's exponents are the input's, and its largest the input's.
// Grid (ceil(height * width * channels / 2048), images), 256 threads: 8 channels a thread.
typedef struct {
    vggx_address input;    // Element [images, height, width, channels]
    VggxScale input_scale;
    int32_t images;
    int32_t height;
    int32_t width;
    int32_t channels;      // padded
    VggxBelow below;
} VggxUnpool;

// channel_sums_{f16,bf16,f32}: the responses of a headless network, summed in double in scan order.
// Grid (ceil(images * channels / 128)), 128 threads.
typedef struct {
    vggx_address input;    // Element [images, positions, channels]
    vggx_address output;   // double [images, channels], stored units
    int32_t images;
    int32_t positions;
    int32_t channels;      // padded
    int32_t reserved;
} VggxChannelSums;

// start_{f16,bf16,f32}: what a backward pass starts with: zeros everywhere but at the target's channel, where it is one
// or the activation. Writes scale too: one is stored as 1 with exponent 0; activations keep their scale. A negative target is none.
// Grid (ceil(positions * channels / 2048), images), 256 threads: 8 channels a thread.
typedef struct {
    vggx_address targets;  // int32 [images]
    vggx_address activations; // Element [images, positions, channels], or 0: one
    VggxScale activations_scale;
    vggx_address output;   // Element [images, positions, channels]
    VggxScale output_scale;
    int32_t images;
    int32_t positions;
    int32_t channels;      // padded
    int32_t reserved;
} VggxStart;

// output_planes: brings every image's largest magnitude into [1/2, 1) by its power of two, in place, then multiplies
// with the image's factor (the mantissa of a response; absent: one). Adds the power to the exponents.
// Grid (ceil(3 * positions / 1024), images), 256 threads: 4 values a thread.
// output_heat_map: writes the sum over the three planes to `heat_map`, scaled like the planes: of each as output_planes would leave
// it, in double, rounded once. It reads them as they are before output_planes. Sums stay below 3.
// Grid (ceil(positions / 1024), images), 256 threads.
typedef struct {
    vggx_address values;   // float [images, 3, positions]
    VggxScale scale;       // as left by signal_image; read
    vggx_address factors;  // float [images], in [1/2, 1) or (-1, -1/2], or 0
    vggx_address heat_map; // float [images, positions]; output_heat_map
    vggx_address exponents; // int32 [images]; written: the exponent after scaling
    int32_t images;
    int32_t positions;     // of one plane
} VggxOutput;

// Explanations that stay on the device, in memory of their owner: red, green, blue, of what output_planes and output_heat_map leave.
//
// deliver_largest: raises `bits` to those of the largest magnitude of each image. Grid (ceil(channels * positions / 2048), images), 256
// threads: 8 values a thread.
// deliver_f32: the numbers that the host would make of them (src/explain/fold.rs): the power of two is multiplied in where the largest
// magnitude then is a normal float. deliver_f16: divided by one more power of two, which brings the largest magnitude into
// [2^14, 2^15), and rounded to float16; zeros where all are. Grid (ceil(channels * positions / 1024), images), 256 threads: 4 values a thread.
typedef struct {
    vggx_address values;   // float [images, channels, positions]
    vggx_address exponents; // int32 [images]: of the values
    vggx_address joins;    // int32 [images]: added to them
    vggx_address bits;     // uint32 [images]; must be 0 before deliver_largest
    vggx_address destinations; // address [images] of float or float16 [channels, positions]; 0: none
    vggx_address scales;   // int32 [images]: written, the exponent that is left
    int32_t images;
    int32_t channels;      // 3, or 1 of heat maps
    int32_t positions;
    int32_t reversed;      // 1: channels of the values are blue, green, red
} VggxDeliver;

// Types of the elements of a file.
#define VGGX_F32 0
#define VGGX_F16 1
#define VGGX_BF16 2

// Layouts that operators are prepared in.
#define VGGX_LAYOUT_FORWARD 0        // Element [outputs, taps * inputs], both padded
#define VGGX_LAYOUT_BACKWARD 1       // Element [inputs, taps * outputs], both padded, taps rotated by half a turn
#define VGGX_LAYOUT_IMAGE_FORWARD 2  // Element [outputs padded, VGGX_IMAGE_DEPTH]
#define VGGX_LAYOUT_IMAGE_BACKWARD 3 // float [9, outputs padded, 4], taps rotated

// prepare_operator_{f16,bf16,f8,f32}: value = first * second * neuron_scale * 2^shift, in double, rounded once.
// Every element of the destination is written, padding with zeros. Grid (ceil(destination elements / 256)), 256 threads.
// operator_largest: bits of the largest |first * second * neuron_scale| rounded to float, by atomicMax, into `destination` (uint32, 0 before).
// Grid (ceil(source elements / 1024)), 256 threads.
typedef struct {
    vggx_address first;    // [outputs, inputs, taps] as in the file, of type first_type
    vggx_address second;   // the same shape, of type second_type; or 0
    vggx_address neuron_scales; // double [outputs]; or 0
    vggx_address destination;
    int32_t first_type;    // VGGX_F32, VGGX_F16, VGGX_BF16
    int32_t second_type;
    int32_t layout;        // VGGX_LAYOUT_*
    int32_t shift;
    int32_t outputs;       // in the file
    int32_t inputs;        // in the file, with flatten > 1 all flattened inputs
    int32_t taps;          // 9 or 1
    int32_t flatten;       // positions that the inputs were flattened from, channel by channel (side * side of the first dense layer,
                           // else 1): input c * flatten + p becomes p * padded(inputs / flatten) + c
} VggxPrepareOperator;

// operator_bound_{f16,bf16,f8,f32}: the largest sum of |operator| over a row, rounded up by 1 + 2^-10, by atomicMax of its bits into
// `bound` (0 before). Grid (ceil(rows / 8)), 256 threads: a warp a row.
// operator_bound_image: the same for VGGX_LAYOUT_IMAGE_BACKWARD (three rows). Grid (3), 32 threads.
typedef struct {
    vggx_address operator_; // Element [rows, depth]; image: float [depth, 4]
    vggx_address bound;    // uint32
    int32_t rows;
    int32_t depth;
} VggxOperatorBound;

// Second moments (src/backend/moments.rs): sum of x * x^T over positions, by products of a map with itself, shifted.
//
// Of the channels x[p] at the positions p of a layer's input, the sums of x[p] * x[p + lag]^T are wanted at thirteen lags over the
// map and at some of them along its border; each of these 29 [channels, channels] is a plane. What a batch adds, in this order:
//
//   second_borders   sums of x over the map's border rows, border columns and corners
//   second_regions   pilots c, about the mean of each channel; sums of x over the positions that have a partner at a lag
//   second_gather    x^ = (x - c) / 2, rounded to Element, position after position: lines
//   second_products  sums of x^[p] * x^[p + lag]^T over up to VGGX_SECOND_CHUNK positions, in float32
//   second_flush     adds them in float64, and takes c out again: with N positions p that have a partner,
//                    sum x[p] x[p + lag]^T = 4 sum x^[p] x^[p + lag]^T + c (sum x[p + lag])^T + (sum x[p] - N c) c^T
//
// The last three work on as many images at a time as memory is meant to hold; c is taken out once a batch. A dense layer has
// no positions but its images: second_gather and second_dense. Everything is in units of 2^E, E being the largest exponent of
// the images that count, until it is added. The order of every sum depends on extents alone.
#define VGGX_SECOND_CHUNK 4096
#define VGGX_SECOND_LAGS 13   // (0, 0), (0, 1), (0, 2), (1, -2) to (1, 2), (2, -2) to (2, 2)
#define VGGX_SECOND_PLANES 29 // map: 13 lags; first row, last row, first column, last column: 3 each; 4 corners
#define VGGX_SECOND_VIEWS 9   // map, first row, last row, first column, last column, corners
#define VGGX_SECOND_KINDS 25  // (first, second, inner, last but one, last) rows x columns; fewer of each where there are fewer than five

typedef struct {
    vggx_address input;    // Element [images, height, width, channels]; of the first layer [images, height, width, 3]
    vggx_address factors;  // float [images]: 2^(exponent - E); 0 where an image does not count
    vggx_address common;   // int32 [3]: E, not used, the number of images that count
    vggx_address sums;     // double [channels]: sum of x over all positions of images that count, true units
    int32_t images;
    int32_t height;
    int32_t width;
    int32_t channels;      // padded; 3 in the first layer
} VggxSecondMaps;

// second_borders_{f16,bf16,f32}: sums over slices of images, per kind of position. The inner positions of a map of five rows and
// columns or more are left out: they are what is left of all. Grid (ceil(channels / 64), VGGX_SECOND_KINDS, slices), 256
// threads. Shared memory: 256 * 8 bytes.
// second_regions: writes pilots and regions. Grid (ceil(channels / 64)), 256 threads. Shared memory: (VGGX_SECOND_KINDS + 1) * 64 * 8 bytes.
typedef struct {
    VggxSecondMaps maps;
    vggx_address partials; // double [slices, VGGX_SECOND_KINDS, channels]
    vggx_address pilots;   // float [channels]
    vggx_address regions;  // double [planes, 2, channels]: sum x[p] - N c, sum x[p + lag]
    int32_t slice_images;
    int32_t slices;
    int32_t planes;        // VGGX_SECOND_PLANES; 1 of a dense layer
    int32_t pilot_bits;    // significant bits that pilots are rounded to: 24 of float, 4 of 16-bit elements. With few bits x - c is a number
                           // of the element type for most x; else all x of one exponent would be off by the same, which does not average out
} VggxSecondRegions;

// The map, or a part of it that is a row, a column or a corner; a column counts as a row. Its positions are put in a line: row
// by row, the images side by side in each row, `reach` zeros after each of them; then zeros for min(2, rows - 1) rows and
// `reach` positions more. There every lag is one distance.
typedef struct {
    int32_t rows;
    int32_t length;          // of a row
    int32_t start;           // its first position in a map
    int32_t row_stride;      // positions of the map
    int32_t position_stride;
    int32_t reach;           // min(2, length - 1); 0 of the first layer and of a dense one
    int32_t lags;            // how many of the thirteen
    int32_t plane;           // the first of them
    int32_t line;            // first position in `lines`
    int32_t positions;       // images * rows * (length + reach)
    int32_t chunks;          // ceil(positions / VGGX_SECOND_CHUNK)
    int32_t block;           // first block of second_products
    int64_t partial;         // first element in `partials`
} VggxSecondView;

// second_gather_{f16,bf16,f32}: fills `lines`. Grid (ceil(line_positions * line_channels / 8 / 256)), 256 threads: 8 channels a thread.
// Lines of the first layer have 64 channels: channel 3 * lag + c of position p holds x^[p + lag][c], which is zero outside the map, so
// that one product holds all lags.
// second_products_{f16,bf16}_{64x256,128x256}, second_products_f32_{64x256,128x128}: rows x columns, where columns run over lags and,
// within each, channels. Blocks: of each view chunks * ceil(line_channels / rows) * ceil(lags * line_channels / columns), one view after
// the other; one lag in the first layer. rows * columns / 128 threads. Dynamic shared memory: stages * (rows + columns) * 64 bytes.
// second_flush: Grid (ceil(maps.channels^2 / 256), VGGX_SECOND_PLANES), 256 threads.
typedef struct {
    VggxSecondMaps maps;
    vggx_address pilots;   // of VggxSecondRegions
    vggx_address regions;  // the same; 0: the pilots are not taken out
    vggx_address lines;    // Element [line_positions, line_channels]
    vggx_address partials; // float: of each view [chunks, lags, line_channels, line_channels]
    vggx_address planes;   // double [VGGX_SECOND_PLANES, maps.channels, maps.channels], added to
    int32_t first_image;   // of these images
    int32_t images;
    int32_t line_positions; // all of them
    int32_t line_channels; // 64 in the first layer, else maps.channels
    int32_t stages;        // of the pipeline: 2..8
    int32_t views;
    VggxSecondView view[VGGX_SECOND_VIEWS];
} VggxSecondPass;

// second_dense_{f16,bf16,f32}: adds x^ * x^T of up to VGGX_SECOND_CHUNK images to the lower triangle. Grid (tiles, tiles), tiles =
// ceil(channels / 128), 128 threads. Dynamic shared memory: stages * 256 * 64 bytes.
typedef struct {
    VggxSecondMaps maps;
    vggx_address pilots;   // of VggxSecondRegions
    vggx_address regions;  // the same; 0: the pilots are not taken out
    vggx_address lines;    // Element [images, channels], by second_gather
    vggx_address triangle; // double [channels * (channels + 1) / 2]: row after row, diagonal included; added to
    int32_t images;        // in lines
    int32_t stages;
} VggxSecondDense;

// Copies of images in which patches are replaced (perturb.cu). An image is cut into patches of side * side pixels from its top left on,
// in scan order; those at the right and at the bottom may be smaller. patches = ceil(height / side) * ceil(width / side).

// What is done with every patch of planes; a thread a patch, which reads it channel after channel in scan order.
//
// patch_means: fills every patch, in each channel, with the mean of its values: summed in double, divided, rounded once to float. Grid
// (ceil(3 * patches / 64), maps), 64 threads.
// patch_sums: the sums over a patch's pixels and channels, in double. Grid (ceil(patches / 64), maps), 64 threads.
// patch_ranks: the place of each patch in the order of the sums, the largest first, equal ones in scan order. Grid (ceil(patches / 64),
// maps), 64 threads.
typedef struct {
    vggx_address values;   // float [maps, 3, height, width]; not read by patch_ranks
    vggx_address means;    // patch_means: float [maps, 3, height, width]
    vggx_address sums;     // double [maps, patches], none of them NaN: written by patch_sums, read by patch_ranks
    vggx_address ranks;    // patch_ranks: uint32 [maps, patches]
    int32_t maps;
    int32_t height;
    int32_t width;
    int32_t side;
    int32_t absolute;      // patch_sums: sums |value|
    int32_t least_first;   // patch_ranks: the smallest first, equal ones in scan order too
} VggxPatches;

// One copy: the patches with ranks first..end - 1 are replaced.
typedef struct {
    int32_t image;
    uint32_t first;
    uint32_t end;
    int32_t reserved;
} VggxAlteredCopy;

// replace_patches: writes copies. Grid (ceil(height * width / 1024), copies), 256 threads: 4 pixels a thread.
typedef struct {
    vggx_address images;   // float [images, 3, height, width]
    vggx_address fillings; // float [images, 3, height, width]: what patches are replaced with
    vggx_address copies;   // VggxAlteredCopy [copies]
    vggx_address ranks;    // uint32 [copies, patches]
    vggx_address output;   // float [copies, 3, height, width]
    int32_t height;
    int32_t width;
    int32_t side;
    int32_t reserved;
} VggxReplacePatches;

#endif
