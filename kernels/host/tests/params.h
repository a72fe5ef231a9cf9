// Parameters of the kernels that test host execution itself. tests/host_execution/ has the same structures.
#pragma once

#include "../../params.h"

#include <stdint.h>

// Multiplication of matrices: c [rows, columns] = a [rows, depth] * b [columns, depth] transposed.
typedef struct {
    uint64_t a;
    uint64_t b;
    uint64_t c;
    int32_t rows;
    int32_t columns;
    int32_t depth;
    int32_t stages;
} TestMultiply;

// Anything else: arrays that a kernel reads and writes, and how many elements they have.
typedef struct {
    uint64_t input;
    uint64_t output;
    int32_t count;
    int32_t value;
} TestArrays;

// Boxes of tensors, in the layout of cuTensorMapEncodeTiled.
typedef struct {
    VggxTensorMap a;
    VggxTensorMap b;
    uint64_t input;
    uint64_t output;
    int32_t coordinates[4]; // innermost first
    int32_t bytes;          // of a box
    int32_t value;
} TestBoxes;
