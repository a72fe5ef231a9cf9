// What the lanes of a warp post for a collective.
#pragma once

namespace vggx_host {

struct Shuffle {
    unsigned long long value;  // what this lane offers
    unsigned source;           // whose value it gets
    unsigned long long result; // of it
};

enum class Reduction { add, minimum, maximum, signed_minimum, signed_maximum, conjunction, disjunction, difference };

struct Reduce {
    Reduction reduction;
    unsigned value;
    unsigned result;
};

struct Vote {
    bool predicate;
    unsigned result; // the lanes where it holds
};

struct LoadMatrices {
    unsigned *registers; // four
    unsigned address;
};

struct Multiply {
    float *d;          // four
    const unsigned *a; // four
    unsigned b[2];
};

} // namespace vggx_host
