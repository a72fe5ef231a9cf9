/* vggx: explains what a VGG network saw in an image. The C API.
 *
 * Written by cbindgen from src/capi. Do not edit: `scripts/regenerate` writes it anew.
 *
 * A program opens an engine (vggx_engine_open), gives it batches of images (vggx_batch), and gets classes (vggx_classify) and
 * explanations (vggx_explain) into its own buffers. include/vggx.hpp is the same for C++17.
 *
 * Calls. Functions return a vggx_status; vggx_last_error gives the reason in words, for each thread. Nothing is written to
 * standard output or standard error, nothing unwinds, and calls share nothing but what they are given. Nothing aborts either: what
 * needs much memory is refused when there is too little, and only a system that refuses a small allocation ends the program.
 *
 * Threads. Everything may be called from any thread, and a handle may be used by several at the same time; nobody may use
 * one while or after it is closed or freed. An engine's own threads have the floating-point mode (denormals flushed to zero or
 * not) of the thread that opens it.
 *
 * CUDA. Pixels and explanations may be in memory of the device that the engine works on: see vggx_batch, vggx_request and
 * `cuda_context`. Calls end when their work has ended, and leave the thread's current context as it was. While one runs,
 * memory may be allocated and freed in the engine's context, which waits for all work there and ends what is being captured
 * into graphs.
 *
 * Structs. Those with a `size` may grow in later versions; begin with VGGX_INIT(type), which sets it and zeros the rest: all
 * defaults. A shorter struct of an older version's header is fine; a longer one is refused unless what is more is zero.
 *
 * Pointers. Arguments must not be null unless a comment says so, must be aligned for what they point to, and must hold as
 * many elements as the count beside them says; wrong ones are VGGX_ERROR_ARGUMENT as far as can be seen. Strings are UTF-8 and
 * end with a zero byte; but paths, given or told, are bytes, as the system has them. Nothing is kept after a call unless a comment says so.
 *
 * Ownership. Handles belong to the caller, who closes or frees each once. Everything that a `const` pointer leads to belongs
 * to vggx and lives as long as its comment says.
 */

#ifndef VGGX_H
#define VGGX_H

#include <stddef.h>
#include <stdint.h>

/* A struct of this type with its size set and everything else zero: all defaults.
 *
 *     vggx_batch batch = VGGX_INIT(vggx_batch);
 */
#ifdef __cplusplus
#define VGGX_INIT(type) ([] { type initial = type(); initial.size = sizeof(type); return initial; }())
#else
#define VGGX_INIT(type) {.size = sizeof(type)}
#endif

/// Done.
#define VGGX_OK 0

/// An argument is wrong: null, misaligned, too short, out of range, not a known name. Nothing was done.
#define VGGX_ERROR_ARGUMENT 1

/// A file is missing, cannot be read or cannot be written.
#define VGGX_ERROR_FILE 2

/// A file was read and is refused: damaged, not of this format, or of another network.
#define VGGX_ERROR_FORMAT 3

/// This network, device or build cannot do it, for instance a method whose patterns are not there.
#define VGGX_ERROR_UNSUPPORTED 4

/// The CUDA device cannot be used, or failed.
#define VGGX_ERROR_DEVICE 5

/// There is not enough memory, on the host or on the device.
#define VGGX_ERROR_MEMORY 6

/// Some images of the batch failed; the others are done. Each image's own status says which; the message is that of the
/// first.
#define VGGX_ERROR_IMAGE 7

/// A defect of vggx: please report it with the message. Handles that took part should be closed.
#define VGGX_ERROR_INTERNAL 8

/// No error: a job is not done yet.
#define VGGX_PENDING 9

/// A job was cancelled before it began, or not started because its engine is being closed.
#define VGGX_ERROR_CANCELLED 10

/// Something that was decided and that one may want to know, such as which device computes.
#define VGGX_LOG_NOTICE 0

/// Something that may not be as wished, such as moment files whose images overlap.
#define VGGX_LOG_WARNING 1

/// A 3×3 convolution with bias and ReLU.
#define VGGX_LAYER_CONVOLUTION 0

