// Products of warpgroups: matrices in shared memory that descriptors describe, sums in registers.
//
// They are done when their wait asks for them. Until then the accumulators hold NaN, and shared memory must stay as it is.
#include "cluster.h"
#include "memory.h"

#include <algorithm>
#include <cstring>

struct float16 {
    unsigned short bits;
};
struct bfloat16 {
    unsigned short bits;
};
struct float8 {
    unsigned char bits;
};
#include "float8_host.h"

namespace vggx_host {

namespace {

constexpr unsigned rows = 64, most_depth = 32;

unsigned bytes_of(MatrixElement element) { return element == MatrixElement::float8 ? 1 : 2; }
unsigned depth_of(MatrixElement element) { return 32 / bytes_of(element); }

float widened(MatrixElement element, std::uint16_t bits) {
    switch (element) {
    case MatrixElement::bfloat16:
        return widen(bfloat16{bits});
    case MatrixElement::float8:
        return widen(float8{(unsigned char)bits});
    default:
        return widen(float16{bits});
    }
}

// Row and column of value i of a thread: warps have 16 rows each; of value 4j + 2h + e, lane 4g + q has row 8h + g, column 8j + 2q + e.
unsigned row_of(unsigned thread, unsigned value) { return thread / 32 * 16 + value % 4 / 2 * 8 + thread % 32 / 4; }
unsigned column_of(unsigned thread, unsigned value) { return value / 4 * 8 + thread % 4 * 2 + value % 2; }

struct Descriptor {
    unsigned start, leading, stride; // bytes
    unsigned base, swizzle;

