/* Arguments for every call of vggx.h, right ones to begin with. */

#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "vggx.h"

enum {
    IMAGES = 2,
    SIDE = 8,
    CHANNELS = 3,
    METHODS = 2,
    TOP = 3,
    /* Bytes behind a struct that belong to the caller, for sizes larger than vggx knows. */
    TAIL = 64
};

/* The calls that return a status. */
enum call {
    CALL_ENGINE_OPEN,
    CALL_ENGINE_CLOSE,
    CALL_ENGINE_PREPARE,
    CALL_ENGINE_DESCRIBE,
    CALL_ENGINE_LAYER,
    CALL_ENGINE_LABEL,
    CALL_ENGINE_MEMORY,
    CALL_IMAGE_LOAD,
    CALL_IMAGE_PIXELS,
    CALL_IMAGE_FREE,
    CALL_CLASSIFY,
    CALL_RESPONSES,
    CALL_EXPLAIN,
    CALL_EXPLAIN_START,
    CALL_JOB_POLL,
    CALL_JOB_WAIT,
    CALL_JOB_CANCEL,
    CALL_JOB_FREE,
    CALL_LEARNER_OPEN,
    CALL_LEARNER_ADD,
    CALL_LEARNER_SAVE,
    CALL_LEARNER_SOLVE,
    CALL_LEARNER_CLOSE,
    CALL_SOLVE,
    CALL_COUNT
};

const char *call_name(enum call call);

/* What lives as long as the test. */
struct fixture {
    /* With the narrow network, its labels and patterns, a picture, a moment file. */
    const char *folder;
    vggx_engine *engine;
    vggx_image *image;
    vggx_job *job;
    vggx_learner *learner;
    /* Of the same network, without images. */
    vggx_learner *empty_learner;
};

/* Every argument of every call. Arrays are allocations of their own and no longer than they must be, so that a sanitizer sees
 * an access beyond. Pointers to structs lead to the struct beside them until a fault redirects them. */
struct arguments {
    const struct fixture *fixture;

    vggx_engine *engine;
    vggx_image *image;
    vggx_job *job;
    vggx_learner *learner;

    struct { vggx_engine_options value; unsigned char tail[TAIL]; } options;
    struct { vggx_description value; unsigned char tail[TAIL]; } description;
    struct { vggx_layer value; unsigned char tail[TAIL]; } layer;
    struct { vggx_load_options value; unsigned char tail[TAIL]; } load;
    struct { vggx_pixels value; unsigned char tail[TAIL]; } pixels;
    struct { vggx_batch value; unsigned char tail[TAIL]; } batch;
    struct { vggx_request value; unsigned char tail[TAIL]; } request;
    struct { vggx_learner_options value; unsigned char tail[TAIL]; } learner_options;
    struct { vggx_solve_options value; unsigned char tail[TAIL]; } solve_options;
    const vggx_engine_options *options_pointer;
    vggx_description *description_pointer;
    vggx_layer *layer_pointer;
    const vggx_load_options *load_pointer;
    vggx_pixels *pixels_pointer;
    const vggx_batch *batch_pointer;
    const vggx_request *request_pointer;
    const vggx_learner_options *learner_options_pointer;
    const vggx_solve_options *solve_options_pointer;

    /* Where handles go, and where the pointers to them lead. */
    vggx_engine *opened_engine;
    vggx_image *opened_image;
    vggx_job *opened_job;
    vggx_learner *opened_learner;
    vggx_engine **engine_result;
    vggx_image **image_result;
    vggx_job **job_result;
    vggx_learner **learner_result;

    const char *label;
    const char **label_result;
    uint64_t host_bytes;
    uint64_t *host_bytes_result;
    uint64_t device_bytes;
    uint64_t *device_bytes_result;

    size_t layer_index;
    size_t output;
    size_t memory_images;
    size_t memory_height;
    size_t memory_width;

    const char *picture;
    const char *moment_output;
    const char *pattern_output;
    const char **moments;
    size_t moment_count;

    const void **pixel_rows;
    const char **methods;
    size_t method_count;
    const char **targets;
    void **outputs;

    size_t top;
    vggx_class *classes;
    size_t class_count;
    float *responses;
    size_t response_count;
    vggx_status *statuses;
    size_t status_count;
    vggx_explained *results;
    size_t result_count;
    int32_t *scale_log2;
    size_t scale_count;

    /* The arrays behind `methods` and `moments`, whatever those lead to by then. */
    const char **method_memory;
    const char **moment_memory;

    /* Allocations that arguments_free gives back, whatever the pointers above lead to by then. */
    void *allocations[32];
    size_t allocation_count;
};

/* Fills in right arguments. */
void arguments_make(struct arguments *arguments, const struct fixture *fixture);

/* Memory with nothing behind it, given back by arguments_free. */
void *arguments_allocate(struct arguments *arguments, size_t bytes);

/* A path below the fixture's folder, given back by arguments_free. */
const char *arguments_path(struct arguments *arguments, const char *name);

/* Makes a call. Handles that it opened are closed again. VGGX_ERROR_INTERNAL also where it failed and left something else than
 * null in place of a handle. */
vggx_status arguments_call(struct arguments *arguments, enum call call);

void arguments_free(struct arguments *arguments);

#endif