/// A fully connected layer with bias.
#define VGGX_LAYER_DENSE 1

/// Pixels: `[height, width, 3]` bytes, rows of interleaved red, green and blue, 0 to 255.
#define VGGX_PIXELS_RGB8 0

/// The network's input: `[3, height, width]` float32, one channel after the other in the network's order
/// (`vggx_description`), already scaled, centred and divided.
#define VGGX_PIXELS_NORMALISED 1

/// Ordinary memory.
#define VGGX_MEMORY_HOST 0

/// Memory of the engine's CUDA device.
#define VGGX_MEMORY_CUDA 1

/// 32-bit IEEE 754.
#define VGGX_TYPE_F32 0

/// 16-bit IEEE 754.
#define VGGX_TYPE_F16 1

/// `[3, height, width]`: red, green, blue, whatever the network's order.
#define VGGX_DETAIL_PLANES 0

/// `[height, width]`: the sum over the three channels, computed in float64 and rounded once.
#define VGGX_DETAIL_HEAT_MAP 1

/// For `vggx_job_wait`: until the job has ended.
#define VGGX_WAIT_FOREVER UINT64_MAX

/// A network on a device, with the methods to explain it. Any number of threads may use one at the same time, and there may
/// be several engines. It holds the mapped weight and pattern files, the laid-out operators, and one thread for each core on
/// the CPU.
typedef struct vggx_engine vggx_engine;

/// A decoded image. It never changes, so any number of threads may use one.
typedef struct vggx_image vggx_image;

/// A call of `vggx_explain` that the engine makes on a thread of its own. Any number of threads may poll one and wait for it.
typedef struct vggx_job vggx_job;

/// Adds up the moments of images: the sums that patterns follow from. Calls from several threads wait for each other.
typedef struct vggx_learner vggx_learner;

/// What became of a call: `VGGX_OK`, or why not. See `vggx_last_error` for the reason in words.
typedef int32_t vggx_status;

/// Is told what is worth knowing and is no error: `level` is `VGGX_LOG_NOTICE` or `VGGX_LOG_WARNING`, `message` one line of
/// UTF-8 that is valid during the call, `user` what came with the function.
///
/// It runs on the thread of the call that the message is about, or on one of the engine's own, and perhaps on several at a
/// time. It must return normally (no exception, no longjmp) and must not close the engine.
typedef void (*vggx_log_callback)(void *user, int32_t level, const char *message);

/// How an engine is opened. Begin with `VGGX_INIT(vggx_engine_options)`: whatever is zero or null has its default.
///
/// Nothing that the pointers lead to is kept, apart from `log_user` and `cuda_context`.
typedef struct vggx_engine_options {
    /// `sizeof(vggx_engine_options)`.
    size_t size;
    /// Path of the network's weights: safetensors with torchvision's or timm's names. Null: the bundled VGG16 features.
    const char *weights;
    /// Path of the patterns of these weights. Null: the bundled ones with the bundled weights, if they are found, else none.
    const char *patterns;
    /// Path of the names of the outputs: text, a name a line. Null: 1000 classes are called as ImageNet's, other outputs have no
    /// names.
    const char *labels;
    /// A folder in which the bundled files are looked for first. After it, or with null, as the command line finds them: in
    /// the folder that the environment variable `VGGX_DATA` names, in `weights` in the working folder, in `share/vggx` and
    /// `weights` beside the folder of the executable and in `weights` one folder further up, and in `share/vggx` in the folder
    /// that the library was installed into (one that is not installed: in the clone that it was built from).
    const char *data;
    /// `"auto"` (the first CUDA device that can, else the CPU), `"cpu"`, `"cuda"` or `"cuda:N"`. Null: auto.
    const char *device;
    /// How numbers are stored on the device: `"auto"` (f32 on the CPU, f16 on CUDA), `"f32"`, `"f16"`, `"bf16"`,
    /// `"f8"` (f16 forward, e4m3 backward; compute capability 9.0). Null: auto.
    const char *precision;
    /// Threads of the CPU, at most 65535. 0: one for each core that the process may use.
    uint32_t threads;
    /// Images a batch will usually have, at most 65535; a CUDA device divides its memory accordingly. 0: chosen from its
    /// memory.
    uint32_t batch;
    /// Chooses the directions of the random estimator.
    uint64_t seed;
    /// Order of the network's input channels, `"rgb"` or `"bgr"`, over the weight file's. Null: the weight file's.
    const char *channel_order;
    /// Three means, in the network's channel order, over the weight file's: the network's input is
    /// (u8 · `pixel_scale` / 255 − `mean`) / `std`. Null: the weight file's.
    const float *mean;
    /// Three standard deviations, in the network's channel order, over the weight file's. Null: the weight file's.
    const float *std;
    /// Value of a white pixel before the mean is subtracted, usually 1 or 255. 0: the weight file's.
    float pixel_scale;
    /// Zero.
    uint32_t reserved;
    /// Is told what is worth knowing, until the engine and all its learners are closed. Null: nobody is; vggx never writes to
    /// standard output or standard error.
    vggx_log_callback log;
    /// Handed to `log` as it is.
    void *log_user;
    /// The CUDA context (`CUcontext`) to work in, on its device, which `device` must not contradict; it must outlive the
    /// engine, its jobs and its learners. Null: the device's primary context, in which programs work that use CUDA's runtime
    /// library. The calling thread's current context is the same after every call as before it.
    void *cuda_context;
} vggx_engine_options;

