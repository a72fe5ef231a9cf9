#include "faults.h"

#include <math.h>
#include <string.h>

/* Calls, as bits. */
#define ON(call) (UINT32_C(1) << CALL_##call)
#define REQUESTS (ON(EXPLAIN) | ON(EXPLAIN_START))
#define RUNS (ON(CLASSIFY) | ON(RESPONSES) | REQUESTS)
#define BATCHES (RUNS | ON(LEARNER_ADD))
#define ENGINES \
    (RUNS | ON(ENGINE_CLOSE) | ON(ENGINE_PREPARE) | ON(ENGINE_DESCRIBE) | ON(ENGINE_LAYER) | ON(ENGINE_LABEL) | \
     ON(ENGINE_MEMORY) | ON(LEARNER_OPEN) | ON(SOLVE))
#define IMAGE_CALLS (ON(IMAGE_PIXELS) | ON(IMAGE_FREE))
#define JOB_CALLS (ON(JOB_POLL) | ON(JOB_WAIT) | ON(JOB_CANCEL) | ON(JOB_FREE))
#define LEARNER_CALLS (ON(LEARNER_ADD) | ON(LEARNER_SAVE) | ON(LEARNER_SOLVE) | ON(LEARNER_CLOSE))
#define NULL_IS_FINE (ON(ENGINE_CLOSE) | ON(IMAGE_FREE) | ON(JOB_FREE) | ON(LEARNER_CLOSE))
#define SOLVES (ON(LEARNER_SOLVE) | ON(SOLVE))

/* Statuses, as bits. */
#define ARGUMENT (1u << VGGX_ERROR_ARGUMENT)
#define NO_FILE (1u << VGGX_ERROR_FILE)
#define FORMAT (1u << VGGX_ERROR_FORMAT)
#define UNSUPPORTED (1u << VGGX_ERROR_UNSUPPORTED)
#define DEVICE (1u << VGGX_ERROR_DEVICE)