    // Of the fields of PTX's matrix descriptor; lengths are in units of 16 bytes.
    explicit Descriptor(std::uint64_t bits)
        : start(unsigned(bits & 0x3fff) * 16), leading(unsigned(bits >> 16 & 0x3fff) * 16),
          stride(unsigned(bits >> 32 & 0x3fff) * 16), base(unsigned(bits >> 49 & 7)), swizzle(unsigned(bits >> 62)) {}
};

} // namespace

// All of it, with the bytes between.
Block::OperandRange Block::operand_range(std::uint64_t descriptor, unsigned outer, bool outer_innermost) const {
    const Descriptor fields(descriptor);
    const unsigned begin = fields.start / 1024 * 1024;
    const unsigned span = outer_innermost ? (outer / 64 - 1) * fields.leading + fields.stride : (outer / 8 - 1) * fields.stride;
    return {begin, begin + span + 1024};
}

// Gives values[k][i] of `outer` rows i (of a) or columns (of b), widened. With depth innermost, groups of eight rows of 128 bytes lie
// `stride` apart; with `outer` innermost, groups of eight of the depth, of 64 elements each, lie `stride` apart, and 64 elements further
// `leading`.
void Block::read_operand(std::uint64_t descriptor, unsigned outer, bool outer_innermost, MatrixElement element, float *values) {
    const Descriptor fields(descriptor);
    const unsigned bytes = bytes_of(element), depth = depth_of(element);
    if (outer_innermost && bytes != 2) {
        fail(719, "a product of float8 with columns innermost, which wgmma does not know");
    }
    if (fields.swizzle != 1 || fields.base != 0) {
        fail(719, "a matrix descriptor without the swizzle of 128 bytes, or with a base offset, is unknown to host execution");
    }
    const unsigned chunks = outer_innermost ? outer / 8 : 2, lines = outer_innermost ? depth : outer;
    for (unsigned line = 0; line < lines; line++) {
        for (unsigned chunk = 0; chunk < chunks; chunk++) {
            const unsigned across = outer_innermost ? chunk / 8 * fields.leading + chunk % 8 * 16 : chunk * 16;
            const unsigned linear = fields.start + line / 8 * fields.stride + line % 8 * 128 + across;
            const unsigned offset = swizzled_address(linear, 128);
            const unsigned char *source = shared(first_shared_address + offset, 16, "a product of a warpgroup");
            if (fenced_arena.empty() || std::memcmp(source, fenced_arena.data() + offset, 16) != 0) {
                fail(719, format("a product reads shared memory that threads have written without fence_proxy_async, byte 0x%x", offset));
            }
            for (unsigned i = 0; i < 16 / bytes; i++) {
                const unsigned inner = chunk * (16 / bytes) + i;
                std::uint16_t bits = 0;
                std::memcpy(&bits, source + bytes * i, bytes);
                values[outer_innermost ? line * outer + inner : inner * outer + line] = widened(element, bits);
            }
        }
    }
}

void Block::start_product(const WarpgroupProduct &product) {
    BlockThread &self = running_thread();
    const unsigned number = unsigned(self.warp - warps) * 32 + self.lane, first = number / 128 * 128;
    if (count < first + 128) {
        fail(719, "a product of a warpgroup that has fewer than 128 threads");
    }
    if (!self.registers_fenced) {
        fail(719, "a product without wgmma_fence since the kernel's begin or the last wait");
    }
    Warpgroup &warpgroup = warpgroups[number / 128];
    warpgroup.calls[number % 128] = &product;
    self.product_open = true;
    self.warp->at_warpgroup |= 1u << self.lane;
    leave_turn();
    if (++warpgroup.arrived == 128) {
        warpgroup.arrived = 0;
        issue(warpgroup, first);
        for (unsigned warp = first / 32; warp < first / 32 + 4; warp++) {
            const unsigned lanes = warps[warp].at_warpgroup;
            warps[warp].at_warpgroup = 0;
            make_ready(warps[warp], lanes);
        }
    }
    take_turns();
}

Accumulators &Block::accumulators_of(Warpgroup &warpgroup) {
    const WarpgroupProduct &call = *warpgroup.calls[0];
    for (const auto &known : warpgroup.accumulators) {
        if (known->registers[0] == call.d) {
            for (unsigned thread = 0; thread < 128; thread++) {
                if (known->registers[thread] != warpgroup.calls[thread]->d || known->columns != call.columns) {
                    fail(719, "a product on some of the accumulators of another one under way");
                }
            }
            return *known;
        }
    }
    auto created = std::make_unique<Accumulators>();
    created->columns = call.columns;
    created->under_way = 0;
    created->values.resize(rows * call.columns);
    for (unsigned thread = 0; thread < 128; thread++) {
        float *registers = warpgroup.calls[thread]->d;
        created->registers[thread] = registers;
        for (unsigned value = 0; value < call.columns / 2; value++) {
            created->values[row_of(thread, value) * call.columns + column_of(thread, value)] = registers[value];
        }
        std::memset(registers, poison, call.columns / 2 * sizeof(float));
    }
    warpgroup.accumulators.push_back(std::move(created));
    return *warpgroup.accumulators.back();
}

// All threads have called.
void Block::issue(Warpgroup &warpgroup, unsigned first_thread) {
    const WarpgroupProduct &call = *warpgroup.calls[0];
    const unsigned group = threads[first_thread]->committed_products;
    Product product = {};
    for (unsigned thread = 0; thread < 128; thread++) {
        const WarpgroupProduct &other = *warpgroup.calls[thread];
        if (other.columns != call.columns || other.element != call.element || other.accumulate != call.accumulate ||
            !other.a_registers != !call.a_registers || other.a != call.a || other.b != call.b ||
            other.b_by_columns != call.b_by_columns || threads[first_thread + thread]->committed_products != group) {
            fail(719, format("threads 0 and %u of a warpgroup call for different products", thread));
        }
        if (call.a_registers) {
            const unsigned g = thread / 32 * 16 + thread % 32 / 4, q = thread % 4;
            for (unsigned word = 0; word < 4; word++) {
                std::memcpy(&product.a_values[g + word % 2 * 8][word / 2 * 8 + 2 * q], &other.a_registers[word], 4);
            }
        }
    }
    const OperandRange b = operand_range(call.b, call.columns, call.b_by_columns);
    cluster->check_not_loading(rank, b.begin, b.end, "a product reads");
    if (!call.a_registers) {
        const OperandRange a = operand_range(call.a, rows, false);
        cluster->check_not_loading(rank, a.begin, a.end, "a product reads");
    }
    product.accumulators = &accumulators_of(warpgroup);
    product.accumulators->under_way++;
    product.element = call.element;
    product.accumulate = call.accumulate;
    product.a_in_registers = call.a_registers != nullptr;
    product.b_by_columns = call.b_by_columns;
    product.a = call.a;
    product.b = call.b;
    product.group = group;
    warpgroup.products.push_back(product);
}

// In the order of the depth, as the product of a warp (collective.cpp).
void Block::perform_product(const Product &product) {
    const unsigned columns = product.accumulators->columns;
    const unsigned depth = depth_of(product.element);
    float a[most_depth * rows], b[most_depth * 256];
    if (product.a_in_registers) {
        for (unsigned i = 0; i < rows * depth; i++) {
            a[i % depth * rows + i / depth] = widened(product.element, product.a_values[i / depth][i % depth]);
        }
    } else {
        read_operand(product.a, rows, false, product.element, a);
    }
    read_operand(product.b, columns, product.b_by_columns, product.element, b);
    float *sums = product.accumulators->values.data();
    if (!product.accumulate) {
        std::fill_n(sums, rows * columns, 0.0f);
    }
    typedef float Lanes __attribute__((vector_size(64)));
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned first = 0; first < columns; first += 16) {
            Lanes sum;
            std::memcpy(&sum, sums + row * columns + first, sizeof sum);
            for (unsigned k = 0; k < depth; k++) {
                Lanes values;
                std::memcpy(&values, b + k * columns + first, sizeof values);
                sum += a[k * rows + row] * values;
            }
            std::memcpy(sums + row * columns + first, &sum, sizeof sum);
        }
    }
}