/// What an engine holds. Strings are UTF-8, valid until the engine is closed.
typedef struct vggx_description {
    /// `sizeof(vggx_description)`, set by the caller.
    size_t size;
    /// Path of the weight file.
    const char *weights;
    /// Path of the pattern file that was named or, with the bundled weights, found; null where there is none.
    const char *patterns;
    /// `vgg11`, `vgg13`, `vgg16` or `vgg19` where the blocks of convolutions are theirs, else `custom`.
    const char *architecture;
    /// The device: `cpu` or `cuda:N`.
    const char *device;
    /// The device in words.
    const char *device_description;
    /// How the device stores numbers: `f32`, `f16`, `bf16` or `f8`.
    const char *precision;
    /// Order of the network's input channels: `rgb` or `bgr`.
    const char *channel_order;
    /// Numbers in weights and biases.
    uint64_t parameters;
    /// Outputs: classes, or in a network without a classifier the channels of the last map.
    size_t outputs;
    /// Layers with weights, see `vggx_engine_layer`.
    size_t layers;
    /// Images may not be lower or narrower than this, in pixels.
    size_t smallest_side;
    /// Images a batch should have.
    size_t preferred_batch;
    /// Calls that are worth having at a time, each from its own thread; also the number of jobs that run at a time.
    size_t concurrent_batches;
    /// The network's input is (u8 · `pixel_scale` / 255 − `mean`) / `std`, in the network's channel order.
    float mean[3];
    /// See `mean`.
    float std[3];
    /// See `mean`.
    float pixel_scale;
    /// 1: the outputs are classes and have probabilities; 0: they are channels of the last map, and a response is the sum of
    /// its map.
    int32_t has_classifier;
    /// 1: the outputs have names, see `vggx_engine_label`; else 0.
    int32_t has_labels;
    /// 1: methods that need patterns can be used; else 0.
    int32_t has_patterns;
} vggx_description;

/// A layer that has weights.
typedef struct vggx_layer {
    /// `sizeof(vggx_layer)`, set by the caller.
    size_t size;
    /// torchvision's name without the suffix, such as `features.0`. UTF-8, valid until the engine is closed.
    const char *name;
    /// Channels of a convolution's input; elements of a dense layer's.
    size_t inputs;
    /// Neurons: output channels of a convolution, outputs of a dense layer.
    size_t outputs;
    /// `VGGX_LAYER_CONVOLUTION` or `VGGX_LAYER_DENSE`.
    int32_t kind;
    /// 1 where a 2×2 max-pool follows, else 0.
    int32_t pool;
} vggx_layer;

