/* Opens and closes everything thousands of times: the memory of the process must not grow, and no thread may be left.
 *
 *   cycles FOLDER [CYCLES]
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "narrow_network.h"
#include "vggx.h"

enum {
    /* Bytes that a cycle may leave on average. Leaks are larger: the smallest handle holds more. */
    LEFT_A_CYCLE = 200,
    /* Freed memory that the allocator keeps or not, by chance. */
    SLACK = 512 * 1024,
    /* Fewer say nothing about memory that grows. */
    ENOUGH = 1000,
    /* Every so many cycles files are written, which takes as long as the disk does. */
    WRITING = 100
};

static void must(vggx_status status, const char *what) {
    if (status != VGGX_OK) {
        fprintf(stderr, "error: %s: %s: %s\n", what, vggx_status_name(status), vggx_last_error());
        exit(1);
    }
}

/* Resident bytes, or -1 where the system does not tell. */
static long resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = -1;
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) {
        pages = -1;
    }
    if (file != NULL) {
        fclose(file);
    }
    return pages < 0 ? -1 : pages * sysconf(_SC_PAGESIZE);
}

/* Threads of the process, or -1 where the system does not tell. */
static int threads(void) {
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL) {
        return -1;
    }
    int count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

/* Whether there are no more threads than before; ones that were joined need a moment to be gone. */
static int threads_are_gone(int before) {
    const struct timespec moment = {.tv_sec = 0, .tv_nsec = 10000000};
    for (int attempt = 0; attempt < 500; attempt++) {
        if (threads() <= before) {
            return 1;
        }
        nanosleep(&moment, NULL);
    }
    return 0;
}

/* Every kind of handle, used and unused, and calls that fail. */
static void cycle(long round, const char *weights, const char *picture, const char *moments, const char *patterns) {
    vggx_engine_options options = VGGX_INIT(vggx_engine_options);
    options.weights = weights;
    options.device = "cpu";
    options.threads = 1;
    vggx_engine *engine = NULL;
    must(vggx_engine_open(&options, &engine), "open");

    vggx_load_options load = VGGX_INIT(vggx_load_options);
    load.resize = NARROW_SIDE;
    load.crop = NARROW_SIDE;
    vggx_image *image = NULL;
    must(vggx_image_load(picture, &load, &image), "load");
    vggx_pixels pixels = VGGX_INIT(vggx_pixels);
    must(vggx_image_pixels(image, &pixels), "pixels");

    const void *rows = pixels.pixels;
    vggx_batch batch = VGGX_INIT(vggx_batch);
    batch.images = 1;
    batch.height = pixels.height;
    batch.width = pixels.width;
    batch.pixels = &rows;
    batch.image_bytes = pixels.bytes;
    batch.row_stride = pixels.row_stride;
    const char *method = "gradient";
    float values[3 * NARROW_SIDE * NARROW_SIDE];
    void *output = values;
    vggx_request request = VGGX_INIT(vggx_request);
    request.methods = &method;
    request.method_count = 1;
    request.outputs = &output;
    request.output_count = 1;
    request.output_bytes = sizeof values;
    vggx_explained explained;
    must(vggx_explain(engine, &batch, &request, &explained, 1, NULL, 0), "explain");

    vggx_job *job = NULL;
    must(vggx_explain_start(engine, &batch, &request, &explained, 1, NULL, 0, NULL, NULL, &job), "start");
    must(vggx_job_wait(job, VGGX_WAIT_FOREVER), "wait");
    vggx_learner *learner = NULL;
    must(vggx_learner_open(engine, NULL, &learner), "open a learner");
    must(vggx_learner_add(learner, &batch, NULL, 0), "learn");
    if (round % WRITING == 0) {
        must(vggx_learner_save(learner, moments), "save moments");
        must(vggx_learner_solve(learner, NULL, patterns), "solve");
        must(vggx_solve(engine, &moments, 1, NULL, patterns), "solve from a file");
    }

    vggx_engine *refused = NULL;
    options.weights = picture;
    if (vggx_engine_open(&options, &refused) == VGGX_OK || vggx_engine_layer(engine, 99, NULL) == VGGX_OK) {
        must(VGGX_ERROR_INTERNAL, "what must be refused");
    }

    must(vggx_job_free(job), "free the job");
    must(vggx_learner_close(learner), "close the learner");
    must(vggx_image_free(image), "free the image");
    must(vggx_engine_close(engine), "close");
}

int main(int count, char **words) {
    if (count < 2 || count > 3) {
        fprintf(stderr, "usage: cycles FOLDER [CYCLES]\n");
        return 2;
    }
    long cycles = count > 2 ? strtol(words[2], NULL, 10) : 2000;
    char path[4][4096];
    const char *const names[4] = {"narrow.safetensors", "picture.bmp", "moments.safetensors", "patterns.safetensors"};
    for (int file = 0; file < 4; file++) {
        snprintf(path[file], sizeof path[file], "%s/%s", words[1], names[file]);
    }
    if (narrow_network_write(words[1]) != 0) {
        fprintf(stderr, "error: cannot write into %s\n", words[1]);
        return 1;
    }
    int threads_before = threads();
    /* Until the allocator and the threads' stacks are as large as they get. */
    for (long round = 0; round < cycles / 4 + 1; round++) {
        cycle(round, path[0], path[1], path[2], path[3]);
    }
    long before = resident();
    for (long round = 0; round < cycles; round++) {
        cycle(round, path[0], path[1], path[2], path[3]);
    }
    long grown = resident() - before;
    printf("%ld cycles: %ld KiB resident, grown by %ld KiB\n", cycles, before / 1024, grown / 1024);
    if (before < 0 || threads_before < 0) {
        printf("skipped: this system does not tell a process its memory and threads, so nobody saw whether they grow\n");
        return 0;
    }
    if (cycles >= ENOUGH && grown > SLACK + LEFT_A_CYCLE * cycles) {
        fprintf(stderr, "error: memory grows with every cycle\n");
        return 1;
    }
    if (!threads_are_gone(threads_before)) {
        fprintf(stderr, "error: %d threads, %d before: some are left after everything was closed\n", threads(), threads_before);
        return 1;
    }
    return 0;
}
