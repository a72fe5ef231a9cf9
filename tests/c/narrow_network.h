/* A VGG of a few channels, so small that a test can open it thousands of times and run under valgrind. */

#ifndef NARROW_NETWORK_H
#define NARROW_NETWORK_H

#include <stdint.h>

enum {
    /* Two max-pools; its classifier takes 2×2 cells, so it looks at 8×8 pixels without averaging. */
    NARROW_SIDE = 8,
    /* Classes, of which the labels file names all. */
    NARROW_CLASSES = 8
};

/* Writes FOLDER/narrow.safetensors (torchvision's names, float32, no metadata), FOLDER/labels.txt (class 0, class 1, ...) and
 * FOLDER/picture.bmp (12 × 10 pixels). Returns 0, or -1 where a file cannot be written. */
int narrow_network_write(const char *folder);

/* Random numbers that are the same everywhere: advances the state and returns 32 bits. */
uint32_t narrow_random(uint64_t *state);

#endif