/// How an image file is brought to the size that the network takes. Begin with `VGGX_INIT(vggx_load_options)`.
typedef struct vggx_load_options {
    /// `sizeof(vggx_load_options)`.
    size_t size;
    /// The shorter side is resized to so many pixels (bilinear, antialiased, as in torchvision). 0: 256.
    uint32_t resize;
    /// Side of the square that is then cut out of the centre, in pixels; at most `resize`. 0: 224.
    uint32_t crop;
    /// Larger images are refused, in pixels. 0: 178 million.
    uint64_t max_pixels;
} vggx_load_options;

/// Where the pixels of an image are.
typedef struct vggx_pixels {
    /// `sizeof(vggx_pixels)`, set by the caller.
    size_t size;
    /// `[height, width, 3]`: rows of interleaved red, green and blue, 0 to 255. Valid until the image is freed.
    const uint8_t *pixels;
    /// Rows.
    size_t height;
    /// Columns.
    size_t width;
    /// Bytes from one row to the next.
    size_t row_stride;
    /// Bytes of all rows.
    size_t bytes;
} vggx_pixels;

/// Images of one size, which the caller keeps. Begin with `VGGX_INIT(vggx_batch)`.
typedef struct vggx_batch {
    /// `sizeof(vggx_batch)`.
    size_t size;
    /// Number of images, at least 1. Results do not depend on what else is in a batch. A CUDA device runs larger ones in parts
    /// where its memory is short; the CPU refuses those for which there is none (`VGGX_ERROR_MEMORY`).
    size_t images;
    /// Rows of each image.
    size_t height;
    /// Columns of each image.
    size_t width;
    /// `images` pointers (this array itself is always in ordinary memory), one to the first row of each image. Float32 values
    /// are aligned to 4 bytes.
    const void *const *pixels;
    /// Bytes that are there behind each of the pointers: at least those from the first row's first to the last row's last.
    size_t image_bytes;
    /// Bytes from the start of a row to the start of the next one; of float32 values a multiple of 4, and channels follow
    /// each other as if they were further rows. 0: rows follow each other without a gap.
    size_t row_stride;
    /// `VGGX_PIXELS_RGB8` or `VGGX_PIXELS_NORMALISED`.
    int32_t format;
    /// `VGGX_MEMORY_HOST` or `VGGX_MEMORY_CUDA`: where the pixels are.
    int32_t memory;
    /// With memory of the CUDA device, here or for explanations: the stream (`CUstream`, `cudaStream_t`) of the engine's
    /// context whose work so far makes the pixels, or still uses the buffers. The call's work begins after it, and has ended
    /// when the call returns (or the job has ended). Null: the legacy default stream.
    void *stream;
} vggx_batch;

/// An output that responded to an image. This struct will stay as it is.
typedef struct vggx_class {
    /// Softmax probability; NaN in a network without a classifier.
    double probability;
    /// Which output, from 0.
    size_t output;
    /// The logit; without a classifier the sum of the channel's map.
    float response;
    /// `VGGX_OK`, or why this image has no responses; then the other fields are NaN, `SIZE_MAX` and NaN.
    vggx_status status;
} vggx_class;

/// What is to be explained, how, and where the results go. Begin with `VGGX_INIT(vggx_request)`.
typedef struct vggx_request {
    /// `sizeof(vggx_request)`.
    size_t size;
    /// `method_count` names of methods, see `vggx_method_name`. Null with a count of 0: `patternnet` and
    /// `pattern-attribution`.
    const char *const *methods;
    /// Number of methods.
    size_t method_count;
    /// The output to explain: `"top1"` (the one that responds most), `"topN"`, an index or a label. Null: `"top1"`.
    const char *target;
    /// A target for each image of the batch, as `target`; an entry may be null and stands for `target`. Null: `target` for
    /// all.
    const char *const *targets;
    /// Number of entries of `targets`: as many as images, or 0.
    size_t target_count;
    /// One buffer for each image and method, all methods of the first image first: the array of image i and method m goes
    /// to `outputs[i * methods + m]`. This array itself is always in ordinary memory. Buffers must not overlap and are
    /// aligned to the size of a value.
    void *const *outputs;
    /// Number of entries of `outputs`: images times methods (2 where `methods` is null).
    size_t output_count;
    /// Bytes of each buffer: at least those of its values, see `detail` and `element_type`.
    size_t output_bytes;
    /// `VGGX_DETAIL_PLANES` or `VGGX_DETAIL_HEAT_MAP`.
    int32_t detail;
    /// `VGGX_TYPE_F32` or `VGGX_TYPE_F16`.
    int32_t element_type;
    /// `VGGX_MEMORY_HOST` or `VGGX_MEMORY_CUDA`: where the buffers are. See `stream` of `vggx_batch`.
    int32_t memory;
    /// Zero.
    int32_t reserved;
} vggx_request;