/* Rows of the table. */
#define AT(member) offsetof(struct arguments, member)
#define SIZE(calls, member, to) {#member " = " #to, calls, ARGUMENT, FAULT_SIZE, AT(member), to, 0, NULL, NULL}
#define INT(calls, statuses, member, to) \
    {#member " = " #to, calls, statuses, FAULT_INT, AT(member), (uint64_t)(int64_t)(to), 0, NULL, NULL}
#define FLOAT(calls, member, to) {#member " = " #to, calls, ARGUMENT, FAULT_FLOAT, AT(member), 0, to, NULL, NULL}
#define TEXT(calls, statuses, member, to) {#member " = " #to, calls, statuses, FAULT_TEXT, AT(member), 0, 0, to, NULL}
#define PATH(calls, statuses, member, to) {#member " = path " #to, calls, statuses, FAULT_PATH, AT(member), 0, 0, to, NULL}
#define NONE(calls, member) TEXT(calls, ARGUMENT, member, NULL)
#define SHIFT(calls, member) {#member " one byte further", calls, ARGUMENT, FAULT_SHIFT, AT(member), 0, 0, NULL, NULL}
#define DO(calls, statuses, function) {#function, calls, statuses, FAULT_FUNCTION, 0, 0, 0, NULL, function}
/* Cuts the first field after the size. */
#define IN_A_FIELD (sizeof(size_t) + 1)
/* Structs that vggx fills: sizes that no version has. */
#define FILLED(calls, name) \
    NONE(calls, name##_pointer), SHIFT(calls, name##_pointer), SIZE(calls, name.value.size, 0), \
        SIZE(calls, name.value.size, 7), SIZE(calls, name.value.size, SIZE_MAX), SIZE(calls, name.value.size, SIZE_MAX / 2), \
        SIZE(calls, name.value.size, IN_A_FIELD)
/* Structs that vggx reads: also one with a field set that it does not know. Null may be a default. */
#define READ(calls, name) \
    SHIFT(calls, name##_pointer), SIZE(calls, name.value.size, 0), SIZE(calls, name.value.size, 7), \
        SIZE(calls, name.value.size, SIZE_MAX), SIZE(calls, name.value.size, SIZE_MAX / 2), \
        SIZE(calls, name.value.size, IN_A_FIELD), DO(calls, ARGUMENT, name##_has_a_tail)

/* A later version's struct with a field set that this version does not know. */
#define TAILED(name) \
    static void name##_has_a_tail(struct arguments *arguments) { \
        arguments->name.value.size = sizeof arguments->name; \
        arguments->name.tail[TAIL / 2] = 1; \
    }
TAILED(options)
TAILED(load)
TAILED(batch)
TAILED(request)
TAILED(learner_options)
TAILED(solve_options)

static const float NOT_FINITE[3] = {0.5f, NAN, 0.5f};
static const float ENDLESS[3] = {0.5f, INFINITY, 0.5f};
static const float ZERO[3] = {0.5f, 0, 0.5f};

static void mean_not_finite(struct arguments *a) { a->options.value.mean = NOT_FINITE; }
static void mean_endless(struct arguments *a) { a->options.value.mean = ENDLESS; }
static void std_not_finite(struct arguments *a) { a->options.value.std = NOT_FINITE; }
static void std_zero(struct arguments *a) { a->options.value.std = ZERO; }
static void mean_misaligned(struct arguments *a) {
    a->options.value.mean = (const float *)(const void *)((const char *)NOT_FINITE + 1);
}

/* Handles of another kind, and memory that is no handle. */
static void engine_is_an_image(struct arguments *a) { a->engine = (vggx_engine *)(void *)a->fixture->image; }
static void image_is_an_engine(struct arguments *a) { a->image = (vggx_image *)(void *)a->fixture->engine; }
static void job_is_a_learner(struct arguments *a) { a->job = (vggx_job *)(void *)a->fixture->learner; }
static void learner_is_a_job(struct arguments *a) { a->learner = (vggx_learner *)(void *)a->fixture->job; }
static void engine_is_zeros(struct arguments *a) { a->engine = arguments_allocate(a, 4096); }
static void image_is_zeros(struct arguments *a) { a->image = arguments_allocate(a, 4096); }
static void job_is_zeros(struct arguments *a) { a->job = arguments_allocate(a, 4096); }
static void learner_is_zeros(struct arguments *a) { a->learner = arguments_allocate(a, 4096); }
static void learner_has_no_images(struct arguments *a) { a->learner = a->fixture->empty_learner; }

static void second_image_is_null(struct arguments *a) { a->pixel_rows[1] = NULL; }
/* The network's input instead of bytes; without a fault it would be right. */
static void normalised(struct arguments *a) {
    for (int image = 0; image < IMAGES; image++) {
        a->pixel_rows[image] = arguments_allocate(a, CHANNELS * SIDE * SIDE * sizeof(float));
    }
    a->batch.value.format = VGGX_PIXELS_NORMALISED;
    a->batch.value.image_bytes = CHANNELS * SIDE * SIDE * sizeof(float);
}
static void floats_misaligned(struct arguments *a) {
    normalised(a);
    a->pixel_rows[1] = (const char *)a->pixel_rows[1] + 2;
}
static void floats_too_few(struct arguments *a) {
    normalised(a);
    a->batch.value.image_bytes -= 1;
}
static void floats_with_a_misaligned_stride(struct arguments *a) {
    normalised(a);
    a->batch.value.image_bytes *= 2;
    a->batch.value.row_stride = SIDE * sizeof(float) + 2;
}
static void floats_with_a_short_stride(struct arguments *a) {
    normalised(a);
    a->batch.value.row_stride = (SIDE - 1) * sizeof(float);
}
static void huge_images_that_fit_nowhere(struct arguments *a) {
    a->batch.value.height = SIZE_MAX / 4;
    a->batch.value.width = SIZE_MAX / 4;
    a->batch.value.image_bytes = SIZE_MAX;
}
static void all_counts_are_endless(struct arguments *a) {
    a->batch.value.images = SIZE_MAX;
    a->class_count = SIZE_MAX;
    a->response_count = SIZE_MAX;
    a->status_count = SIZE_MAX;
    a->result_count = SIZE_MAX;
    a->scale_count = SIZE_MAX;
    a->request.value.output_count = SIZE_MAX;
}

static void second_method_is_null(struct arguments *a) { a->method_memory[1] = NULL; }
static void second_method_is_unknown(struct arguments *a) { a->method_memory[1] = "patternnets"; }
static void second_method_is_no_text(struct arguments *a) { a->method_memory[1] = "\xff\xfe"; }
static void second_target_is_unknown(struct arguments *a) { a->targets[1] = "class 99"; }
static void second_target_is_no_text(struct arguments *a) { a->targets[1] = "\xc3"; }
static void target_of_a_million_letters(struct arguments *a) {
    char *text = arguments_allocate(a, 1000001);
    memset(text, 'x', 1000000);
    a->targets[0] = text;
}
static void last_output_is_null(struct arguments *a) { a->outputs[IMAGES * METHODS - 1] = NULL; }
static void last_output_is_misaligned(struct arguments *a) {
    a->outputs[IMAGES * METHODS - 1] = (char *)a->outputs[IMAGES * METHODS - 1] + 1;
}
static void halves_misaligned(struct arguments *a) {
    a->request.value.element_type = VGGX_TYPE_F16;
    a->request.value.output_bytes = CHANNELS * SIDE * SIDE * 2;
    a->outputs[0] = (char *)a->outputs[0] + 1;
}
static void halves_without_exponents(struct arguments *a) {
    a->request.value.element_type = VGGX_TYPE_F16;
    a->scale_log2 = NULL;
    a->scale_count = 0;
}
static void planes_too_short(struct arguments *a) {
    a->request.value.detail = VGGX_DETAIL_PLANES;
    a->request.value.element_type = VGGX_TYPE_F32;
    a->request.value.output_bytes = CHANNELS * SIDE * SIDE * sizeof(float) - 1;
}
static void heat_maps_too_short(struct arguments *a) {
    a->request.value.detail = VGGX_DETAIL_HEAT_MAP;
    a->request.value.element_type = VGGX_TYPE_F32;
    a->request.value.output_bytes = SIDE * SIDE * sizeof(float) - 1;
}
/* The methods' own count agrees, so only the size of the product is wrong. */
static void methods_are_endless(struct arguments *a) {
    a->method_count = SIZE_MAX / 4;
    a->request.value.method_count = SIZE_MAX / 4;
    a->request.value.output_count = SIZE_MAX / 4 * IMAGES;
}

static void picture_is_larger_than_allowed(struct arguments *a) { a->load.value.max_pixels = 1; }

static void first_moments_are_null(struct arguments *a) { a->moment_memory[0] = NULL; }
static void first_moments_are_missing(struct arguments *a) { a->moment_memory[0] = arguments_path(a, "missing"); }
static void first_moments_are_patterns(struct arguments *a) { a->moment_memory[0] = arguments_path(a, "patterns.safetensors"); }

const struct fault FAULTS[] = {
    /* Handles. */
    NONE(ENGINES & ~NULL_IS_FINE, engine),
    SHIFT(ENGINES, engine),
    DO(ENGINES, ARGUMENT, engine_is_an_image),
    DO(ENGINES, ARGUMENT, engine_is_zeros),
    NONE(IMAGE_CALLS & ~NULL_IS_FINE, image),
    SHIFT(IMAGE_CALLS, image),
    DO(IMAGE_CALLS, ARGUMENT, image_is_an_engine),
    DO(IMAGE_CALLS, ARGUMENT, image_is_zeros),
    NONE(JOB_CALLS & ~NULL_IS_FINE, job),
    SHIFT(JOB_CALLS, job),
    DO(JOB_CALLS, ARGUMENT, job_is_a_learner),
    DO(JOB_CALLS, ARGUMENT, job_is_zeros),
    NONE(LEARNER_CALLS & ~NULL_IS_FINE, learner),
    SHIFT(LEARNER_CALLS, learner),
    DO(LEARNER_CALLS, ARGUMENT, learner_is_a_job),
    DO(LEARNER_CALLS, ARGUMENT, learner_is_zeros),
    DO(ON(LEARNER_SAVE) | ON(LEARNER_SOLVE), ARGUMENT, learner_has_no_images),

    /* Where results go. */
    NONE(ON(ENGINE_OPEN), engine_result),
    SHIFT(ON(ENGINE_OPEN), engine_result),
    NONE(ON(IMAGE_LOAD), image_result),
    SHIFT(ON(IMAGE_LOAD), image_result),
    NONE(ON(EXPLAIN_START), job_result),
    SHIFT(ON(EXPLAIN_START), job_result),
    NONE(ON(LEARNER_OPEN), learner_result),
    SHIFT(ON(LEARNER_OPEN), learner_result),
    NONE(ON(ENGINE_LABEL), label_result),
    SHIFT(ON(ENGINE_LABEL), label_result),
    NONE(ON(ENGINE_MEMORY), host_bytes_result),
    SHIFT(ON(ENGINE_MEMORY), host_bytes_result),
    NONE(ON(ENGINE_MEMORY), device_bytes_result),
    SHIFT(ON(ENGINE_MEMORY), device_bytes_result),

    /* How an engine is opened. */
    READ(ON(ENGINE_OPEN), options),
    TEXT(ON(ENGINE_OPEN), NO_FILE | ARGUMENT, options.value.weights, ""),
    PATH(ON(ENGINE_OPEN), NO_FILE, options.value.weights, "missing"),
    PATH(ON(ENGINE_OPEN), NO_FILE | FORMAT, options.value.weights, "."),
    PATH(ON(ENGINE_OPEN), FORMAT, options.value.weights, "labels.txt"),
    PATH(ON(ENGINE_OPEN), FORMAT, options.value.weights, "moments.safetensors"),
    PATH(ON(ENGINE_OPEN), NO_FILE, options.value.patterns, "missing"),
    PATH(ON(ENGINE_OPEN), FORMAT, options.value.patterns, "labels.txt"),
    PATH(ON(ENGINE_OPEN), FORMAT, options.value.patterns, "moments.safetensors"),
    PATH(ON(ENGINE_OPEN), NO_FILE, options.value.labels, "missing"),
    PATH(ON(ENGINE_OPEN), FORMAT | NO_FILE, options.value.labels, "narrow.safetensors"),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.device, ""),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.device, "gpu"),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.device, "cuda:"),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.device, "cuda:-1"),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.device, "cuda:99999999999999999999"),
    TEXT(ON(ENGINE_OPEN), DEVICE, options.value.device, "cuda:9999"),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.device, "\xff"),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.precision, ""),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.precision, "f64"),
    TEXT(ON(ENGINE_OPEN), UNSUPPORTED, options.value.precision, "f16"),
    INT(ON(ENGINE_OPEN), ARGUMENT, options.value.threads, 65536),
    INT(ON(ENGINE_OPEN), ARGUMENT, options.value.threads, -1),
    INT(ON(ENGINE_OPEN), ARGUMENT, options.value.batch, 65536),
    INT(ON(ENGINE_OPEN), ARGUMENT, options.value.batch, -1),
    TEXT(ON(ENGINE_OPEN), ARGUMENT, options.value.channel_order, "rbg"),
    DO(ON(ENGINE_OPEN), ARGUMENT, mean_not_finite),
    DO(ON(ENGINE_OPEN), ARGUMENT, mean_endless),
    DO(ON(ENGINE_OPEN), ARGUMENT, mean_misaligned),
    DO(ON(ENGINE_OPEN), ARGUMENT, std_not_finite),
    DO(ON(ENGINE_OPEN), ARGUMENT, std_zero),
    FLOAT(ON(ENGINE_OPEN), options.value.pixel_scale, -1),
    FLOAT(ON(ENGINE_OPEN), options.value.pixel_scale, (double)NAN),
    FLOAT(ON(ENGINE_OPEN), options.value.pixel_scale, (double)INFINITY),
    INT(ON(ENGINE_OPEN), ARGUMENT, options.value.reserved, 1),

    /* Questions. */
    FILLED(ON(ENGINE_DESCRIBE), description),
    FILLED(ON(ENGINE_LAYER), layer),
    SIZE(ON(ENGINE_LAYER), layer_index, 5),
    SIZE(ON(ENGINE_LAYER), layer_index, SIZE_MAX),
    SIZE(ON(ENGINE_LABEL), output, 8),
    SIZE(ON(ENGINE_LABEL), output, SIZE_MAX),
    SIZE(ON(ENGINE_MEMORY), memory_images, 0),
    SIZE(ON(ENGINE_MEMORY), memory_images, SIZE_MAX),
    SIZE(ON(ENGINE_MEMORY), memory_height, 0),
    SIZE(ON(ENGINE_MEMORY), memory_height, 3),
    SIZE(ON(ENGINE_MEMORY), memory_height, SIZE_MAX),
    SIZE(ON(ENGINE_MEMORY), memory_width, 0),
    SIZE(ON(ENGINE_MEMORY), memory_width, SIZE_MAX / 2),

    /* Image files. */
    NONE(ON(IMAGE_LOAD), picture),
    TEXT(ON(IMAGE_LOAD), NO_FILE | ARGUMENT, picture, ""),
    PATH(ON(IMAGE_LOAD), NO_FILE, picture, "missing"),
    PATH(ON(IMAGE_LOAD), NO_FILE | FORMAT, picture, "."),
    PATH(ON(IMAGE_LOAD), FORMAT, picture, "labels.txt"),
    READ(ON(IMAGE_LOAD), load),
    INT(ON(IMAGE_LOAD), ARGUMENT, load.value.crop, 9),
    INT(ON(IMAGE_LOAD), ARGUMENT, load.value.crop, -1),
    DO(ON(IMAGE_LOAD), FORMAT, picture_is_larger_than_allowed),
    FILLED(ON(IMAGE_PIXELS), pixels),

    /* Batches. */
    NONE(BATCHES, batch_pointer),
    READ(BATCHES, batch),
    SIZE(BATCHES, batch.value.images, 0),
    SIZE(BATCHES, batch.value.images, SIZE_MAX),
    SIZE(BATCHES, batch.value.images, SIZE_MAX / 2),
    SIZE(BATCHES, batch.value.height, 0),
    SIZE(BATCHES, batch.value.height, 3),
    SIZE(BATCHES, batch.value.height, SIDE + 1),
    SIZE(BATCHES, batch.value.height, SIZE_MAX),
    SIZE(BATCHES, batch.value.height, SIZE_MAX / 2 + 1),
    SIZE(BATCHES, batch.value.width, 0),
    SIZE(BATCHES, batch.value.width, 3),
    SIZE(BATCHES, batch.value.width, SIDE + 1),
    SIZE(BATCHES, batch.value.width, SIZE_MAX),
    SIZE(BATCHES, batch.value.width, SIZE_MAX / 3 + 1),
    NONE(BATCHES, batch.value.pixels),
    SHIFT(BATCHES, batch.value.pixels),
    SIZE(BATCHES, batch.value.image_bytes, 0),
    SIZE(BATCHES, batch.value.image_bytes, SIDE * SIDE * CHANNELS - 1),
    SIZE(BATCHES, batch.value.row_stride, 1),
    SIZE(BATCHES, batch.value.row_stride, SIDE * CHANNELS - 1),
    SIZE(BATCHES, batch.value.row_stride, SIDE * CHANNELS + 1),
    SIZE(BATCHES, batch.value.row_stride, SIZE_MAX),
    SIZE(BATCHES, batch.value.row_stride, SIZE_MAX / 4),
    INT(BATCHES, ARGUMENT, batch.value.format, -1),
    INT(BATCHES, ARGUMENT, batch.value.format, 2),
    INT(BATCHES, ARGUMENT, batch.value.format, INT32_MIN),
    INT(BATCHES, ARGUMENT, batch.value.memory, -1),
    INT(BATCHES, ARGUMENT, batch.value.memory, 2),
    INT(BATCHES, ARGUMENT, batch.value.memory, INT32_MAX),
    INT(BATCHES, UNSUPPORTED, batch.value.memory, VGGX_MEMORY_CUDA),
    DO(BATCHES, ARGUMENT, second_image_is_null),
    DO(BATCHES, ARGUMENT, floats_misaligned),
    DO(BATCHES, ARGUMENT, floats_too_few),
    DO(BATCHES, ARGUMENT, floats_with_a_misaligned_stride),
    DO(BATCHES, ARGUMENT, floats_with_a_short_stride),
    DO(BATCHES, ARGUMENT, huge_images_that_fit_nowhere),
    DO(BATCHES, ARGUMENT, all_counts_are_endless),

    /* Classes and responses. */
    SIZE(ON(CLASSIFY), top, 0),
    SIZE(ON(CLASSIFY), top, 9),
    SIZE(ON(CLASSIFY), top, SIZE_MAX),
    SIZE(ON(CLASSIFY), top, SIZE_MAX / 2 + 2),
    NONE(ON(CLASSIFY), classes),
    SHIFT(ON(CLASSIFY), classes),
    SIZE(ON(CLASSIFY), class_count, 0),
    SIZE(ON(CLASSIFY), class_count, IMAGES * TOP - 1),
    NONE(ON(RESPONSES), responses),
    SHIFT(ON(RESPONSES), responses),
    SIZE(ON(RESPONSES), response_count, 0),
    SIZE(ON(RESPONSES), response_count, 15),
    NONE(ON(RESPONSES) | ON(LEARNER_ADD), statuses),
    SHIFT(ON(RESPONSES) | ON(LEARNER_ADD), statuses),
    SIZE(ON(RESPONSES) | ON(LEARNER_ADD), status_count, 1),
    SIZE(ON(RESPONSES) | ON(LEARNER_ADD), status_count, SIZE_MAX),

    /* Explanations. */
    NONE(REQUESTS, request_pointer),
    READ(REQUESTS, request),
    NONE(REQUESTS, request.value.methods),
    SHIFT(REQUESTS, request.value.methods),
    SIZE(REQUESTS, request.value.method_count, 1),
    SIZE(REQUESTS, request.value.method_count, SIZE_MAX),
    DO(REQUESTS | ON(ENGINE_PREPARE), ARGUMENT, methods_are_endless),
    DO(REQUESTS | ON(ENGINE_PREPARE), ARGUMENT, second_method_is_null),
    DO(REQUESTS | ON(ENGINE_PREPARE), ARGUMENT, second_method_is_unknown),
    DO(REQUESTS | ON(ENGINE_PREPARE), ARGUMENT, second_method_is_no_text),
    NONE(ON(ENGINE_PREPARE), methods),
    SHIFT(ON(ENGINE_PREPARE), methods),
    SIZE(ON(ENGINE_PREPARE), method_count, SIZE_MAX),
    TEXT(REQUESTS, ARGUMENT, request.value.target, ""),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "nonsense"),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "top0"),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "top9"),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "top99999999999999999999999"),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "-1"),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "8"),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "99999999999999999999999"),
    TEXT(REQUESTS, ARGUMENT, request.value.target, "\xe2\x82"),
    NONE(REQUESTS, request.value.targets),
    SHIFT(REQUESTS, request.value.targets),
    SIZE(REQUESTS, request.value.target_count, 1),
    SIZE(REQUESTS, request.value.target_count, SIZE_MAX),
    DO(REQUESTS, ARGUMENT, second_target_is_unknown),
    DO(REQUESTS, ARGUMENT, second_target_is_no_text),
    DO(REQUESTS, ARGUMENT, target_of_a_million_letters),
    NONE(REQUESTS, request.value.outputs),
    SHIFT(REQUESTS, request.value.outputs),
    SIZE(REQUESTS, request.value.output_count, 0),
    SIZE(REQUESTS, request.value.output_count, IMAGES * METHODS - 1),
    SIZE(REQUESTS, request.value.output_count, IMAGES * METHODS + 1),
    SIZE(REQUESTS, request.value.output_count, SIZE_MAX),
    SIZE(REQUESTS, request.value.output_bytes, 0),
    DO(REQUESTS, ARGUMENT, planes_too_short),
    DO(REQUESTS, ARGUMENT, last_output_is_null),
    DO(REQUESTS, ARGUMENT, last_output_is_misaligned),
    DO(REQUESTS, ARGUMENT, halves_misaligned),
    DO(REQUESTS, ARGUMENT, halves_without_exponents),
    DO(REQUESTS, ARGUMENT, heat_maps_too_short),
    INT(REQUESTS, ARGUMENT, request.value.detail, -1),
    INT(REQUESTS, ARGUMENT, request.value.detail, 2),
    INT(REQUESTS, ARGUMENT, request.value.element_type, -1),
    INT(REQUESTS, ARGUMENT, request.value.element_type, 2),
    INT(REQUESTS, ARGUMENT, request.value.memory, -1),
    INT(REQUESTS, ARGUMENT, request.value.memory, 2),
    INT(REQUESTS, UNSUPPORTED, request.value.memory, VGGX_MEMORY_CUDA),
    INT(REQUESTS, ARGUMENT, request.value.reserved, 1),
    NONE(REQUESTS, results),
    SHIFT(REQUESTS, results),
    SIZE(REQUESTS, result_count, 0),
    SIZE(REQUESTS, result_count, IMAGES - 1),
    SIZE(REQUESTS, result_count, IMAGES + 1),
    SIZE(REQUESTS, result_count, SIZE_MAX),
    NONE(REQUESTS, scale_log2),
    SHIFT(REQUESTS, scale_log2),
    SIZE(REQUESTS, scale_count, IMAGES * METHODS - 1),
    SIZE(REQUESTS, scale_count, IMAGES * METHODS + 1),
    SIZE(REQUESTS, scale_count, SIZE_MAX),

    /* Learning. */
    READ(ON(LEARNER_OPEN), learner_options),
    INT(ON(LEARNER_OPEN), ARGUMENT, learner_options.value.second_moments, 2),
    INT(ON(LEARNER_OPEN), ARGUMENT, learner_options.value.second_moments, -1),
    INT(ON(LEARNER_OPEN), ARGUMENT, learner_options.value.reserved, -1),
    NONE(ON(LEARNER_SAVE), moment_output),
    TEXT(ON(LEARNER_SAVE), NO_FILE | ARGUMENT, moment_output, ""),
    PATH(ON(LEARNER_SAVE), NO_FILE, moment_output, "."),
    PATH(ON(LEARNER_SAVE), NO_FILE, moment_output, "missing/moments.safetensors"),
    READ(SOLVES, solve_options),
    TEXT(SOLVES, ARGUMENT, solve_options.value.centering, "local"),
    TEXT(SOLVES, ARGUMENT, solve_options.value.centering, ""),
    TEXT(SOLVES, ARGUMENT, solve_options.value.store, "f8"),
    NONE(SOLVES, pattern_output),
    TEXT(SOLVES, NO_FILE | ARGUMENT, pattern_output, ""),
    PATH(SOLVES, NO_FILE, pattern_output, "."),
    PATH(SOLVES, NO_FILE, pattern_output, "missing/patterns.safetensors"),
    NONE(ON(SOLVE), moments),
    SHIFT(ON(SOLVE), moments),
    SIZE(ON(SOLVE), moment_count, 0),
    SIZE(ON(SOLVE), moment_count, SIZE_MAX),
    DO(ON(SOLVE), ARGUMENT, first_moments_are_null),
    DO(ON(SOLVE), NO_FILE, first_moments_are_missing),
    DO(ON(SOLVE), FORMAT, first_moments_are_patterns),
};
const size_t FAULT_COUNT = sizeof FAULTS / sizeof FAULTS[0];

void fault_apply(const struct fault *fault, struct arguments *arguments) {
    char *place = (char *)arguments + fault->offset;
    size_t size = (size_t)fault->number;
    uint32_t integer = (uint32_t)fault->number;
    float value = (float)fault->value;
    const char *pointer = fault->text;
    switch (fault->kind) {
    case FAULT_SIZE:
        memcpy(place, &size, sizeof size);
        break;
    case FAULT_INT:
        memcpy(place, &integer, sizeof integer);
        break;
    case FAULT_FLOAT:
        memcpy(place, &value, sizeof value);
        break;
    case FAULT_PATH:
        pointer = arguments_path(arguments, fault->text);
        memcpy(place, &pointer, sizeof pointer);
        break;
    case FAULT_TEXT:
        memcpy(place, &pointer, sizeof pointer);
        break;
    case FAULT_SHIFT:
        memcpy(&pointer, place, sizeof pointer);
        /* Where it is null already, one that is not null and misaligned. */
        pointer = pointer != NULL ? pointer + 1 : (const char *)1;
        memcpy(place, &pointer, sizeof pointer);
        break;
    case FAULT_FUNCTION:
        fault->function(arguments);
        break;
    }
}
