#include "streams.h"

#include "memory.h"

#include <algorithm>
#include <cstring>

namespace vggx_host {

namespace {

template <class... Visitors> struct Overloaded : Visitors... {
    using Visitors::operator()...;
};
template <class... Visitors> Overloaded(Visitors...) -> Overloaded<Visitors...>;

CUresult break_context(Context &context, CUresult result) {
    if (sticks(result) && context.broken == CUDA_SUCCESS) {
        context.broken = result;
        for (const auto &stream : context.streams) {
            stream->queue.clear();
        }
    }
    return result;
}

CUresult illegal(const char *what, const void *address, std::size_t bytes) {
    char text[300];
    std::snprintf(text, sizeof text, "%s of %zu bytes at %s", what, bytes, describe(address).c_str());
    report(text);
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

CUresult execute(Context &context, const CopyMemory &copy) {
    if (copy.direction != Direction::host_to_device && device_of(copy.source, copy.bytes) < 0) {
        return illegal("copy", copy.source, copy.bytes);
    }
    if (copy.direction != Direction::device_to_host && device_of(copy.destination, copy.bytes) < 0) {
        return illegal("copy", copy.destination, copy.bytes);
    }
    static_cast<void>(context);
    std::memmove(copy.destination, copy.staged.empty() ? copy.source : copy.staged.data(), copy.bytes);
    return CUDA_SUCCESS;
}

CUresult execute(Context &, const FillMemory &fill) {
    if (device_of(fill.destination, fill.count * fill.width) < 0) {
        return illegal("memset", fill.destination, fill.count * fill.width);
    }
    if (fill.width == 1) {
        std::memset(fill.destination, int(fill.value), fill.count);
    } else {
        std::fill_n(static_cast<std::uint32_t *>(fill.destination), fill.count, fill.value);
    }
    return CUDA_SUCCESS;
}

CUresult execute(Context &, const Launch &launch) {
    if (const int error = injected_failure(launch.kernel->name)) {
        return CUresult(error);
    }
    return CUresult(run(launch));
}

CUresult execute(Context &, const Record &record) {
    record.recording->done = true;
    record.recording->stream = nullptr;
    record.recording->time = std::chrono::steady_clock::now();
    return CUDA_SUCCESS;
}

// In a graph the edges say what waits; in a stream advance() has seen to it.
CUresult execute(Context &, const Wait &) { return CUDA_SUCCESS; }

CUresult execute(Context &context, const RunGraph &graph) {
    const std::vector<Node> &nodes = *graph.nodes;
    std::vector<bool> done(nodes.size());
    Random random(configuration().seed);
    for (std::size_t count = 0; count < nodes.size(); count++) {
        std::vector<std::size_t> ready;
        for (std::size_t node = 0; node < nodes.size(); node++) {
            const auto &after = nodes[node].after;
            if (!done[node] && std::all_of(after.begin(), after.end(), [&](std::size_t other) { return done[other]; })) {
                ready.push_back(node);
                if (configuration().order == Order::forward) {
                    break;
                }
            }
        }
        const std::size_t node = configuration().order == Order::forward   ? ready.front()
                                 : configuration().order == Order::reverse ? ready.back()
                                                                           : ready[random.below(unsigned(ready.size()))];
        if (const CUresult result = run_now(context, nodes[node].operation)) {
            return result;
        }
        done[node] = true;
    }
    return CUDA_SUCCESS;
}

// Whether the first operation of the queue could run right away.
bool can_advance(const Stream &stream) {
    if (stream.queue.empty()) {
        return false;
    }
    const Wait *wait = std::get_if<Wait>(&stream.queue.front());
    return !wait || wait->recording->done;
}

// Runs what an order other than "only what must" would run first: everything else that may.
CUresult run_others(Context &context, const Stream *stream) {
    if (configuration().order == Order::reverse) {
        for (std::size_t i = context.streams.size(); i-- > 0;) {
            Stream &other = *context.streams[i];
            while (&other != stream && !other.queue.empty()) {
                if (const CUresult result = advance(other)) {
                    return result;
                }
            }
        }
    } else if (configuration().order == Order::shuffle && !context.streams.empty()) {
        static Random random(configuration().seed);
        for (unsigned steps = random.below(16); steps > 0; steps--) {
            Stream &other = *context.streams[random.below(unsigned(context.streams.size()))];
            if (can_advance(other)) {
                if (const CUresult result = advance(other)) {
                    return result;
                }
            }
        }
    }
    return CUDA_SUCCESS;
}

// Work in a queue, or in a graph in it, that will still read this memory of the host.
bool will_read(const Operation &operation, const unsigned char *begin, std::size_t bytes) {
    if (const CopyMemory *copy = std::get_if<CopyMemory>(&operation)) {
        const unsigned char *source = static_cast<const unsigned char *>(copy->source);
        return copy->direction == Direction::host_to_device && copy->staged.empty() && source < begin + bytes &&
               begin < source + copy->bytes;
    }
    if (const RunGraph *graph = std::get_if<RunGraph>(&operation)) {
        return std::any_of(graph->nodes->begin(), graph->nodes->end(),
                           [&](const Node &node) { return will_read(node.operation, begin, bytes); });
    }
    return false;
}

// Results are not there before the copy has run: who looks too early sees poison. (Not where queued work reads the same
// memory: it comes first.)
void poison_destinations(Context &context, const Operation &operation) {
    if (const CopyMemory *copy = std::get_if<CopyMemory>(&operation)) {
        if (copy->direction != Direction::device_to_host || !is_pinned(copy->destination, copy->bytes)) {
            return;
        }
        const unsigned char *begin = static_cast<const unsigned char *>(copy->destination);
        for (const auto &stream : context.streams) {
            for (const Operation &other : stream->queue) {
                if (will_read(other, begin, copy->bytes)) {
                    return;
                }
            }
        }
        std::memset(copy->destination, poison, copy->bytes);
    } else if (const RunGraph *graph = std::get_if<RunGraph>(&operation)) {
        for (const Node &node : *graph->nodes) {
            const CopyMemory *inner = std::get_if<CopyMemory>(&node.operation);
            if (inner && !will_read(operation, static_cast<const unsigned char *>(inner->destination), inner->bytes)) {
                poison_destinations(context, node.operation);
            }
        }
    }
}

} // namespace

bool sticks(CUresult result) {
    return (result >= 700 && result < 800 && result != CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES &&
            result != CUDA_ERROR_CONTEXT_IS_DESTROYED) ||
           result == CUDA_ERROR_ECC_UNCORRECTABLE;
}

CUresult run_now(Context &context, const Operation &operation) {
    return break_context(context, std::visit([&](const auto &actual) { return execute(context, actual); }, operation));
}

CUresult enqueue(Stream &stream, Operation operation) {
    if (stream.capture) {
        if (stream.capture->invalid) {
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        }
        stream.capture->nodes.push_back({std::move(operation), stream.captured_last});
        stream.captured_last = {stream.capture->nodes.size() - 1};
        return CUDA_SUCCESS;
    }
    poison_destinations(*stream.context, operation);
    stream.queue.push_back(std::move(operation));
    return CUDA_SUCCESS;
}

CUresult advance(Stream &stream) {
    if (stream.context->broken) {
        return stream.context->broken;
    }
    if (stream.queue.empty()) {
        return CUDA_SUCCESS;
    }
    // What it waits for was queued before it, so this ends.
    if (const Wait *wait = std::get_if<Wait>(&stream.queue.front())) {
        const std::shared_ptr<Recording> recording = wait->recording;
        while (!recording->done && recording->stream) {
            if (const CUresult result = advance(*recording->stream)) {
                return result;
            }
        }
        // Running the other stream may have emptied this one's queue too.
        if (!stream.queue.empty()) {
            if (const Wait *still = std::get_if<Wait>(&stream.queue.front()); still && still->recording == recording) {
                stream.queue.pop_front();
            }
        }
        return CUDA_SUCCESS;
    }
    const Operation operation = std::move(stream.queue.front());
    stream.queue.pop_front();
    return run_now(*stream.context, operation);
}

CUresult synchronise(Stream &stream) {
    if (const CUresult result = run_others(*stream.context, &stream)) {
        return result;
    }
    while (!stream.queue.empty()) {
        if (const CUresult result = advance(stream)) {
            return result;
        }
    }
    return stream.context->broken;
}

CUresult synchronise(Context &context) {
    if (const CUresult result = run_others(context, nullptr)) {
        return result;
    }
    for (std::size_t i = 0; i < context.streams.size(); i++) {
        while (!context.streams[i]->queue.empty()) {
            if (const CUresult result = advance(*context.streams[i])) {
                return result;
            }
        }
    }
    return context.broken;
}

CUresult synchronise(Context &context, Recording &recording) {
    if (!recording.done) {
        if (const CUresult result = run_others(context, recording.stream)) {
            return result;
        }
    }
    while (!recording.done && recording.stream) {
        if (const CUresult result = advance(*recording.stream)) {
            return result;
        }
    }
    return context.broken;
}

CUresult synchronise_blocking(Context &context) {
    for (std::size_t i = 0; i < context.streams.size(); i++) {
        while (context.streams[i]->blocking && !context.streams[i]->queue.empty()) {
            if (const CUresult result = advance(*context.streams[i])) {
                return result;
            }
        }
    }
    return context.broken;
}

} // namespace vggx_host