/// What the network said of an image. This struct will stay as it is.
typedef struct vggx_explained {
    /// Softmax probability of the target; NaN without a classifier.
    double probability;
    /// The output that was explained; `SIZE_MAX` if the image failed.
    size_t target;
    /// Its logit; without a classifier the sum of the channel's map. NaN if the image failed.
    float response;
    /// `VGGX_OK`, or why this image failed; its buffers then hold anything.
    vggx_status status;
} vggx_explained;

/// Is told that a job has ended: `status` is what `vggx_explain` would have returned, and `vggx_last_error` gives its message
/// in this function. `user` is what came with it.
///
/// It runs once for each job that was started, cancelled ones included, on a thread of the engine, perhaps before
/// `vggx_explain_start` has returned. It may call vggx, free the job, and start other jobs; it must return normally (no
/// exception, no longjmp). It must not close the engine, nor wait for jobs of the engine that have not ended or free them: they
/// may be behind it. While it runs, a thread of the engine does nothing else.
typedef void (*vggx_job_callback)(void *user, struct vggx_job *job, vggx_status status);

/// How a learner is opened. Begin with `VGGX_INIT(vggx_learner_options)`.
typedef struct vggx_learner_options {
    /// `sizeof(vggx_learner_options)`.
    size_t size;
    /// 1: also sum the products of all pairs of inputs of every layer, which measuring the quality of patterns needs. They
    /// take much memory.
    int32_t second_moments;
    /// Zero.
    int32_t reserved;
} vggx_learner_options;

/// How patterns are solved and stored. Begin with `VGGX_INIT(vggx_solve_options)`.
typedef struct vggx_solve_options {
    /// `sizeof(vggx_solve_options)`.
    size_t size;
    /// Mean response that two-component patterns are centred with: `"global"`, over all positions, or `"regime"`, over those
    /// at which the neuron is active. Null: global.
    const char *centering;
    /// Number type of the stored patterns: `"f32"`, `"f16"` or `"bf16"`. Null: f32.
    const char *store;
} vggx_solve_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The name of a status, such as `"VGGX_ERROR_FILE"`; `"unknown status"` for other numbers. Valid for ever.
const char *vggx_status_name(vggx_status status);

/// Why this thread's last call of a function that returns a `vggx_status` failed: what, where and what to do, in one line of
/// UTF-8. Empty when it did not fail. Never null. Valid until this thread's next such call.
///
/// After `VGGX_ERROR_IMAGE` it is the reason of the first image that failed. Jobs: `vggx_job_poll` and `vggx_job_wait` bring
/// the job's message to the thread that calls them.
const char *vggx_last_error(void);

/// The version of the library, such as `"0.1.0"`. Valid for ever.
const char *vggx_version(void);

/// What the library was built with, as a JSON object: `version`, `cuda_architectures` (those that CUDA kernels are compiled
/// for; empty in a build without CUDA) and `cpu` (the matrix kernels that this processor gets). Valid for ever; the driver
/// is not asked.
const char *vggx_build_info(void);

/// The name of the method number `index`, from 0, or null past the last one. Valid for ever. The names are those of the
/// command line: `gradient`, `deconvnet`, `guided-backprop`, `patternnet`, `pattern-attribution`, `signal:E` and
/// `attribution:E` for each estimator E.
const char *vggx_method_name(size_t index);

