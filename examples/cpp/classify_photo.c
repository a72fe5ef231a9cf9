/* Prints the outputs that respond most to a photo. Plain C.
 *
 *   classify_photo PHOTO [WEIGHTS LABELS]
 */

#include <stdio.h>

#include <vggx.h>

enum { TOP = 5 };

static vggx_status print_classes(vggx_engine *engine, const vggx_image *photo) {
    vggx_pixels pixels = VGGX_INIT(vggx_pixels);
    vggx_status status = vggx_image_pixels(photo, &pixels);
    if (status != VGGX_OK) {
        return status;
    }

    const void *rows = pixels.pixels;
    vggx_batch batch = VGGX_INIT(vggx_batch);
    batch.images = 1;
    batch.height = pixels.height;
    batch.width = pixels.width;
    batch.pixels = &rows;
    batch.image_bytes = pixels.bytes;
    batch.row_stride = pixels.row_stride;
    vggx_class classes[TOP];
    status = vggx_classify(engine, &batch, TOP, classes, TOP);

    for (int rank = 0; rank < TOP && status == VGGX_OK; rank++) {
        const char *label = NULL;
        status = vggx_engine_label(engine, classes[rank].output, &label);
        printf("%10.4f  %zu %s\n", (double)classes[rank].response, classes[rank].output, label != NULL ? label : "");
    }
    return status;
}

int main(int count, char **arguments) {
    if (count != 2 && count != 4) {
        fprintf(stderr, "usage: classify_photo PHOTO [WEIGHTS LABELS]\n");
        return 2;
    }
    vggx_engine_options options = VGGX_INIT(vggx_engine_options);
    if (count == 4) {
        options.weights = arguments[2];
        options.labels = arguments[3];
    }
    vggx_engine *engine = NULL;
    vggx_image *photo = NULL;
    vggx_status status = vggx_engine_open(&options, &engine);
    if (status == VGGX_OK) {
        status = vggx_image_load(arguments[1], NULL, &photo);
    }
    if (status == VGGX_OK) {
        status = print_classes(engine, photo);
    }
    if (status != VGGX_OK) {
        fprintf(stderr, "error: %s\n", vggx_last_error());
    }
    vggx_image_free(photo);
    vggx_engine_close(engine);
    return status == VGGX_OK ? 0 : 1;
}
