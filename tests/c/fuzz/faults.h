/* What a caller can get wrong. */

#ifndef FAULTS_H
#define FAULTS_H

#include <stddef.h>
#include <stdint.h>

#include "arguments.h"

enum fault_kind {
    FAULT_SIZE,
    FAULT_INT,
    FAULT_FLOAT,
    /* A pointer becomes `text`, which may be null. */
    FAULT_TEXT,
    /* A pointer leads to a path below the fixture's folder. */
    FAULT_PATH,
    /* A pointer leads one byte further. */
    FAULT_SHIFT,
    FAULT_FUNCTION
};

struct fault {
    const char *name;
    /* The calls for which it is wrong: bit n is enum call n. Others take no notice. */
    uint32_t calls;
    /* What such a call may then return: bit n is status n. */
    uint32_t statuses;
    enum fault_kind kind;
    /* Where in struct arguments. */
    size_t offset;
    uint64_t number;
    double value;
    const char *text;
    void (*function)(struct arguments *);
};

extern const struct fault FAULTS[];
extern const size_t FAULT_COUNT;

void fault_apply(const struct fault *fault, struct arguments *arguments);

#endif
