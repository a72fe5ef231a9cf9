// A CUDA driver whose devices are pretended: the entry points of libcuda.so.1 that vggx uses, executed on the host.
//
// It is stricter than a real one. Work runs late (streams.h), memory holds NaN before it is written (memory.h), threads are
// checked (block.h). Every error found in a kernel prints one line to the standard error output and breaks the context with
// CUDA_ERROR_ILLEGAL_ADDRESS, _MISALIGNED_ADDRESS or _LAUNCH_FAILED, as on a real device. A refused call prints why.
//
// Environment variables (read at first use):
//
//   VGGX_HOST_DEVICES=2             number of devices (1); 0: cuInit returns CUDA_ERROR_NO_DEVICE
//   VGGX_HOST_MEMORY=BYTES          memory of each (8 GiB); beyond it allocations fail
//   VGGX_HOST_CAPABILITY=8.6        compute capability (9.0): decides shared memory; below 8.0 no module loads
//   VGGX_HOST_DRIVER_VERSION=12020  what cuDriverGetVersion says (13000)
//   VGGX_HOST_ORDER=forward         turns of threads, blocks, graph nodes and streams: forward, reverse, shuffle or
//                                   shuffle:SEED. With forward only the streams run that something waits for, with reverse all
//                                   others run before, as far as they may
//   VGGX_HOST_THREADS=1             OS threads that run blocks (one for each processor)
//   VGGX_HOST_FAIL=LIST             failures, separated by commas. "cuInit=100": every call returns 100;
//                                   "cuMemAlloc_v2@3=2": the third call returns 2; "start_f16@2=700": the second run of the kernel
//                                   fails. Errors that stay on a real device (700, 719 ...) break the context
//
// Three entry points are not CUDA's, for tests:
//
//   int vggx_host_configure(const char *name, const char *value)   sets one of these variables in this process; 0: no such
//   const char *vggx_host_last_report()                            the line that was printed last
//   size_t vggx_host_live()                                        allocations, streams, events, modules and executable graphs that exist
#include "configuration.h"
#include "driver_api.h"
#include "launch.h"
#include "memory.h"
#include "streams.h"
#include "tensor_map.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>

#define VGGX_HOST_API extern "C" __attribute__((visibility("default")))

using namespace vggx_host;