/// Opens a network on a device: maps the weights, checks them whole and lays them out. `options` may be null: all defaults.
/// On success `*engine` is to be closed with `vggx_engine_close`; on failure it is null.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_FILE` (also when the bundled files are in none of the folders) and
/// `VGGX_ERROR_FORMAT` for weights, patterns and labels; `VGGX_ERROR_UNSUPPORTED` for a precision that the device does not
/// have; `VGGX_ERROR_DEVICE` when the CUDA device that was asked for cannot be used; `VGGX_ERROR_MEMORY`.
vggx_status vggx_engine_open(const struct vggx_engine_options *options,
                             struct vggx_engine **engine);

/// Closes an engine and gives its memory and threads back, after all its jobs have ended: it waits for those that are
/// running and for those that have not begun (`vggx_job_cancel` takes these out). Jobs and learners that are left remain
/// valid handles that must be freed, and learners go on working. Null is fine.
///
/// No other thread may be in a call with this engine, nor make one after, but for callbacks of its jobs: they may use it until
/// they return, and jobs that they start now are refused (`VGGX_ERROR_CANCELLED`). To close the engine in such a callback is
/// an error, since it would wait for itself.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no engine, and in a job's callback. The engine is then still open.
vggx_status vggx_engine_close(struct vggx_engine *engine);

/// Prepares `method_count` methods by their names (`vggx_method_name`), so that the first call that uses them is not
/// slower than later ones: operators are read, laid out and brought onto the device. Methods that are prepared already cost
/// nothing. Explanations in other threads go on meanwhile.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a name that is no method's; `VGGX_ERROR_UNSUPPORTED` when it needs patterns that the engine
/// does not have; `VGGX_ERROR_FORMAT` when patterns hold values that are not finite; `VGGX_ERROR_MEMORY`,
/// `VGGX_ERROR_DEVICE`.
vggx_status vggx_engine_prepare(struct vggx_engine *engine,
                                const char *const *methods,
                                size_t method_count);

/// Says what an engine holds.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`.
vggx_status vggx_engine_describe(const struct vggx_engine *engine, struct vggx_description *description);

/// Says what the layer number `index` is, counting layers that have weights from 0 in the order of the forward pass.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when there is no such layer.
vggx_status vggx_engine_layer(const struct vggx_engine *engine, size_t index, struct vggx_layer *layer);

/// The name of an output: UTF-8, valid until the engine is closed. Null where the outputs have no names.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when there is no such output.
vggx_status vggx_engine_label(const struct vggx_engine *engine, size_t output, const char **label);

/// About how much memory explaining `images` images of `height` × `width` pixels takes at a time, besides what the engine
/// holds already and what the caller gives: bytes of the host's and of the CUDA device's memory (0 on the CPU).
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size, for no images, and for more pixels than
/// there can be.
vggx_status vggx_engine_memory(const struct vggx_engine *engine,
                               size_t images,
                               size_t height,
                               size_t width,
                               uint64_t *host_bytes,
                               uint64_t *device_bytes);

/// Loads an image file: JPEG, PNG, WebP, GIF (first frame), BMP or TIFF. EXIF orientation is followed, alpha is laid over
/// white. `options` may be null: resized to 256 and cropped to 224 × 224. On success `*image` is to be freed with
/// `vggx_image_free`; on failure it is null.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_FILE` when it cannot be read; `VGGX_ERROR_FORMAT` when it is damaged or not an image
/// that vggx reads.
vggx_status vggx_image_load(const char *path,
                            const struct vggx_load_options *options,
                            struct vggx_image **image);

