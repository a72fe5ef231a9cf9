/* Calls every function of vggx.h with wrong arguments, one at a time and several together. Each call must fail as vggx.h says,
 * with a message, and the engine must give the same bits afterwards.
 *
 *   fuzz FOLDER [COMBINATIONS [SEED]]
 *
 * FOLDER must be there; the files of a narrow network are written into it. Run it under a sanitizer or valgrind to see accesses
 * beyond what the arguments lead to.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../narrow_network.h"
#include "arguments.h"
#include "faults.h"

static int failures;

static void complain(enum call call, const char *fault, const char *what) {
    enum { SHOWN = 40 };
    if (failures < SHOWN) {
        fprintf(stderr, "%s with %s: %s (%s)\n", call_name(call), fault, what, vggx_last_error());
    }
    failures++;
}

static void must(vggx_status status, const char *what) {
    if (status != VGGX_OK) {
        fprintf(stderr, "error: %s: %s: %s\n", what, vggx_status_name(status), vggx_last_error());
        exit(1);
    }
}

/* One line of printable text. */
static int is_a_message(const char *text) {
    if (text == NULL || strlen(text) < 8) {
        return 0;
    }
    for (const char *letter = text; *letter != '\0'; letter++) {
        if ((unsigned char)*letter < ' ') {
            return 0;
        }
    }
    return 1;
}

static void check_failure(enum call call, const char *fault, vggx_status status, uint32_t statuses) {
    if (status < 0 || status > 31 || (statuses >> status & 1) == 0) {
        char what[100];
        snprintf(what, sizeof what, "returned %s", vggx_status_name(status));
        complain(call, fault, what);
    } else if (!is_a_message(vggx_last_error())) {
        complain(call, fault, "left no message of one line");
    }
}

/* The handles of the fixture, made as vggx.h says; patterns and moments of the narrow network, made by vggx itself. */
static void make_fixture(struct fixture *fixture, const char *folder) {
    memset(fixture, 0, sizeof *fixture);
    fixture->folder = folder;
    if (narrow_network_write(folder) != 0) {
        fprintf(stderr, "error: cannot write into %s\n", folder);
        exit(1);
    }
    /* An engine without patterns learns them. */
    struct arguments arguments;
    vggx_engine_options options = VGGX_INIT(vggx_engine_options);
    char path[3][4096];
    const char *const names[3] = {"narrow.safetensors", "moments.safetensors", "patterns.safetensors"};
    for (int file = 0; file < 3; file++) {
        snprintf(path[file], sizeof path[file], "%s/%s", folder, names[file]);
    }
    options.weights = path[0];
    options.device = "cpu";
    options.threads = 1;
    must(vggx_engine_open(&options, &fixture->engine), "open without patterns");
    must(vggx_learner_open(fixture->engine, NULL, &fixture->learner), "open a learner");
    arguments_make(&arguments, fixture);
    must(arguments_call(&arguments, CALL_LEARNER_ADD), "learn");
    must(vggx_learner_save(fixture->learner, path[1]), "save moments");
    must(vggx_learner_solve(fixture->learner, NULL, path[2]), "solve patterns");
    must(vggx_engine_close(fixture->engine), "close the engine before its learner");

    must(vggx_engine_open(arguments.options_pointer, &fixture->engine), "open with patterns and labels");
    must(vggx_learner_open(fixture->engine, NULL, &fixture->empty_learner), "open another learner");
    must(vggx_image_load(arguments.picture, arguments.load_pointer, &fixture->image), "load the picture");
    arguments.engine = fixture->engine;
    must(vggx_explain_start(arguments.engine, arguments.batch_pointer, arguments.request_pointer, arguments.results,
                            arguments.result_count, arguments.scale_log2, arguments.scale_count, NULL, NULL, &fixture->job),
         "start a job");
    must(vggx_job_wait(fixture->job, VGGX_WAIT_FOREVER), "wait for the job");
    arguments_free(&arguments);
}

/* Without a fault every call succeeds: so what fails below fails for its fault. Closing is left for the end. */
static void check_right_arguments(const struct fixture *fixture) {
    for (int call = 0; call < CALL_COUNT; call++) {
        if (call == CALL_ENGINE_CLOSE || call == CALL_IMAGE_FREE || call == CALL_JOB_FREE || call == CALL_LEARNER_CLOSE) {
            continue;
        }
        struct arguments arguments;
        arguments_make(&arguments, fixture);
        vggx_status status = arguments_call(&arguments, (enum call)call);
        if (status != VGGX_OK) {
            complain((enum call)call, "right arguments", vggx_status_name(status));
        } else if (vggx_last_error()[0] != '\0') {
            complain((enum call)call, "right arguments", "left a message");
        }
        arguments_free(&arguments);
    }
}

