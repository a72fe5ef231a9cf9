// What the lanes of a warp do together without an instruction of their own in ptx.cuh.
#pragma once

#include "operands.h"

namespace vggx_host {

inline unsigned lane() {
    const Place &place = *running->place;
    const Index &index = running->index;
    return (index.x + place.block_extent.x * (index.y + place.block_extent.y * index.z)) % 32;
}

template <class Value> inline Value shuffle(unsigned mask, Value value, unsigned source) {
    static_assert(sizeof(Value) <= 8);
    Shuffle operands = {0, source, 0};
    memcpy(&operands.value, &value, sizeof(Value));
    collective(Collective::shuffle, mask, &operands);
    memcpy(&value, &operands.result, sizeof(Value));
    return value;
}

inline unsigned reduce(unsigned mask, Reduction reduction, unsigned value) {
    Reduce operands = {reduction, value, 0};
    collective(Collective::reduce, mask, &operands);
    return operands.result;
}

inline unsigned vote(unsigned mask, bool predicate) {
    Vote operands = {predicate, 0};
    collective(Collective::vote, mask, &operands);
    return operands.result;
}

} // namespace vggx_host

inline void __syncwarp(unsigned mask = 0xffffffffu) {
    vggx_host::collective(vggx_host::Collective::synchronise, mask, nullptr);
}

// A source outside of the lane's section of `width` lanes is the lane itself, and what lies in another section wraps.
template <class Value> inline Value __shfl_sync(unsigned mask, Value value, int source, int width = 32) {
    const unsigned lane = vggx_host::lane(), section = lane & ~unsigned(width - 1);
    return vggx_host::shuffle(mask, value, section + (unsigned(source) & unsigned(width - 1)));
}
template <class Value> inline Value __shfl_xor_sync(unsigned mask, Value value, int lanes, int width = 32) {
    const unsigned lane = vggx_host::lane(), last = lane | unsigned(width - 1), source = lane ^ unsigned(lanes);
    return vggx_host::shuffle(mask, value, source > last ? lane : source);
}
template <class Value> inline Value __shfl_down_sync(unsigned mask, Value value, unsigned delta, int width = 32) {
    const unsigned lane = vggx_host::lane(), last = lane | unsigned(width - 1), source = lane + delta;
    return vggx_host::shuffle(mask, value, source > last ? lane : source);
}
template <class Value> inline Value __shfl_up_sync(unsigned mask, Value value, unsigned delta, int width = 32) {
    const unsigned lane = vggx_host::lane(), first = lane & ~unsigned(width - 1);
    return vggx_host::shuffle(mask, value, lane < first + delta ? lane : lane - delta);
}

inline unsigned __ballot_sync(unsigned mask, bool predicate) { return vggx_host::vote(mask, predicate); }
inline int __any_sync(unsigned mask, bool predicate) { return vggx_host::vote(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, bool predicate) { return vggx_host::vote(mask, predicate) == mask; }

inline unsigned __reduce_add_sync(unsigned mask, unsigned value) {
    return vggx_host::reduce(mask, vggx_host::Reduction::add, value);
}
inline int __reduce_add_sync(unsigned mask, int value) {
    return int(vggx_host::reduce(mask, vggx_host::Reduction::add, unsigned(value)));
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
    return vggx_host::reduce(mask, vggx_host::Reduction::maximum, value);
}
inline int __reduce_max_sync(unsigned mask, int value) {
    return int(vggx_host::reduce(mask, vggx_host::Reduction::signed_maximum, unsigned(value)));
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned value) {
    return vggx_host::reduce(mask, vggx_host::Reduction::minimum, value);
}
inline int __reduce_min_sync(unsigned mask, int value) {
    return int(vggx_host::reduce(mask, vggx_host::Reduction::signed_minimum, unsigned(value)));
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value) {
    return vggx_host::reduce(mask, vggx_host::Reduction::conjunction, value);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value) {
    return vggx_host::reduce(mask, vggx_host::Reduction::disjunction, value);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value) {
    return vggx_host::reduce(mask, vggx_host::Reduction::difference, value);
}
