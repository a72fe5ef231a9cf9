#include "arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *call_name(enum call call) {
    static const char *const NAMES[CALL_COUNT] = {
        "vggx_engine_open",  "vggx_engine_close",   "vggx_engine_prepare", "vggx_engine_describe", "vggx_engine_layer",
        "vggx_engine_label", "vggx_engine_memory",  "vggx_image_load",     "vggx_image_pixels",    "vggx_image_free",
        "vggx_classify",     "vggx_responses",      "vggx_explain",        "vggx_explain_start",   "vggx_job_poll",
        "vggx_job_wait",     "vggx_job_cancel",     "vggx_job_free",       "vggx_learner_open",    "vggx_learner_add",
        "vggx_learner_save", "vggx_learner_solve",  "vggx_learner_close",  "vggx_solve",
    };
    return NAMES[call];
}

void *arguments_allocate(struct arguments *arguments, size_t bytes) {
    void *memory = calloc(1, bytes);
    size_t room = sizeof arguments->allocations / sizeof arguments->allocations[0];
    if (memory == NULL || arguments->allocation_count == room) {
        fprintf(stderr, "error: no room for an allocation of %zu bytes\n", bytes);
        exit(1);
    }
    arguments->allocations[arguments->allocation_count++] = memory;
    return memory;
}

const char *arguments_path(struct arguments *arguments, const char *name) {
    size_t bytes = strlen(arguments->fixture->folder) + strlen(name) + 2;
    char *path = arguments_allocate(arguments, bytes);
    snprintf(path, bytes, "%s/%s", arguments->fixture->folder, name);
    return path;
}

