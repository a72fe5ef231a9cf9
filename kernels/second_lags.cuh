// The lags of second moments (params.h) and where they are on a part of the map.
#pragma once

#include "element.cuh"

struct Lag {
    int dy, dx;

    // Number `number` of the thirteen.
    __device__ __forceinline__ explicit Lag(int number) {
        dy = number < 3 ? 0 : number < 8 ? 1 : 2;
        dx = number < 3 ? number : (number - 3) % 5 - 2;
    }
};

// Whether a position can have a partner at the lag.
__device__ __forceinline__ bool on_map(const VggxSecondView &view, Lag lag) {
    return lag.dy < view.rows && abs(lag.dx) < view.length;
}
