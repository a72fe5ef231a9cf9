#include "narrow_network.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct tensor {
    const char *name;
    /* Extents, 0 where there are fewer than four. */
    int shape[4];
};

/* conv 3→4, pool, conv 4→5, pool, dense 5·2·2→6→7→8. */
static const struct tensor TENSORS[] = {
    {"features.0.weight", {4, 3, 3, 3}},   {"features.0.bias", {4, 0, 0, 0}},
    {"features.3.weight", {5, 4, 3, 3}},   {"features.3.bias", {5, 0, 0, 0}},
    {"classifier.0.weight", {6, 20, 0, 0}}, {"classifier.0.bias", {6, 0, 0, 0}},
    {"classifier.3.weight", {7, 6, 0, 0}}, {"classifier.3.bias", {7, 0, 0, 0}},
    {"classifier.6.weight", {NARROW_CLASSES, 7, 0, 0}}, {"classifier.6.bias", {NARROW_CLASSES, 0, 0, 0}},
};
enum { TENSOR_COUNT = sizeof TENSORS / sizeof TENSORS[0] };

uint32_t narrow_random(uint64_t *state) {
    /* Knuth's linear congruential generator; its upper bits are good enough for test data. */
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

static int elements(const struct tensor *tensor) {
    int product = 1;
    for (int axis = 0; axis < 4 && tensor->shape[axis] > 0; axis++) {
        product *= tensor->shape[axis];
    }
    return product;
}

/* The size of the header in bytes; written too where there is a file. */
static uint64_t header(FILE *file) {
    char text[2048] = "{";
    size_t length = 1;
    int begin = 0;
    for (int index = 0; index < TENSOR_COUNT; index++) {
        const struct tensor *tensor = &TENSORS[index];
        int end = begin + 4 * elements(tensor);
        length += (size_t)snprintf(text + length, sizeof text - length, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d",
                                   index > 0 ? "," : "", tensor->name, tensor->shape[0]);
        for (int axis = 1; axis < 4 && tensor->shape[axis] > 0; axis++) {
            length += (size_t)snprintf(text + length, sizeof text - length, ",%d", tensor->shape[axis]);
        }
        length += (size_t)snprintf(text + length, sizeof text - length, "],\"data_offsets\":[%d,%d]}", begin, end);
        begin = end;
    }
    length += (size_t)snprintf(text + length, sizeof text - length, "}");
    /* The numbers begin at a multiple of eight bytes. */
    while (length % 8 != 0) {
        text[length++] = ' ';
    }
    if (file != NULL) {
        fwrite(text, 1, length, file);
    }
    return length;
}

static void little_endian(uint64_t value, int bytes, FILE *file) {
    for (int byte = 0; byte < bytes; byte++) {
        fputc((int)(value >> 8 * byte & 0xff), file);
    }
}

static int write_weights(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/narrow.safetensors", folder);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return -1;
    }
    little_endian(header(NULL), 8, file);
    header(file);
    uint64_t state = 1;
    for (int index = 0; index < TENSOR_COUNT; index++) {
        const struct tensor *tensor = &TENSORS[index];
        int count = elements(tensor);
        /* Activations neither die out nor grow from layer to layer. */
        float scale = tensor->shape[1] > 0 ? sqrtf(6.0f * (float)tensor->shape[0] / (float)count) : 0.1f;
        for (int element = 0; element < count; element++) {
            float value = scale * ((float)narrow_random(&state) / 2147483648.0f - 1.0f);
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            little_endian(bits, 4, file);
        }
    }
    int failed = ferror(file);
    return fclose(file) != 0 || failed ? -1 : 0;
}

static int write_labels(const char *folder) {
    char path[4096];
    snprintf(path, sizeof path, "%s/labels.txt", folder);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return -1;
    }
    for (int label = 0; label < NARROW_CLASSES; label++) {
        fprintf(file, "class %d\n", label);
    }
    int failed = ferror(file);
    return fclose(file) != 0 || failed ? -1 : 0;
}

static int write_picture(const char *folder) {
    enum { WIDTH = 12, HEIGHT = 10, HEADERS = 14 + 40, BYTES = HEADERS + 3 * WIDTH * HEIGHT };
    char path[4096];
    snprintf(path, sizeof path, "%s/picture.bmp", folder);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return -1;
    }
    /* Windows bitmap, 24 bits a pixel, rows of a multiple of four bytes. */
    fputs("BM", file);
    little_endian(BYTES, 4, file);
    little_endian(0, 4, file);
    little_endian(HEADERS, 4, file);
    little_endian(40, 4, file);
    little_endian(WIDTH, 4, file);
    little_endian(HEIGHT, 4, file);
    little_endian(1, 2, file);
    little_endian(24, 2, file);
    little_endian(0, 4, file);
    little_endian(BYTES - HEADERS, 4, file);
    for (int field = 0; field < 4; field++) {
        little_endian(0, 4, file);
    }
    uint64_t state = 2;
    for (int byte = 0; byte < BYTES - HEADERS; byte++) {
        little_endian(narrow_random(&state) >> 24, 1, file);
    }
    int failed = ferror(file);
    return fclose(file) != 0 || failed ? -1 : 0;
}

int narrow_network_write(const char *folder) {
    return write_weights(folder) != 0 || write_labels(folder) != 0 || write_picture(folder) != 0 ? -1 : 0;
}