/* What null, zero and other versions' structs stand for. */
static void check_defaults(const struct fixture *fixture) {
    must(vggx_engine_close(NULL), "close no engine");
    must(vggx_image_free(NULL), "free no image");
    must(vggx_job_free(NULL), "free no job");
    must(vggx_learner_close(NULL), "close no learner");
    must(vggx_engine_prepare(fixture->engine, NULL, 0), "prepare nothing");

    struct arguments arguments;
    arguments_make(&arguments, fixture);
    /* A later program, which uses nothing that is new to it. */
    arguments.options.value.size = sizeof arguments.options;
    arguments.batch.value.size = sizeof arguments.batch;
    arguments.request.value.size = sizeof arguments.request;
    must(arguments_call(&arguments, CALL_ENGINE_OPEN), "options with an unused tail");
    must(arguments_call(&arguments, CALL_EXPLAIN), "batch and request with an unused tail");
    arguments_free(&arguments);

    arguments_make(&arguments, fixture);
    arguments.request.value.methods = NULL;
    arguments.request.value.method_count = 0;
    arguments.request.value.targets = NULL;
    arguments.request.value.target_count = 0;
    arguments.request.value.target = NULL;
    arguments.scale_log2 = NULL;
    arguments.scale_count = 0;
    must(arguments_call(&arguments, CALL_EXPLAIN), "the default request");
    arguments.learner_options_pointer = NULL;
    must(arguments_call(&arguments, CALL_LEARNER_OPEN), "the default learner");
    arguments.statuses = NULL;
    arguments.status_count = 0;
    must(arguments_call(&arguments, CALL_RESPONSES), "no statuses");
    arguments_free(&arguments);

    /* Any number is fine here. */
    for (int64_t number = -3; number < 40; number++) {
        if (vggx_status_name((vggx_status)number)[0] == '\0') {
            complain(CALL_COUNT - 1, "a number", "has a status without a name");
        }
    }
    if (vggx_status_name(INT32_MIN) == NULL || vggx_status_name(INT32_MAX) == NULL || vggx_method_name(SIZE_MAX) != NULL ||
        vggx_method_name(0) == NULL) {
        complain(CALL_COUNT - 1, "extreme numbers", "names are wrong");
    }
}

static void check_each_fault(const struct fixture *fixture) {
    for (size_t index = 0; index < FAULT_COUNT; index++) {
        const struct fault *fault = &FAULTS[index];
        for (int call = 0; call < CALL_COUNT; call++) {
            if ((fault->calls >> call & 1) != 0) {
                struct arguments arguments;
                arguments_make(&arguments, fixture);
                fault_apply(fault, &arguments);
                check_failure((enum call)call, fault->name, arguments_call(&arguments, (enum call)call), fault->statuses);
                arguments_free(&arguments);
            }
        }
    }
}

/* Two to four faults at once, at least one of them of the call: which is found first is open. */
static void check_combinations(const struct fixture *fixture, long count, uint64_t seed) {
    enum { ERRORS = 1 << VGGX_ERROR_ARGUMENT | 1 << VGGX_ERROR_FILE | 1 << VGGX_ERROR_FORMAT | 1 << VGGX_ERROR_UNSUPPORTED |
                    1 << VGGX_ERROR_DEVICE | 1 << VGGX_ERROR_MEMORY };
    uint64_t state = seed;
    for (long round = 0; round < count; round++) {
        const struct fault *faults[4];
        size_t chosen = 2 + narrow_random(&state) % 3;
        for (size_t index = 0; index < chosen; index++) {
            faults[index] = &FAULTS[narrow_random(&state) % FAULT_COUNT];
        }
        int call = (int)(narrow_random(&state) % CALL_COUNT);
        while ((faults[0]->calls >> call & 1) == 0) {
            call = (call + 1) % CALL_COUNT;
        }
        struct arguments arguments;
        arguments_make(&arguments, fixture);
        char names[1000] = "";
        /* The call's own last, so that no other makes it right again. */
        for (size_t index = chosen; index-- > 0;) {
            fault_apply(faults[index], &arguments);
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", faults[index]->name, index > 0 ? ", " : "");
        }
        check_failure((enum call)call, names, arguments_call(&arguments, (enum call)call), ERRORS);
        arguments_free(&arguments);
    }
}

/* Explains, and keeps all arrays of the batch. */
static void explain(const struct fixture *fixture, float *values) {
    struct arguments arguments;
    arguments_make(&arguments, fixture);
    must(arguments_call(&arguments, CALL_EXPLAIN), "explain");
    size_t array = CHANNELS * SIDE * SIDE;
    for (size_t output = 0; output < IMAGES * METHODS; output++) {
        memcpy(values + output * array, arguments.outputs[output], array * sizeof(float));
    }
    arguments_free(&arguments);
}

int main(int count, char **words) {
    if (count < 2 || count > 4) {
        fprintf(stderr, "usage: fuzz FOLDER [COMBINATIONS [SEED]]\n");
        return 2;
    }
    long combinations = count > 2 ? strtol(words[2], NULL, 10) : 10000;
    uint64_t seed = count > 3 ? strtoull(words[3], NULL, 10) : 1;

    static float before[IMAGES * METHODS * CHANNELS * SIDE * SIDE];
    static float after[IMAGES * METHODS * CHANNELS * SIDE * SIDE];
    struct fixture fixture;
    make_fixture(&fixture, words[1]);
    explain(&fixture, before);
    check_right_arguments(&fixture);
    check_defaults(&fixture);
    check_each_fault(&fixture);
    check_combinations(&fixture, combinations, seed);
    explain(&fixture, after);
    if (memcmp(before, after, sizeof before) != 0) {
        fprintf(stderr, "the engine gives other bits afterwards\n");
        failures++;
    }

    must(vggx_job_free(fixture.job), "free the job");
    must(vggx_image_free(fixture.image), "free the image");
    must(vggx_engine_close(fixture.engine), "close the engine");
    must(vggx_learner_close(fixture.learner), "close the learner");
    must(vggx_learner_close(fixture.empty_learner), "close the other learner");
    printf("%zu faults, %ld combinations (seed %llu): %d failures\n", FAULT_COUNT, combinations, (unsigned long long)seed,
           failures);
    return failures == 0 ? 0 : 1;
}
