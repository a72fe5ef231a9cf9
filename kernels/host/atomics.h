// Atomic operations. Blocks run on several OS threads, so these are the processor's.
#pragma once

template <class Value, class Change> inline Value vggx_host_atomic(Value *address, Change change) {
    Value before;
    __atomic_load(address, &before, __ATOMIC_RELAXED);
    for (;;) {
        Value after = change(before);
        if (__atomic_compare_exchange(address, &before, &after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return before;
        }
    }
}

#define VGGX_HOST_ATOMIC(name, Value, expression)                                                                         \
    inline Value name(Value *address, Value value) {                                                                      \
        return vggx_host_atomic(address, [value](Value before) -> Value { return expression; });                          \
    }

VGGX_HOST_ATOMIC(atomicMax, unsigned, before > value ? before : value)
VGGX_HOST_ATOMIC(atomicMax, int, before > value ? before : value)
VGGX_HOST_ATOMIC(atomicMax, unsigned long long, before > value ? before : value)
VGGX_HOST_ATOMIC(atomicMin, unsigned, before < value ? before : value)
VGGX_HOST_ATOMIC(atomicMin, int, before < value ? before : value)
VGGX_HOST_ATOMIC(atomicAdd, unsigned, before + value)
VGGX_HOST_ATOMIC(atomicAdd, int, int(unsigned(before) + unsigned(value)))
VGGX_HOST_ATOMIC(atomicAdd, unsigned long long, before + value)
VGGX_HOST_ATOMIC(atomicAdd, float, before + value)
VGGX_HOST_ATOMIC(atomicAdd, double, before + value)
VGGX_HOST_ATOMIC(atomicOr, unsigned, before | value)
VGGX_HOST_ATOMIC(atomicAnd, unsigned, before &value)
VGGX_HOST_ATOMIC(atomicExch, unsigned, (void(before), value))

#undef VGGX_HOST_ATOMIC

inline unsigned atomicCAS(unsigned *address, unsigned expected, unsigned value) {
    __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