/// Says where the pixels of an image are, as a `vggx_batch` takes them (`VGGX_PIXELS_RGB8`).
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`.
vggx_status vggx_image_pixels(const struct vggx_image *image, struct vggx_pixels *pixels);

/// Frees an image. Null is fine.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no image.
vggx_status vggx_image_free(struct vggx_image *image);

/// Finds the outputs that respond most. `classes` takes `top` entries for each image, image after image, the largest
/// response first (of equal ones the lower output); `class_count` is the number of entries it has room for, at least
/// `images` · `top`. `top` is at least 1 and at most the number of outputs.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size; `VGGX_ERROR_IMAGE`; `VGGX_ERROR_MEMORY`,
/// `VGGX_ERROR_DEVICE`, `VGGX_ERROR_UNSUPPORTED`.
vggx_status vggx_classify(struct vggx_engine *engine,
                          const struct vggx_batch *batch,
                          size_t top,
                          struct vggx_class *classes,
                          size_t class_count);

/// Computes all responses: `responses` takes `[images, outputs]` float32, logits or without a classifier the sums of the
/// channels' maps; `response_count` is the number of values it has room for. The responses of an image that failed are NaN.
/// `statuses` takes one status an image (`status_count` of them); it may be null where `status_count` is 0.
///
/// # Errors
/// As `vggx_classify`.
vggx_status vggx_responses(struct vggx_engine *engine,
                           const struct vggx_batch *batch,
                           float *responses,
                           size_t response_count,
                           vggx_status *statuses,
                           size_t status_count);

/// Explains a batch of images: one forward pass, and one backward pass for each method.
///
/// `results` takes an entry an image; `result_count` is the number of images. `scale_log2` takes an exponent for each image
/// and method, in the order of `outputs`; `scale_count` is images times methods. The explanation is array · 2^`scale_log2`, in
/// units of the network's normalised input.
///
/// As float32 the arrays are those of the command line's npy files, bit for bit: the exponent is 0 unless the largest value
/// would overflow float32 or everything would underflow. As float16 every array has the exponent e, the smallest with
/// max|v| · 2^−e < 2^15 (0 where all values are zero), and values are rounded once, to nearest even: by at most 2^−11 of a
/// value, or 2^(e−25) where that is more. For float32 `scale_log2` may be null with a count of 0; an image that needs an
/// exponent then fails.
///
/// Methods that were not prepared are prepared first (`vggx_engine_prepare`). The same images give the same bits, whatever
/// else is in the batch and whichever threads call at the same time.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size, and for a target that no image can have;
/// those of `vggx_engine_prepare`; `VGGX_ERROR_IMAGE`; `VGGX_ERROR_MEMORY`, `VGGX_ERROR_DEVICE`; `VGGX_ERROR_UNSUPPORTED`
/// for memory of a CUDA device that the engine does not use. After errors other than `VGGX_ERROR_IMAGE` buffers hold
/// anything.
vggx_status vggx_explain(struct vggx_engine *engine,
                         const struct vggx_batch *batch,
                         const struct vggx_request *request,
                         struct vggx_explained *results,
                         size_t result_count,
                         int32_t *scale_log2,
                         size_t scale_count);

/// Starts `vggx_explain` and returns at once. Arguments are checked first: when this fails, no job was started and the callback
/// is not called. Jobs begin in the order of their starting; `concurrent_batches` of them run at a time.
///
/// Until the job has ended the pixels, the buffers, `results` and `scale_log2` must stay where they are and must not be
/// written, and a stream must not be destroyed. `batch`, `request`, their arrays of pointers and their strings are copied.
/// `callback` may be null. On success `*job` is to be freed with `vggx_job_free`; on failure it is null.
///
/// With memory of the CUDA device the work begins after what the stream holds when the job begins, which is at least what it holds
/// now. `CU_STREAM_PER_THREAD` is refused: it would be that of the engine's thread.
///
/// # Errors
/// As `vggx_explain`, as far as is known before it runs; `VGGX_ERROR_CANCELLED` when the engine is being closed.
vggx_status vggx_explain_start(struct vggx_engine *engine,
                               const struct vggx_batch *batch,
                               const struct vggx_request *request,
                               struct vggx_explained *results,
                               size_t result_count,
                               int32_t *scale_log2,
                               size_t scale_count,
                               vggx_job_callback callback,
                               void *user,
                               struct vggx_job **job);

/// What became of a job: `VGGX_PENDING` while it has not ended, then what `vggx_explain` would have returned, with its message
/// in `vggx_last_error`. Does not wait. A job has ended when its results are there; its callback may still run.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no job; else the job's.
vggx_status vggx_job_poll(const struct vggx_job *job);

/// Waits until a job has ended, at most so many milliseconds (`VGGX_WAIT_FOREVER`: until it has), and tells what became of it,
/// as `vggx_job_poll`.
///
/// # Errors
/// As `vggx_job_poll`; `VGGX_ERROR_ARGUMENT` for `VGGX_WAIT_FOREVER` in a callback of one of the engine's jobs, if this one has
/// not ended.
vggx_status vggx_job_wait(const struct vggx_job *job,
                          uint64_t milliseconds);

/// Takes back a job that has not begun: it ends with `VGGX_ERROR_CANCELLED`. One that runs or has ended is left as it is. Does
/// not wait; ask `vggx_job_poll` what became of it.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no job.
vggx_status vggx_job_cancel(struct vggx_job *job);

/// Frees a job, after it has ended and its callback has returned: it waits for both, but in a job's own callback it does not.
/// Null is fine. It may be called after the engine was closed.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no job, and for another job's in a callback of one of the engine's jobs if it
/// would have to wait. The job is then not freed.
vggx_status vggx_job_free(struct vggx_job *job);

/// Begins to add up moments with the engine's network, on its device. `options` may be null: all defaults. On success
/// `*learner` is to be closed with `vggx_learner_close`; on failure it is null. The engine may be closed before the learner.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_MEMORY` when the host or the device cannot hold the sums; `VGGX_ERROR_DEVICE`.
vggx_status vggx_learner_open(struct vggx_engine *engine,
                              const struct vggx_learner_options *options,
                              struct vggx_learner **learner);