void arguments_make(struct arguments *arguments, const struct fixture *fixture) {
    memset(arguments, 0, sizeof *arguments);
    arguments->fixture = fixture;
    arguments->engine = fixture->engine;
    arguments->image = fixture->image;
    arguments->job = fixture->job;
    arguments->learner = fixture->learner;

    arguments->options_pointer = &arguments->options.value;
    arguments->options.value = (vggx_engine_options)VGGX_INIT(vggx_engine_options);
    arguments->options.value.weights = arguments_path(arguments, "narrow.safetensors");
    arguments->options.value.patterns = arguments_path(arguments, "patterns.safetensors");
    arguments->options.value.labels = arguments_path(arguments, "labels.txt");
    arguments->options.value.device = "cpu";
    arguments->options.value.threads = 1;
    arguments->description_pointer = &arguments->description.value;
    arguments->description.value.size = sizeof(vggx_description);
    arguments->layer_pointer = &arguments->layer.value;
    arguments->layer.value.size = sizeof(vggx_layer);
    arguments->load_pointer = &arguments->load.value;
    arguments->load.value = (vggx_load_options)VGGX_INIT(vggx_load_options);
    arguments->load.value.resize = SIDE;
    arguments->load.value.crop = SIDE;
    arguments->pixels_pointer = &arguments->pixels.value;
    arguments->pixels.value.size = sizeof(vggx_pixels);
    arguments->engine_result = &arguments->opened_engine;
    arguments->image_result = &arguments->opened_image;
    arguments->job_result = &arguments->opened_job;
    arguments->learner_result = &arguments->opened_learner;
    arguments->label_result = &arguments->label;
    arguments->host_bytes_result = &arguments->host_bytes;
    arguments->device_bytes_result = &arguments->device_bytes;

    arguments->memory_images = IMAGES;
    arguments->memory_height = SIDE;
    arguments->memory_width = SIDE;
    arguments->picture = arguments_path(arguments, "picture.bmp");
    arguments->moment_output = arguments_path(arguments, "written-moments.safetensors");
    arguments->pattern_output = arguments_path(arguments, "written-patterns.safetensors");
    arguments->moments = arguments_allocate(arguments, sizeof(char *));
    arguments->moment_memory = arguments->moments;
    arguments->moments[0] = arguments_path(arguments, "moments.safetensors");
    arguments->moment_count = 1;

    arguments->pixel_rows = arguments_allocate(arguments, IMAGES * sizeof(void *));
    for (size_t image = 0; image < IMAGES; image++) {
        unsigned char *pixels = arguments_allocate(arguments, SIDE * SIDE * CHANNELS);
        for (size_t byte = 0; byte < SIDE * SIDE * CHANNELS; byte++) {
            pixels[byte] = (unsigned char)((image + 3) * (byte + 1) * 41 % 256);
        }
        arguments->pixel_rows[image] = pixels;
    }
    arguments->batch_pointer = &arguments->batch.value;
    arguments->batch.value = (vggx_batch)VGGX_INIT(vggx_batch);
    arguments->batch.value.images = IMAGES;
    arguments->batch.value.height = SIDE;
    arguments->batch.value.width = SIDE;
    arguments->batch.value.pixels = arguments->pixel_rows;
    arguments->batch.value.image_bytes = SIDE * SIDE * CHANNELS;

    arguments->methods = arguments_allocate(arguments, METHODS * sizeof(char *));
    arguments->method_memory = arguments->methods;
    arguments->methods[0] = "gradient";
    arguments->methods[1] = "patternnet";
    arguments->method_count = METHODS;
    arguments->targets = arguments_allocate(arguments, IMAGES * sizeof(char *));
    /* The first image has the request's. */
    arguments->targets[0] = NULL;
    arguments->targets[1] = "class 3";
    arguments->outputs = arguments_allocate(arguments, IMAGES * METHODS * sizeof(void *));
    for (size_t output = 0; output < IMAGES * METHODS; output++) {
        arguments->outputs[output] = arguments_allocate(arguments, CHANNELS * SIDE * SIDE * sizeof(float));
    }
    arguments->request_pointer = &arguments->request.value;
    arguments->request.value = (vggx_request)VGGX_INIT(vggx_request);
    arguments->request.value.methods = arguments->methods;
    arguments->request.value.method_count = METHODS;
    arguments->request.value.target = "top1";
    arguments->request.value.targets = arguments->targets;
    arguments->request.value.target_count = IMAGES;
    arguments->request.value.outputs = arguments->outputs;
    arguments->request.value.output_count = IMAGES * METHODS;
    arguments->request.value.output_bytes = CHANNELS * SIDE * SIDE * sizeof(float);

    arguments->learner_options_pointer = &arguments->learner_options.value;
    arguments->learner_options.value = (vggx_learner_options)VGGX_INIT(vggx_learner_options);
    arguments->solve_options_pointer = &arguments->solve_options.value;
    arguments->solve_options.value = (vggx_solve_options)VGGX_INIT(vggx_solve_options);

    vggx_description description = VGGX_INIT(vggx_description);
    vggx_engine_describe(fixture->engine, &description);
    arguments->top = TOP;
    arguments->class_count = IMAGES * TOP;
    arguments->classes = arguments_allocate(arguments, arguments->class_count * sizeof(vggx_class));
    arguments->response_count = IMAGES * description.outputs;
    arguments->responses = arguments_allocate(arguments, arguments->response_count * sizeof(float));
    arguments->status_count = IMAGES;
    arguments->statuses = arguments_allocate(arguments, IMAGES * sizeof(vggx_status));
    arguments->result_count = IMAGES;
    arguments->results = arguments_allocate(arguments, IMAGES * sizeof(vggx_explained));
    arguments->scale_count = IMAGES * METHODS;
    arguments->scale_log2 = arguments_allocate(arguments, IMAGES * METHODS * sizeof(int32_t));
}

/* What a failed call must have replaced by null. */
static char untouched;
#define UNTOUCHED ((void *)&untouched)