void Block::wait_for_products(unsigned pending) {
    BlockThread &self = running_thread();
    const unsigned number = unsigned(self.warp - warps) * 32 + self.lane, thread = number % 128;
    Warpgroup &warpgroup = warpgroups[number / 128];
    if (self.product_open) {
        fail(719, "wgmma_wait with a product that was not committed");
    }
    self.registers_fenced = false;
    while (!warpgroup.products.empty() && warpgroup.products.front().group + pending < self.committed_products) {
        perform_product(warpgroup.products.front());
        warpgroup.products.front().accumulators->under_way--;
        warpgroup.products.pop_front();
    }
    for (std::size_t index = warpgroup.accumulators.size(); index-- > 0;) {
        Accumulators &accumulators = *warpgroup.accumulators[index];
        if (accumulators.under_way != 0 || accumulators.returned[thread]) {
            continue;
        }
        float *registers = accumulators.registers[thread];
        for (unsigned value = 0; value < accumulators.columns / 2; value++) {
            std::uint32_t bits;
            std::memcpy(&bits, &registers[value], sizeof bits);
            if (bits != poison * 0x01010101u) {
                fail(719, "wrote accumulators of a product under way");
            }
            registers[value] = accumulators.values[row_of(thread, value) * accumulators.columns + column_of(thread, value)];
        }
        accumulators.returned[thread] = true;
        if (accumulators.returned.all()) {
            warpgroup.accumulators.erase(warpgroup.accumulators.begin() + std::ptrdiff_t(index));
        }
    }
}

void Block::check_nothing_under_way() {
    BlockThread &self = running_thread();
    const unsigned number = unsigned(self.warp - warps) * 32 + self.lane;
    if (!warpgroups[number / 128].products.empty()) {
        fail(719, "exits while a product of its warpgroup is under way");
    }
    if (living == 1) {
        check_no_load_under_way();
    }
}

void fence_registers() { running_thread().registers_fenced = true; }
void start_product(const WarpgroupProduct &product) { running_thread().block->start_product(product); }
void wait_for_products(unsigned pending) { running_thread().block->wait_for_products(pending); }
void commit_products() {
    running_thread().committed_products++;
    running_thread().product_open = false;
}

} // namespace vggx_host