/// Runs a batch forward and adds its moments. The sums depend on the batches and their order alone. `statuses` takes one
/// status an image (`status_count` of them); it may be null where `status_count` is 0. Of an image whose activations are not
/// finite in some layer nothing is added from that layer on. `CU_STREAM_PER_THREAD` is refused: it would be that of the
/// learner's thread.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when the network cannot run on images of this size, and `VGGX_ERROR_UNSUPPORTED`: nothing was
/// added; `VGGX_ERROR_IMAGE`; `VGGX_ERROR_MEMORY`: as a rule nothing was added; `VGGX_ERROR_DEVICE`: the sums may hold a part
/// of the batch. Where they may, all later calls fail with the same status, and only closing the learner is left.
vggx_status vggx_learner_add(struct vggx_learner *learner,
                             const struct vggx_batch *batch,
                             vggx_status *statuses,
                             size_t status_count);

/// Writes all sums so far to a moment file, for `vggx_solve`, `vggx solve` and merging. The file is whole or not there; one of
/// this name is replaced. More images may be added after.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`, also when no image was added yet; `VGGX_ERROR_FILE` when the file cannot be written;
/// `VGGX_ERROR_FORMAT` when sums are not finite; `VGGX_ERROR_DEVICE`.
vggx_status vggx_learner_save(struct vggx_learner *learner,
                              const char *path);

/// Solves patterns from all sums so far and writes them to a pattern file, for `patterns` of `vggx_engine_options`. The file is
/// whole or not there; one of this name is replaced. `options` may be null: all defaults. More images may be added after.
///
/// # Errors
/// As `vggx_learner_save`; `VGGX_ERROR_ARGUMENT` also when a pattern has values beyond the range of `store`.
vggx_status vggx_learner_solve(struct vggx_learner *learner,
                               const struct vggx_solve_options *options,
                               const char *path);

/// Closes a learner; sums that were not saved are lost. Null is fine. No other thread may be in a call with it.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT` for a handle that is no learner.
vggx_status vggx_learner_close(struct vggx_learner *learner);

/// Merges the moment files of any number of runs or shards, exactly, solves patterns for the engine's weights and writes them
/// to a pattern file. It is whole or not there; one of this name is replaced. `options` may be null: all defaults. What is
/// odd about the files, such as overlapping images, goes to the engine's log.
///
/// # Errors
/// `VGGX_ERROR_ARGUMENT`; `VGGX_ERROR_FILE` when a file cannot be read or written; `VGGX_ERROR_FORMAT` when one is refused,
/// for instance because it is of another network or preprocessing, or because files do not belong together;
/// `VGGX_ERROR_MEMORY`.
vggx_status vggx_solve(struct vggx_engine *engine,
                       const char *const *moments,
                       size_t moment_count,
                       const struct vggx_solve_options *options,
                       const char *path);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VGGX_H */