namespace {

// One for everything: what runs uses all processors anyway.
std::mutex &driver_mutex() {
    static auto *mutex = new std::mutex;
    return *mutex;
}

bool initialised = false;
// The calling thread's contexts, the current one last.
thread_local std::vector<Context *> stack;

Context *current() { return stack.empty() ? nullptr : stack.back(); }

std::vector<std::unique_ptr<Context>> &contexts() {
    static auto *list = new std::vector<std::unique_ptr<Context>>;
    return *list;
}

// Pinned memory belongs to no context here; graphs live until they are destroyed.
std::set<std::unique_ptr<Graph>> &graphs() {
    static auto *set = new std::set<std::unique_ptr<Graph>>;
    return *set;
}

template <class... Values> std::string text(const char *format, Values... values) {
    char line[400];
    std::snprintf(line, sizeof line, format, values...);
    return line;
}

CUresult refuse(CUresult result, const std::string &why) {
    report(why);
    return result;
}

CUresult fail_by_order(const char *name) {
    const CUresult result = CUresult(injected_failure(name));
    if (result && sticks(result) && current() && !current()->broken) {
        current()->broken = result;
    }
    return result;
}

CUresult current_context(Context *&context) {
    context = current();
    if (!initialised) {
        return CUDA_ERROR_NOT_INITIALIZED;
    }
    if (!context) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (context->retained == 0) {
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    }
    return context->broken;
}

CUresult check_device(CUdevice device) {
    if (!initialised) {
        return CUDA_ERROR_NOT_INITIALIZED;
    }
    return device < 0 || device >= configuration().devices ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}

template <class Container> bool holds(const Container &container, const void *object) {
    return std::any_of(container.begin(), container.end(), [&](const auto &owned) { return owned.get() == object; });
}

template <class Container> bool destroy(Container &container, const void *object) {
    const auto found =
        std::find_if(container.begin(), container.end(), [&](const auto &owned) { return owned.get() == object; });
    if (found == container.end()) {
        return false;
    }
    container.erase(found);
    return true;
}

// The kernel's handle, if it belongs to a module of this context.
bool is_function(const Context &context, const Function *function) {
    for (const auto &module : context.modules) {
        for (const auto &[kernel, owned] : module->functions) {
            if (owned.get() == function) {
                return true;
            }
        }
    }
    return false;
}

bool is_null_stream(CUstream stream) { return stream == nullptr || std::uintptr_t(stream) == 1; }

// What must not happen while a stream is being captured ends the capture.
CUresult unless_capturing(Context &context) {
    for (const auto &stream : context.streams) {
        Capture *capture = stream->capture.get();
        if (capture && (capture->mode == 0 || (capture->mode == 1 && capture->thread == std::this_thread::get_id()))) {
            capture->invalid = true;
            return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a call that is not allowed while a stream is being captured");
        }
    }
    return CUDA_SUCCESS;
}

// Waiting for the whole context ends every capture in it, whatever its mode and thread.
CUresult unless_anything_captures(Context &context) {
    bool any = false;
    for (const auto &stream : context.streams) {
        if (stream->capture) {
            stream->capture->invalid = true;
            any = true;
        }
    }
    return any ? refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the context is waited for while a stream is being captured")
               : CUDA_SUCCESS;
}

// Memory of another context is as foreign as memory that is not there.
CUresult check_range(const Context &context, CUdeviceptr address, std::size_t bytes, const char *what) {
    const void *first = reinterpret_cast<void *>(address);
    if (device_of(first, bytes) < 0 || owner_of(first) != &context) {
        return refuse(CUDA_ERROR_INVALID_VALUE, text("%s of %zu bytes at %s", what, bytes, describe(first).c_str()));
    }
    return CUDA_SUCCESS;
}

// On the null stream at once, when all blocking streams are done.
CUresult submit(Context &context, CUstream stream, Operation operation) {
    if (is_null_stream(stream)) {
        if (const CUresult result = unless_capturing(context)) {
            return result;
        }
        if (const CUresult result = synchronise_blocking(context)) {
            return result;
        }
        return run_now(context, operation);
    }
    if (!holds(context.streams, stream)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    return enqueue(*stream, std::move(operation));
}

CUresult copy(Context &context, CUstream stream, void *destination, const void *source, std::size_t bytes,
              Direction direction) {
    if (bytes == 0) {
        return CUDA_SUCCESS;
    }
    if (direction != Direction::host_to_device) {
        if (const CUresult result = check_range(context, CUdeviceptr(source), bytes, "copy")) {
            return result;
        }
    }
    if (direction != Direction::device_to_host) {
        if (const CUresult result = check_range(context, CUdeviceptr(destination), bytes, "copy")) {
            return result;
        }
    }
    CopyMemory operation = {destination, source, bytes, direction, {}};
    const void *host = direction == Direction::host_to_device ? source : destination;
    if (direction == Direction::device_to_device || is_pinned(host, bytes)) {
        return submit(context, stream, std::move(operation));
    }
    // Memory that is not pinned: the driver is done with it when the call returns.
    if (!is_null_stream(stream) && holds(context.streams, stream) && stream->capture) {
        return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a captured copy needs pinned memory");
    }
    if (direction == Direction::host_to_device) {
        const unsigned char *begin = static_cast<const unsigned char *>(source);
        operation.staged.assign(begin, begin + bytes);
        return submit(context, stream, std::move(operation));
    }
    if (const CUresult result = submit(context, stream, std::move(operation))) {
        return result;
    }
    return is_null_stream(stream) ? CUDA_SUCCESS : synchronise(*stream);
}

CUresult copy_at_once(Context &context, void *destination, const void *source, std::size_t bytes, Direction direction) {
    return copy(context, nullptr, destination, source, bytes, direction);
}

CUresult fill(Context &context, CUstream stream, CUdeviceptr address, unsigned value, std::size_t count, unsigned width) {
    if (count == 0) {
        return CUDA_SUCCESS;
    }
    if (address % width != 0) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult result = check_range(context, address, count * width, "memset")) {
        return result;
    }
    return submit(context, stream, FillMemory{reinterpret_cast<void *>(address), value, count, width});
}

CUresult launch(Context &context, CUfunction function, Index grid, Index block, unsigned shared_bytes, CUstream stream,
                void **parameters, void **extra) {
    if (!is_function(context, function)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    const Kernel &kernel = *function->kernel;
    const auto refused = [&](const std::string &why) {
        return refuse(CUDA_ERROR_INVALID_VALUE, text("launch of kernel %s refused: %s", kernel.name, why.c_str()));
    };
    const unsigned long long blocks = (unsigned long long)grid.x * grid.y * grid.z;
    if (blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 || blocks > 0xffffffffull) {
        return refused(text("a grid of %u x %u x %u blocks", grid.x, grid.y, grid.z));
    }
    const unsigned long long threads = (unsigned long long)block.x * block.y * block.z;
    if (threads != kernel.threads || block.x > 1024 || block.y > 1024 || block.z > 64) {
        return refused(text("%u x %u x %u threads, it is made for %u", block.x, block.y, block.z, kernel.threads));
    }
    if (shared_bytes > function->largest_shared) {
        return refused(text("%u bytes of shared memory, allowed are %u (cuFuncSetAttribute)", shared_bytes,
                            function->largest_shared));
    }
    if (grid.x % kernel.cluster != 0) {
        return refused(text("a grid of %u blocks along x, its clusters have %u", grid.x, kernel.cluster));
    }
    Launch operation = {&kernel, grid, block, shared_bytes, {}, context.device};
    operation.parameters.resize((kernel.parameter_bytes + sizeof(ParameterBytes) - 1) / sizeof(ParameterBytes));
    if (parameters) {
        if (!parameters[0]) {
            return refused("no parameters");
        }
        std::memcpy(operation.parameters.data(), parameters[0], kernel.parameter_bytes);
    } else if (extra) {
        // Pairs of a key and a value: 1, address; 2, address of the number of bytes; ended by 0.
        const void *data = nullptr;
        std::size_t bytes = 0;
        for (; *extra; extra += 2) {
            data = std::uintptr_t(extra[0]) == 1 ? extra[1] : data;
            bytes = std::uintptr_t(extra[0]) == 2 ? *static_cast<std::size_t *>(extra[1]) : bytes;
        }
        if (!data || bytes != kernel.parameter_bytes) {
            return refused(text("%zu bytes of parameters, it takes %zu", bytes, kernel.parameter_bytes));
        }
        std::memcpy(operation.parameters.data(), data, bytes);
    } else {
        return refused("no parameters");
    }
    return submit(context, stream, std::move(operation));
}

} // namespace

// Each entry point: one at a time, may be told to fail, and (CONTEXT) needs a context that works.
#define ENTER(name)                                                                                                       \
    std::lock_guard lock(driver_mutex());                                                                                 \
    if (const CUresult ordered = fail_by_order(#name)) {                                                                  \
        return ordered;                                                                                                   \
    }
#define CONTEXT(name)                                                                                                     \
    ENTER(name)                                                                                                           \
    Context *context = nullptr;                                                                                           \
    if (const CUresult unusable = current_context(context)) {                                                             \
        return unusable;                                                                                                  \
    }
#define NEEDS(condition)                                                                                                  \
    if (!(condition)) {                                                                                                   \
        return CUDA_ERROR_INVALID_VALUE;                                                                                  \
    }
#define TRY(call)                                                                                                         \
    if (const CUresult result_of_call = (call)) {                                                                         \
        return result_of_call;                                                                                            \
    }

// Ours.

VGGX_HOST_API int vggx_host_configure(const char *name, const char *value) {
    std::lock_guard lock(driver_mutex());
    return configure(name, value);
}

VGGX_HOST_API const char *vggx_host_last_report() { return last_report(); }

VGGX_HOST_API std::size_t vggx_host_live() {
    std::lock_guard lock(driver_mutex());
    std::size_t live = graphs().size();
    for (const auto &context : contexts()) {
        live += context->streams.size() + context->events.size() + context->modules.size() + context->executables.size() +
                allocations(context.get());
    }
    return live + pinned_allocations();
}

// The driver and its errors.

VGGX_HOST_API CUresult cuInit(unsigned flags) {
    ENTER(cuInit)
    NEEDS(flags == 0)
    if (configuration().devices == 0) {
        return CUDA_ERROR_NO_DEVICE;
    }
    initialised = true;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuDriverGetVersion(int *version) {
    ENTER(cuDriverGetVersion)
    NEEDS(version)
    *version = configuration().driver_version;
    return CUDA_SUCCESS;
}

static const struct {
    CUresult error;
    const char *name, *text;
} error_texts[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_DEINITIALIZED, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {CUDA_ERROR_STUB_LIBRARY, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {CUDA_ERROR_ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
     "the provided PTX was compiled with an unsupported toolchain."},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {CUDA_ERROR_CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {CUDA_ERROR_ASSERT, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {CUDA_ERROR_HARDWARE_STACK_ERROR, "CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"},
    {CUDA_ERROR_ILLEGAL_INSTRUCTION, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {CUDA_ERROR_INVALID_ADDRESS_SPACE, "CUDA_ERROR_INVALID_ADDRESS_SPACE",
     "operation not supported on global/shared address space"},
    {CUDA_ERROR_INVALID_PC, "CUDA_ERROR_INVALID_PC", "invalid program counter"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_PERMITTED, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
     "system has unsupported display driver / cuda driver combination"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_MERGE, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    {CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
     "capturing stream has unjoined work"},
    {CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream"},
    {CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

VGGX_HOST_API CUresult cuGetErrorName(CUresult error, const char **name) {
    for (const auto &entry : error_texts) {
        if (entry.error == error) {
            *name = entry.name;
            return CUDA_SUCCESS;
        }
    }
    *name = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

VGGX_HOST_API CUresult cuGetErrorString(CUresult error, const char **message) {
    for (const auto &entry : error_texts) {
        if (entry.error == error) {
            *message = entry.text;
            return CUDA_SUCCESS;
        }
    }
    *message = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

// Devices.

VGGX_HOST_API CUresult cuDeviceGetCount(int *count) {
    ENTER(cuDeviceGetCount)
    NEEDS(count)
    *count = configuration().devices;
    return initialised ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

VGGX_HOST_API CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER(cuDeviceGet)
    NEEDS(device)
    TRY(check_device(ordinal))
    *device = ordinal;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    ENTER(cuDeviceGetName)
    NEEDS(name && length > 0)
    TRY(check_device(device))
    std::snprintf(name, std::size_t(length), "host execution");
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
    ENTER(cuDeviceGetUuid)
    NEEDS(uuid)
    TRY(check_device(device))
    std::memcpy(uuid->bytes, "vggx-host-exec\0", 16);
    uuid->bytes[15] = char(device);
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) { return cuDeviceGetUuid(uuid, device); }

VGGX_HOST_API CUresult cuDeviceTotalMem_v2(std::size_t *bytes, CUdevice device) {
    ENTER(cuDeviceTotalMem_v2)
    NEEDS(bytes)
    TRY(check_device(device))
    *bytes = configuration().memory;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
    ENTER(cuDeviceGetAttribute)
    NEEDS(value)
    TRY(check_device(device))
    const Configuration &settings = configuration();
    switch (attribute) {
    case 1: // threads of a block
    case 2: // x
    case 3: // y
        *value = 1024;
        break;
    case 4: // z
        *value = 64;
        break;
    case 5: // grid x
        *value = 0x7fffffff;
        break;
    case 6:
    case 7:
        *value = 65535;
        break;
    case 8: // shared memory of a block
        *value = 48 * 1024;
        break;
    case 9: // constant memory
        *value = 64 * 1024;
        break;
    case 10: // warp
        *value = 32;
        break;
    case 12: // registers of a block
    case 82: // of a multiprocessor
        *value = 65536;
        break;
    case 13: // clock, kHz
    case 36: // of memory
        *value = 1000000;
        break;
    case 16: // multiprocessors
        *value = 132;
        break;
    case 18: // integrated
    case 20: // compute mode
    case 32: // error correction
    case 34: // PCI device
    case 35: // TCC
    case 50: // PCI domain
    case 115: // memory pools
        *value = 0;
        break;
    case 15: // overlap of copies
    case 19: // maps host memory
    case 31: // concurrent kernels
    case 41: // unified addresses
        *value = 1;
        break;
    case 33: // PCI bus
        *value = device + 1;
        break;
    case 37: // bits of the memory bus
        *value = 5120;
        break;
    case 38: // L2
        *value = 50 << 20;
        break;
    case 39: // threads of a multiprocessor
        *value = settings.major == 8 && settings.minor != 0 ? 1536 : 2048;
        break;
    case 40: // copy engines
        *value = 2;
        break;
    case 75:
        *value = settings.major;
        break;
    case 76:
        *value = settings.minor;
        break;
    case 81: // shared memory of a multiprocessor
        *value = int(settings.shared_multiprocessor());
        break;
    case 97: // of a block that asks for it
        *value = int(settings.shared_opt_in());
        break;
    case 106: // blocks of a multiprocessor
        *value = 32;
        break;
    case 111: // shared memory reserved by the driver in each block
        *value = 1024;
        break;
    default:
        return refuse(CUDA_ERROR_INVALID_VALUE, text("cuDeviceGetAttribute: attribute %d is not implemented", attribute));
    }
    return CUDA_SUCCESS;
}

// Contexts.

static Context *new_context(CUdevice device, bool primary) {
    contexts().push_back(std::make_unique<Context>());
    contexts().back()->device = device;
    contexts().back()->primary = primary;
    contexts().back()->retained = 1;
    return contexts().back().get();
}

static Context *primary_context(CUdevice device) {
    for (const auto &context : contexts()) {
        if (context->primary && context->device == device) {
            return context.get();
        }
    }
    return nullptr;
}

// Everything in it is gone; the handle may come back to life if it is a primary context's.
static void end(Context &context) {
    synchronise(context);
    context.executables.clear();
    context.modules.clear();
    context.events.clear();
    context.streams.clear();
    context.broken = CUDA_SUCCESS;
    free_all(&context);
}

static bool lives(const Context *context) { return holds(contexts(), context) && context->retained > 0; }

VGGX_HOST_API CUresult cuDevicePrimaryCtxRetain(CUcontext *result, CUdevice device) {
    ENTER(cuDevicePrimaryCtxRetain)
    NEEDS(result)
    TRY(check_device(device))
    if (Context *context = primary_context(device)) {
        context->retained++;
        *result = context;
    } else {
        *result = new_context(device, true);
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    ENTER(cuDevicePrimaryCtxRelease_v2)
    TRY(check_device(device))
    Context *context = primary_context(device);
    if (!context || context->retained == 0) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (--context->retained == 0) {
        end(*context);
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    ENTER(cuDevicePrimaryCtxGetState)
    NEEDS(flags && active)
    TRY(check_device(device))
    *flags = 0;
    const Context *context = primary_context(device);
    *active = context && context->retained > 0;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuCtxCreate_v4(CUcontext *result, void *parameters, unsigned, CUdevice device) {
    ENTER(cuCtxCreate_v4)
    NEEDS(result && !parameters)
    TRY(check_device(device))
    *result = new_context(device, false);
    stack.push_back(*result);
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuCtxDestroy_v2(CUcontext context) {
    ENTER(cuCtxDestroy_v2)
    if (!lives(context) || context->primary) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    end(*context);
    context->retained = 0;
    if (current() == context) {
        stack.pop_back();
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuCtxPushCurrent_v2(CUcontext context) {
    ENTER(cuCtxPushCurrent_v2)
    if (!initialised) {
        return CUDA_ERROR_NOT_INITIALIZED;
    }
    if (!lives(context)) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    stack.push_back(context);
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuCtxPopCurrent_v2(CUcontext *context) {
    ENTER(cuCtxPopCurrent_v2)
    if (stack.empty()) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (context) {
        *context = stack.back();
    }
    stack.pop_back();
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuCtxSetCurrent(CUcontext context) {
    ENTER(cuCtxSetCurrent)
    if (!initialised) {
        return CUDA_ERROR_NOT_INITIALIZED;
    }
    if (context && !lives(context)) {
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    if (!stack.empty()) {
        stack.pop_back();
    }
    if (context) {
        stack.push_back(context);
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuCtxGetCurrent(CUcontext *context) {
    ENTER(cuCtxGetCurrent)
    NEEDS(context)
    *context = current();
    return initialised ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

VGGX_HOST_API CUresult cuCtxGetDevice(CUdevice *device) {
    CONTEXT(cuCtxGetDevice)
    NEEDS(device)
    *device = context->device;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuCtxSynchronize() {
    CONTEXT(cuCtxSynchronize)
    TRY(unless_anything_captures(*context))
    return synchronise(*context);
}

// Memory.

VGGX_HOST_API CUresult cuMemGetInfo_v2(std::size_t *free_bytes, std::size_t *total) {
    CONTEXT(cuMemGetInfo_v2)
    NEEDS(free_bytes && total)
    const std::size_t used = allocated_bytes(context->device);
    *total = configuration().memory;
    *free_bytes = *total > used ? *total - used : 0;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuMemAlloc_v2(CUdeviceptr *address, std::size_t bytes) {
    CONTEXT(cuMemAlloc_v2)
    NEEDS(address && bytes > 0)
    TRY(unless_capturing(*context))
    *address = CUdeviceptr(allocate_device(context->device, context, bytes));
    return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

VGGX_HOST_API CUresult cuMemFree_v2(CUdeviceptr address) {
    CONTEXT(cuMemFree_v2)
    if (address == 0) {
        return CUDA_SUCCESS;
    }
    TRY(unless_capturing(*context))
    // As real drivers do, though they do not promise it.
    TRY(synchronise(*context))
    return free_device(reinterpret_cast<void *>(address)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// Of addresses that are no one's, everything is zero, and the call succeeds.
VGGX_HOST_API CUresult cuPointerGetAttributes(unsigned count, const int *attributes, void **data, CUdeviceptr address) {
    ENTER(cuPointerGetAttributes)
    NEEDS(attributes && data)
    const void *pointer = reinterpret_cast<void *>(address);
    const int device = device_of(pointer, 1);
    for (unsigned i = 0; i < count; i++) {
        NEEDS(data[i])
        switch (attributes[i]) {
        case 1: // context
            *static_cast<const void **>(data[i]) = owner_of(pointer);
            break;
        case 2: // kind of memory: of the host, of a device
            *static_cast<unsigned *>(data[i]) = device >= 0 ? 2 : is_pinned(pointer, 1) ? 1 : 0;
            break;
        case 8: // managed
            *static_cast<unsigned *>(data[i]) = 0;
            break;
        case 9: // device
            *static_cast<int *>(data[i]) = device >= 0 ? device : 0;
            break;
        default:
            return refuse(CUDA_ERROR_INVALID_VALUE, text("cuPointerGetAttributes: attribute %d is not implemented", attributes[i]));
        }
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuMemHostAlloc(void **address, std::size_t bytes, unsigned) {
    CONTEXT(cuMemHostAlloc)
    NEEDS(address)
    TRY(unless_capturing(*context))
    *address = allocate_pinned(bytes);
    return *address ? CUDA_SUCCESS : bytes ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_INVALID_VALUE;
}

VGGX_HOST_API CUresult cuMemFreeHost(void *address) {
    CONTEXT(cuMemFreeHost)
    TRY(unless_capturing(*context))
    TRY(synchronise(*context))
    return free_pinned(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

VGGX_HOST_API CUresult cuMemcpyHtoD_v2(CUdeviceptr destination, const void *source, std::size_t bytes) {
    CONTEXT(cuMemcpyHtoD_v2)
    NEEDS(source || !bytes)
    return copy_at_once(*context, reinterpret_cast<void *>(destination), source, bytes, Direction::host_to_device);
}

VGGX_HOST_API CUresult cuMemcpyDtoH_v2(void *destination, CUdeviceptr source, std::size_t bytes) {
    CONTEXT(cuMemcpyDtoH_v2)
    NEEDS(destination || !bytes)
    return copy_at_once(*context, destination, reinterpret_cast<void *>(source), bytes, Direction::device_to_host);
}

VGGX_HOST_API CUresult cuMemcpyDtoD_v2(CUdeviceptr destination, CUdeviceptr source, std::size_t bytes) {
    CONTEXT(cuMemcpyDtoD_v2)
    return copy_at_once(*context, reinterpret_cast<void *>(destination), reinterpret_cast<void *>(source), bytes,
                        Direction::device_to_device);
}

VGGX_HOST_API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void *source, std::size_t bytes, CUstream stream) {
    CONTEXT(cuMemcpyHtoDAsync_v2)
    NEEDS(source || !bytes)
    return copy(*context, stream, reinterpret_cast<void *>(destination), source, bytes, Direction::host_to_device);
}

VGGX_HOST_API CUresult cuMemcpyDtoHAsync_v2(void *destination, CUdeviceptr source, std::size_t bytes, CUstream stream) {
    CONTEXT(cuMemcpyDtoHAsync_v2)
    NEEDS(destination || !bytes)
    return copy(*context, stream, destination, reinterpret_cast<void *>(source), bytes, Direction::device_to_host);
}

VGGX_HOST_API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr destination, CUdeviceptr source, std::size_t bytes, CUstream stream) {
    CONTEXT(cuMemcpyDtoDAsync_v2)
    return copy(*context, stream, reinterpret_cast<void *>(destination), reinterpret_cast<void *>(source), bytes,
                Direction::device_to_device);
}

VGGX_HOST_API CUresult cuMemsetD8_v2(CUdeviceptr address, unsigned char value, std::size_t count) {
    CONTEXT(cuMemsetD8_v2)
    return fill(*context, nullptr, address, value, count, 1);
}

VGGX_HOST_API CUresult cuMemsetD32_v2(CUdeviceptr address, unsigned value, std::size_t count) {
    CONTEXT(cuMemsetD32_v2)
    return fill(*context, nullptr, address, value, count, 4);
}

VGGX_HOST_API CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, std::size_t count, CUstream stream) {
    CONTEXT(cuMemsetD8Async)
    return fill(*context, stream, address, value, count, 1);
}

VGGX_HOST_API CUresult cuMemsetD32Async(CUdeviceptr address, unsigned value, std::size_t count, CUstream stream) {
    CONTEXT(cuMemsetD32Async)
    return fill(*context, stream, address, value, count, 4);
}

// Streams.

static CUresult check_stream(Context &context, CUstream stream) {
    return !is_null_stream(stream) && holds(context.streams, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// Waiting for a stream that is being captured ends the capture.
static CUresult check_not_captured(Stream &stream) {
    if (stream.capture) {
        stream.capture->invalid = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    CONTEXT(cuStreamCreate)
    NEEDS(stream && flags <= 1)
    context->streams.push_back(std::make_unique<Stream>());
    *stream = context->streams.back().get();
    (*stream)->context = context;
    (*stream)->blocking = flags == 0;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

VGGX_HOST_API CUresult cuStreamDestroy_v2(CUstream stream) {
    CONTEXT(cuStreamDestroy_v2)
    TRY(check_stream(*context, stream))
    const CUresult result = synchronise(*stream);
    destroy(context->streams, stream);
    return result;
}

VGGX_HOST_API CUresult cuStreamSynchronize(CUstream stream) {
    CONTEXT(cuStreamSynchronize)
    if (is_null_stream(stream)) {
        TRY(unless_capturing(*context))
        return synchronise_blocking(*context);
    }
    TRY(check_stream(*context, stream))
    TRY(check_not_captured(*stream))
    return synchronise(*stream);
}

VGGX_HOST_API CUresult cuStreamQuery(CUstream stream) {
    CONTEXT(cuStreamQuery)
    TRY(check_stream(*context, stream))
    TRY(check_not_captured(*stream))
    if (stream->queue.empty()) {
        return CUDA_SUCCESS;
    }
    TRY(advance(*stream))
    return CUDA_ERROR_NOT_READY;
}

VGGX_HOST_API CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    CONTEXT(cuStreamWaitEvent)
    if (!holds(context->events, event)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (is_null_stream(stream)) {
        return event->recording ? synchronise(*context, *event->recording) : CUDA_SUCCESS;
    }
    TRY(check_stream(*context, stream))
    if (event->capture) {
        if (stream->capture && stream->capture != event->capture) {
            stream->capture->invalid = event->capture->invalid = true;
            return CUDA_ERROR_STREAM_CAPTURE_MERGE;
        }
        if (!stream->capture) {
            stream->capture = event->capture;
            stream->captured_last.clear();
        }
        for (const std::size_t node : event->captured_last) {
            if (std::find(stream->captured_last.begin(), stream->captured_last.end(), node) == stream->captured_last.end()) {
                stream->captured_last.push_back(node);
            }
        }
        return CUDA_SUCCESS;
    }
    if (stream->capture) {
        stream->capture->invalid = true;
        return refuse(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a captured stream waits for an event that was not captured");
    }
    return event->recording ? enqueue(*stream, Wait{event->recording}) : CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuStreamGetCtx(CUstream stream, CUcontext *result) {
    CONTEXT(cuStreamGetCtx)
    NEEDS(result)
    if (is_null_stream(stream)) {
        *result = context;
        return CUDA_SUCCESS;
    }
    // Of whichever context.
    for (const auto &other : contexts()) {
        if (holds(other->streams, stream)) {
            *result = other.get();
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_HANDLE;
}

// Events.

VGGX_HOST_API CUresult cuEventCreate(CUevent *event, unsigned flags) {
    CONTEXT(cuEventCreate)
    NEEDS(event && flags <= 7)
    auto created = std::make_unique<Event>();
    created->context = context;
    created->timed = !(flags & 2);
    *event = created.get();
    context->events.insert(std::move(created));
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuEventDestroy_v2(CUevent event) {
    CONTEXT(cuEventDestroy_v2)
    return destroy(context->events, event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

VGGX_HOST_API CUresult cuEventRecord(CUevent event, CUstream stream) {
    CONTEXT(cuEventRecord)
    if (!holds(context->events, event)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    event->capture = nullptr;
    if (!is_null_stream(stream)) {
        TRY(check_stream(*context, stream))
        if (stream->capture) {
            event->capture = stream->capture;
            event->captured_last = stream->captured_last;
            return CUDA_SUCCESS;
        }
    }
    event->recording = std::make_shared<Recording>();
    event->recording->stream = is_null_stream(stream) ? nullptr : stream;
    return submit(*context, stream, Record{event->recording});
}

static CUresult check_event(Context &context, CUevent event) {
    if (!holds(context.events, event)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    return event->capture ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuEventQuery(CUevent event) {
    CONTEXT(cuEventQuery)
    TRY(check_event(*context, event))
    TRY(unless_capturing(*context))
    if (!event->recording || event->recording->done) {
        return CUDA_SUCCESS;
    }
    TRY(advance(*event->recording->stream))
    return CUDA_ERROR_NOT_READY;
}

VGGX_HOST_API CUresult cuEventSynchronize(CUevent event) {
    CONTEXT(cuEventSynchronize)
    TRY(check_event(*context, event))
    TRY(unless_capturing(*context))
    const std::shared_ptr<Recording> recording = event->recording;
    return recording ? synchronise(*context, *recording) : CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    CONTEXT(cuEventElapsedTime)
    NEEDS(milliseconds)
    TRY(check_event(*context, start))
    TRY(check_event(*context, end))
    if (!start->timed || !end->timed || !start->recording || !end->recording) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (!start->recording->done || !end->recording->done) {
        return CUDA_ERROR_NOT_READY;
    }
    *milliseconds = std::chrono::duration<float, std::milli>(end->recording->time - start->recording->time).count();
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) {
    return cuEventElapsedTime(milliseconds, start, end);
}

// Capture and graphs.

VGGX_HOST_API CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
    CONTEXT(cuStreamBeginCapture_v2)
    NEEDS(mode >= 0 && mode <= 2)
    if (is_null_stream(stream)) {
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    TRY(check_stream(*context, stream))
    if (stream->capture) {
        return CUDA_ERROR_ILLEGAL_STATE;
    }
    stream->capture = std::make_shared<Capture>();
    stream->capture->origin = stream;
    stream->capture->number = ++context->captures;
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    stream->captured_last.clear();
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuStreamIsCapturing(CUstream stream, int *status) {
    CONTEXT(cuStreamIsCapturing)
    NEEDS(status)
    *status = 0;
    if (is_null_stream(stream)) {
        return CUDA_SUCCESS;
    }
    TRY(check_stream(*context, stream))
    *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    CONTEXT(cuStreamEndCapture)
    NEEDS(graph)
    *graph = nullptr;
    TRY(check_stream(*context, stream))
    const std::shared_ptr<Capture> capture = stream->capture;
    if (!capture) {
        return CUDA_ERROR_ILLEGAL_STATE;
    }
    if (capture->origin != stream) {
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    }
    if (capture->mode != 2 && capture->thread != std::this_thread::get_id()) {
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    }
    // All that was captured must come before the stream's end.
    std::vector<bool> joined(capture->nodes.size());
    std::vector<std::size_t> open = stream->captured_last;
    while (!open.empty()) {
        const std::size_t node = open.back();
        open.pop_back();
        if (!joined[node]) {
            joined[node] = true;
            open.insert(open.end(), capture->nodes[node].after.begin(), capture->nodes[node].after.end());
        }
    }
    for (const auto &other : context->streams) {
        if (other->capture == capture) {
            other->capture = nullptr;
            other->captured_last.clear();
        }
    }
    if (capture->invalid) {
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    if (std::find(joined.begin(), joined.end(), false) != joined.end()) {
        return refuse(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "the captured stream does not wait for work captured in another");
    }
    auto created = std::make_unique<Graph>();
    created->nodes = capture->nodes;
    *graph = created.get();
    graphs().insert(std::move(created));
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long) {
    CONTEXT(cuGraphInstantiateWithFlags)
    NEEDS(executable)
    if (!holds(graphs(), graph)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    auto created = std::make_unique<GraphExecutable>();
    created->context = context;
    created->nodes = std::make_shared<const std::vector<Node>>(graph->nodes);
    *executable = created.get();
    context->executables.insert(std::move(created));
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuGraphUpload(CUgraphExec executable, CUstream stream) {
    CONTEXT(cuGraphUpload)
    if (!holds(context->executables, executable)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    return is_null_stream(stream) ? CUDA_SUCCESS : check_stream(*context, stream);
}

VGGX_HOST_API CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    CONTEXT(cuGraphLaunch)
    if (!holds(context->executables, executable)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    return submit(*context, stream, RunGraph{executable->nodes});
}

VGGX_HOST_API CUresult cuGraphExecDestroy(CUgraphExec executable) {
    CONTEXT(cuGraphExecDestroy)
    return destroy(context->executables, executable) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

VGGX_HOST_API CUresult cuGraphDestroy(CUgraph graph) {
    ENTER(cuGraphDestroy)
    return destroy(graphs(), graph) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// Modules and kernels.

VGGX_HOST_API CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    CONTEXT(cuModuleLoadData)
    NEEDS(module && image)
    TRY(unless_capturing(*context))
    if (configuration().major < 8) {
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    }
    auto created = std::make_unique<Module>();
    created->context = context;
    *module = created.get();
    context->modules.insert(std::move(created));
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuTensorMapEncodeTiled(void *map, unsigned type, unsigned rank, void *address, const std::uint64_t *extents,
                                              const std::uint64_t *strides, const std::uint32_t *box, const std::uint32_t *element_strides,
                                              unsigned interleave, unsigned swizzle, unsigned promotion, unsigned fill) {
    ENTER(cuTensorMapEncodeTiled)
    NEEDS(initialised && map && extents && strides && box && element_strides)
    const std::string why =
        encode({type, rank, address, extents, strides, box, element_strides, interleave, swizzle, promotion, fill}, map);
    return why.empty() ? CUDA_SUCCESS : refuse(CUDA_ERROR_INVALID_VALUE, "cuTensorMapEncodeTiled refused: " + why);
}

VGGX_HOST_API CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, int *, void **) {
    return cuModuleLoadData(module, image);
}

VGGX_HOST_API CUresult cuModuleUnload(CUmodule module) {
    CONTEXT(cuModuleUnload)
    TRY(synchronise(*context))
    return destroy(context->modules, module) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

VGGX_HOST_API CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    CONTEXT(cuModuleGetFunction)
    NEEDS(function && name)
    if (!holds(context->modules, module)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    const Kernel *kernel = find_kernel(name);
    // Kernels of capability 9.0 are in modules that no other one loads.
    const bool of_hopper = std::strncmp(name, "hopper_", 7) == 0;
    if (!kernel || (of_hopper && (configuration().major != 9 || configuration().minor != 0))) {
        return CUDA_ERROR_NOT_FOUND;
    }
    auto &entry = module->functions[kernel];
    if (!entry) {
        entry = std::make_unique<Function>();
        entry->kernel = kernel;
    }
    *function = entry.get();
    return CUDA_SUCCESS;
}

static int registers(const Kernel &kernel) {
    return int(std::min(255u, 65536u / std::max(1u, kernel.threads * std::max(1u, kernel.blocks))) / 8 * 8);
}

VGGX_HOST_API CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function) {
    CONTEXT(cuFuncGetAttribute)
    NEEDS(value)
    if (!is_function(*context, function)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    switch (attribute) {
    case 0: // threads of a block
        *value = int(function->kernel->threads);
        break;
    case 1: // static shared memory
    case 2: // constants
    case 3: // local memory
    case 7: // cache mode
        *value = 0;
        break;
    case 4:
        *value = registers(*function->kernel);
        break;
    case 5: // version of PTX
    case 6: // of the binary
        *value = 10 * configuration().major + configuration().minor;
        break;
    case 8: // largest dynamic shared memory
        *value = int(function->largest_shared);
        break;
    case 9: // share of the L1 cache
        *value = function->carveout;
        break;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
    CONTEXT(cuFuncSetAttribute)
    if (!is_function(*context, function)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (attribute == 8) {
        if (value < 0 || unsigned(value) > configuration().shared_opt_in()) {
            return refuse(CUDA_ERROR_INVALID_VALUE,
                          text("kernel %s: %d bytes of shared memory, the device has %u for a block", function->kernel->name,
                               value, configuration().shared_opt_in()));
        }
        function->largest_shared = unsigned(value);
    } else if (attribute == 9) {
        NEEDS(value >= -1 && value <= 100)
        function->carveout = value;
    } else {
        return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuFuncGetParamInfo(CUfunction function, std::size_t index, std::size_t *offset, std::size_t *bytes) {
    CONTEXT(cuFuncGetParamInfo)
    if (!is_function(*context, function)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    NEEDS(index == 0 && offset)
    *offset = 0;
    if (bytes) {
        *bytes = function->kernel->parameter_bytes;
    }
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int threads,
                                                                   std::size_t shared_bytes) {
    CONTEXT(cuOccupancyMaxActiveBlocksPerMultiprocessor)
    NEEDS(blocks && threads > 0)
    if (!is_function(*context, function)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    const Configuration &settings = configuration();
    const unsigned resident = settings.major == 8 && settings.minor != 0 ? 1536 : 2048;
    const unsigned by_shared = shared_bytes > settings.shared_opt_in()
                                   ? 0
                                   : settings.shared_multiprocessor() / unsigned(shared_bytes + 1024);
    const unsigned by_registers = 65536u / (unsigned(registers(*function->kernel)) * unsigned(threads));
    *blocks = int(std::min({32u, resident / unsigned(threads), by_shared, by_registers}));
    return CUDA_SUCCESS;
}

VGGX_HOST_API CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                                      unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream,
                                      void **parameters, void **extra) {
    CONTEXT(cuLaunchKernel)
    return launch(*context, function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, stream, parameters,
                  extra);
}

VGGX_HOST_API CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra) {
    CONTEXT(cuLaunchKernelEx)
    NEEDS(config)
    if (config->numAttrs != 0) {
        return refuse(CUDA_ERROR_NOT_SUPPORTED, "launch attributes are not implemented in host execution");
    }
    return launch(*context, function, {config->gridDimX, config->gridDimY, config->gridDimZ},
                  {config->blockDimX, config->blockDimY, config->blockDimZ}, config->sharedMemBytes, config->hStream, parameters,
                  extra);
}