vggx_status arguments_call(struct arguments *a, enum call call) {
    a->opened_engine = call == CALL_ENGINE_OPEN ? UNTOUCHED : NULL;
    a->opened_image = call == CALL_IMAGE_LOAD ? UNTOUCHED : NULL;
    a->opened_job = call == CALL_EXPLAIN_START ? UNTOUCHED : NULL;
    a->opened_learner = call == CALL_LEARNER_OPEN ? UNTOUCHED : NULL;
    vggx_status status = VGGX_ERROR_INTERNAL;
    switch (call) {
    case CALL_ENGINE_OPEN:
        status = vggx_engine_open(a->options_pointer, a->engine_result);
        break;
    case CALL_ENGINE_CLOSE:
        return vggx_engine_close(a->engine);
    case CALL_ENGINE_PREPARE:
        return vggx_engine_prepare(a->engine, a->methods, a->method_count);
    case CALL_ENGINE_DESCRIBE:
        return vggx_engine_describe(a->engine, a->description_pointer);
    case CALL_ENGINE_LAYER:
        return vggx_engine_layer(a->engine, a->layer_index, a->layer_pointer);
    case CALL_ENGINE_LABEL:
        return vggx_engine_label(a->engine, a->output, a->label_result);
    case CALL_ENGINE_MEMORY:
        return vggx_engine_memory(a->engine, a->memory_images, a->memory_height, a->memory_width, a->host_bytes_result,
                                  a->device_bytes_result);
    case CALL_IMAGE_LOAD:
        status = vggx_image_load(a->picture, a->load_pointer, a->image_result);
        break;
    case CALL_IMAGE_PIXELS:
        return vggx_image_pixels(a->image, a->pixels_pointer);
    case CALL_IMAGE_FREE:
        return vggx_image_free(a->image);
    case CALL_CLASSIFY:
        return vggx_classify(a->engine, a->batch_pointer, a->top, a->classes, a->class_count);
    case CALL_RESPONSES:
        return vggx_responses(a->engine, a->batch_pointer, a->responses, a->response_count, a->statuses, a->status_count);
    case CALL_EXPLAIN:
        return vggx_explain(a->engine, a->batch_pointer, a->request_pointer, a->results, a->result_count, a->scale_log2,
                            a->scale_count);
    case CALL_EXPLAIN_START:
        status = vggx_explain_start(a->engine, a->batch_pointer, a->request_pointer, a->results, a->result_count,
                                    a->scale_log2, a->scale_count, NULL, NULL, a->job_result);
        break;
    case CALL_JOB_POLL:
        return vggx_job_poll(a->job);
    case CALL_JOB_WAIT:
        return vggx_job_wait(a->job, VGGX_WAIT_FOREVER);
    case CALL_JOB_CANCEL:
        return vggx_job_cancel(a->job);
    case CALL_JOB_FREE:
        return vggx_job_free(a->job);
    case CALL_LEARNER_OPEN:
        status = vggx_learner_open(a->engine, a->learner_options_pointer, a->learner_result);
        break;
    case CALL_LEARNER_ADD:
        return vggx_learner_add(a->learner, a->batch_pointer, a->statuses, a->status_count);
    case CALL_LEARNER_SAVE:
        return vggx_learner_save(a->learner, a->moment_output);
    case CALL_LEARNER_SOLVE:
        return vggx_learner_solve(a->learner, a->solve_options_pointer, a->pattern_output);
    case CALL_LEARNER_CLOSE:
        return vggx_learner_close(a->learner);
    case CALL_SOLVE:
        return vggx_solve(a->engine, a->moments, a->moment_count, a->solve_options_pointer, a->pattern_output);
    case CALL_COUNT:
        break;
    }
    int closed = 1;
    if (status == VGGX_OK) {
        closed = vggx_job_free(a->opened_job) == VGGX_OK && vggx_learner_close(a->opened_learner) == VGGX_OK &&
                 vggx_image_free(a->opened_image) == VGGX_OK && vggx_engine_close(a->opened_engine) == VGGX_OK;
    } else {
        /* Null, unless the call did not know where. */
        closed = (a->opened_engine == NULL || a->engine_result != &a->opened_engine) &&
                 (a->opened_image == NULL || a->image_result != &a->opened_image) &&
                 (a->opened_job == NULL || a->job_result != &a->opened_job) &&
                 (a->opened_learner == NULL || a->learner_result != &a->opened_learner);
    }
    return closed ? status : VGGX_ERROR_INTERNAL;
}

void arguments_free(struct arguments *arguments) {
    for (size_t index = 0; index < arguments->allocation_count; index++) {
        free(arguments->allocations[index]);
    }
}
