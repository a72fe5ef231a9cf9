/* vggx for C++17: vggx.h with destructors, exceptions and containers. Header-only; nothing is compiled into the library for it.
 *
 *     vggx::engine engine;                                        // the bundled VGG16 features, on a GPU where there is one
 *     vggx::image photo("cat.jpg");
 *     vggx::explanations explained = engine.explain(photo, {"patternnet", "gradient"});
 *     vggx::view<const float> signal = explained.values(0, 0);    // [3, 224, 224]: red, green, blue
 *
 * What this layer adds is said here; what arguments and results mean is said in vggx.h, which may be used at the same time:
 * every class gives its handle (get()), and structs such as vggx_description are vggx.h's.
 *
 * Errors. Whatever is not VGGX_OK is thrown as vggx::error, whose what() is vggx_last_error(). That goes for VGGX_ERROR_IMAGE
 * too, when some images of a batch failed; who wants the others' results calls the functions that end in _into, which fill
 * the caller's buffers, return VGGX_OK or VGGX_ERROR_IMAGE, and throw everything else.
 *
 * Threads. As in vggx.h: an engine, an image and a job may be used by several threads at a time, and their functions for that
 * are const. Moving and destroying them is for one thread when the others are done.
 *
 * Lifetime. Objects are movable and not copyable. An engine's destructor waits for its jobs, a job's for itself. A moved-from
 * object may only be assigned to or destroyed. Views and batches own nothing.
 */

#ifndef VGGX_HPP
#define VGGX_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "vggx.h"

namespace vggx {

/// A call that failed: what() says what, where and what to do.
class error : public std::runtime_error {
public:
    error(vggx_status status, const std::string& message) : std::runtime_error(message), status_(status) {}

    /// One of the VGGX_ERROR_ numbers.
    vggx_status status() const noexcept { return status_; }

private:
    vggx_status status_;
};

/// Throws an error with this thread's message unless the status is VGGX_OK.
inline void check(vggx_status status) {
    if (status != VGGX_OK) {
        const char* message = vggx_last_error();
        throw error(status, *message != '\0' ? message : vggx_status_name(status));
    }
}

/// Elements that somebody else keeps: std::span for C++17.
template <typename Element>
class view {
public:
    constexpr view() noexcept = default;
    constexpr view(Element* data, std::size_t size) noexcept : data_(data), size_(size) {}

    /// Of whatever has its elements in a row: a vector, an array, another view.
    template <typename Container,
              typename = std::enable_if_t<std::is_convertible_v<
                  std::remove_pointer_t<decltype(std::declval<Container&>().data())> (*)[], Element (*)[]>>,
              typename = decltype(std::declval<Container&>().size())>
    constexpr view(Container&& container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr Element* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr Element* begin() const noexcept { return data_; }
    constexpr Element* end() const noexcept { return data_ + size_; }
    constexpr Element& operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    Element* data_ = nullptr;
    std::size_t size_ = 0;
};

/// vggx_version.
inline const char* version() noexcept { return vggx_version(); }

/// vggx_build_info.
inline const char* build_info() noexcept { return vggx_build_info(); }

/// The names of all methods (vggx_method_name).
inline std::vector<std::string> methods() {
    std::vector<std::string> names;
    while (const char* name = vggx_method_name(names.size())) {
        names.emplace_back(name);
    }
    return names;
}

/// What an explanation holds of each image.
enum class detail : std::int32_t {
    /// [3, height, width]: red, green, blue.
    planes = VGGX_DETAIL_PLANES,
    /// [height, width]: their sum.
    heat_map = VGGX_DETAIL_HEAT_MAP
};

/// vggx_load_options; 0 is the default.
struct load_options {
    std::uint32_t resize = 0;
    std::uint32_t crop = 0;
    std::uint64_t max_pixels = 0;
};

/// A decoded image file.
class image {
public:
    /// vggx_image_load.
    explicit image(const std::string& path, const load_options& how = {}) {
        vggx_load_options options = VGGX_INIT(vggx_load_options);
        options.resize = how.resize;
        options.crop = how.crop;
        options.max_pixels = how.max_pixels;
        vggx_image* loaded = nullptr;
        check(vggx_image_load(path.c_str(), &options, &loaded));
        handle_.reset(loaded);
        pixels_.size = sizeof pixels_;
        check(vggx_image_pixels(loaded, &pixels_));
    }

    std::size_t height() const noexcept { return pixels_.height; }
    std::size_t width() const noexcept { return pixels_.width; }

    /// [height, width, 3] in memory that lives as long as the image.
    const vggx_pixels& pixels() const noexcept { return pixels_; }
    const vggx_image* get() const noexcept { return handle_.get(); }

private:
    struct free {
        void operator()(vggx_image* image) const noexcept { vggx_image_free(image); }
    };
    std::unique_ptr<vggx_image, free> handle_;
    vggx_pixels pixels_ = {};
};

/// Images of one size: vggx_batch with its pointers in a vector. All fields may be set by hand. The pixels are not copied: they
/// must outlive the calls that read them.
struct batch {
    std::size_t height = 0;
    std::size_t width = 0;
    /// One pointer an image.
    std::vector<const void*> pixels;
    /// Bytes behind each of them.
    std::size_t image_bytes = 0;
    /// Bytes from row to row; 0: without a gap.
    std::size_t row_stride = 0;
    /// VGGX_PIXELS_RGB8 or VGGX_PIXELS_NORMALISED.
    std::int32_t format = VGGX_PIXELS_RGB8;
    /// VGGX_MEMORY_HOST or VGGX_MEMORY_CUDA.
    std::int32_t memory = VGGX_MEMORY_HOST;
    /// CUstream.
    void* stream = nullptr;

    batch() = default;

    /// Of one image.
    batch(const image& single) { add(single); }

    /// Of images of one size.
    batch(const std::vector<image>& images) {
        for (const image& each : images) {
            add(each);
        }
    }

    /// [height, width, 3] bytes each, `row_stride` from row to row.
    static batch rgb8(std::size_t height, std::size_t width, view<const std::uint8_t* const> images, std::size_t row_stride = 0) {
        batch made(height, width, VGGX_PIXELS_RGB8, row_stride, span(height, row_stride, times(3, width)));
        made.pixels.assign(images.begin(), images.end());
        return made;
    }

    /// [3, height, width] float32 each, as the network takes them, `row_stride` bytes from row to row.
    static batch normalised(std::size_t height, std::size_t width, view<const float* const> images, std::size_t row_stride = 0) {
        batch made(height, width, VGGX_PIXELS_NORMALISED, row_stride,
                   span(times(3, height), row_stride, times(sizeof(float), width)));
        made.pixels.assign(images.begin(), images.end());
        return made;
    }

    /// Adds an image of the size of those before it.
    void add(const image& next) {
        const vggx_pixels& added = next.pixels();
        if (pixels.empty()) {
            height = added.height;
            width = added.width;
            row_stride = added.row_stride;
            image_bytes = added.bytes;
        } else if (added.height != height || added.width != width || added.row_stride != row_stride) {
            throw error(VGGX_ERROR_ARGUMENT, "the images of a batch must have one size");
        }
        pixels.push_back(added.pixels);
    }

    std::size_t images() const noexcept { return pixels.size(); }

    /// The same for vggx.h; it points into this batch.
    vggx_batch c() const noexcept {
        vggx_batch made = VGGX_INIT(vggx_batch);
        made.images = pixels.size();
        made.height = height;
        made.width = width;
        made.pixels = pixels.data();
        made.image_bytes = image_bytes;
        made.row_stride = row_stride;
        made.format = format;
        made.memory = memory;
        made.stream = stream;
        return made;
    }

private:
    /// As SIZE_MAX what is too large, which vggx.h refuses.
    static std::size_t times(std::size_t left, std::size_t right) noexcept {
        return right != 0 && left > SIZE_MAX / right ? SIZE_MAX : left * right;
    }

    /// Bytes from the first row's first to the last row's last.
    static std::size_t span(std::size_t rows, std::size_t stride, std::size_t row_bytes) noexcept {
        if (stride == 0 || rows == 0) {
            return times(rows, row_bytes);
        }
        std::size_t before = times(rows - 1, stride);
        return before > SIZE_MAX - row_bytes ? SIZE_MAX : before + row_bytes;
    }

    batch(std::size_t rows, std::size_t columns, std::int32_t kind, std::size_t stride, std::size_t bytes)
        : height(rows), width(columns), image_bytes(bytes), row_stride(stride), format(kind) {}
};

/// vggx_engine_options; what is empty or 0 has its default.
struct engine_options {
    std::string weights;
    std::string patterns;
    std::string labels;
    /// Folder of the bundled files.
    std::string data;
    std::string device;
    std::string precision;
    std::uint32_t threads = 0;
    std::uint32_t batch = 0;
    std::uint64_t seed = 0;
    std::string channel_order;
    float pixel_scale = 0;
    std::optional<std::array<float, 3>> mean;
    /// Standard deviation: `std` in vggx_engine_options.
    std::optional<std::array<float, 3>> deviation;
    /// Is told what is worth knowing: VGGX_LOG_NOTICE or VGGX_LOG_WARNING and one line. Perhaps from several threads at a time.
    /// It must not throw: that ends the program.
    std::function<void(std::int32_t level, const char* message)> log;
    /// CUcontext.
    void* cuda_context = nullptr;
};

/// What is to be explained, how: vggx_request without its buffers.
struct request {
    /// Empty: patternnet and pattern-attribution.
    std::vector<std::string> methods;
    /// Of all images; empty: top1.
    std::string target;
    /// Of each image, or empty; an empty entry stands for `target`.
    std::vector<std::string> targets;
    vggx::detail detail = vggx::detail::planes;

    request() = default;
    request(std::initializer_list<const char*> names) : methods(names.begin(), names.end()) {}
    explicit request(std::vector<std::string> names) : methods(std::move(names)) {}
};

/// float32 explanations of a batch, in memory of their own.
class explanations {
public:
    std::size_t images() const noexcept { return results_.size(); }
    std::size_t methods() const noexcept { return methods_; }
    std::size_t height() const noexcept { return height_; }
    std::size_t width() const noexcept { return width_; }

    /// Which output of an image was explained, its response and probability.
    const vggx_explained& operator[](std::size_t image) const { return results_.at(image); }

    /// The array of an image and method (in the request's order): [3, height, width] or, of heat maps, [height, width]. What it
    /// means is values · 2^scale_log2.
    view<const float> values(std::size_t image, std::size_t method) const {
        return {values_.data() + index(image, method) * array_, array_};
    }

    /// 0 unless the largest value would overflow float32 or everything would underflow.
    std::int32_t scale_log2(std::size_t image, std::size_t method) const { return scale_log2_[index(image, method)]; }

private:
    friend class engine;
    friend class job;

    std::size_t index(std::size_t image, std::size_t method) const {
        if (image >= images() || method >= methods_) {
            throw std::out_of_range("vggx::explanations has no such image or method");
        }
        return image * methods_ + method;
    }

    std::size_t methods_ = 0;
    std::size_t height_ = 0;
    std::size_t width_ = 0;
    /// Values an array.
    std::size_t array_ = 0;
    std::vector<vggx_explained> results_;
    std::vector<float> values_;
    std::vector<std::int32_t> scale_log2_;
};

/// An explanation that the engine works on meanwhile. The batch's pixels must live until it has ended.
class job {
public:
    /// Whether it has ended.
    bool done() const { return vggx_job_poll(handle()) != VGGX_PENDING; }

    /// Waits until it has ended.
    void wait() const { vggx_job_wait(handle(), VGGX_WAIT_FOREVER); }

    /// Waits until it has ended, but no longer than this; tells whether it has.
    bool wait_for(std::chrono::milliseconds longest) const {
        auto count = longest.count() < 0 ? 0 : static_cast<std::uint64_t>(longest.count());
        return vggx_job_wait(handle(), count) != VGGX_PENDING;
    }

    /// Takes it back if it has not begun.
    void cancel() { check(vggx_job_cancel(state_->handle.get())); }

    /// Waits until it has ended and gives its results away; throws what engine::explain would have thrown. Once only.
    explanations take() {
        check(vggx_job_wait(handle(), VGGX_WAIT_FOREVER));
        return std::move(state_->explained);
    }

    const vggx_job* get() const noexcept { return handle(); }

private:
    friend class engine;

    struct free {
        void operator()(vggx_job* job) const noexcept { vggx_job_free(job); }
    };
    /// At a fixed address, since the engine writes into it. The handle is freed first: that waits.
    struct state {
        explanations explained;
        std::function<void(vggx_status)> ended;
        std::unique_ptr<vggx_job, free> handle;
    };

    explicit job(std::unique_ptr<state> made) noexcept : state_(std::move(made)) {}
    const vggx_job* handle() const noexcept { return state_->handle.get(); }

    std::unique_ptr<state> state_;
};

/// About how much memory a call takes, in bytes.
struct memory_need {
    std::uint64_t host = 0;
    std::uint64_t device = 0;
};

/// A network on a device, with the methods to explain it. Callbacks of its jobs must not destroy it: it would wait for itself.
class engine {
public:
    /// vggx_engine_open.
    explicit engine(const engine_options& options = {}) {
        auto log = options.log ? std::make_shared<log_function>(options.log) : nullptr;
        vggx_engine_options given = VGGX_INIT(vggx_engine_options);
        given.weights = or_null(options.weights);
        given.patterns = or_null(options.patterns);
        given.labels = or_null(options.labels);
        given.data = or_null(options.data);
        given.device = or_null(options.device);
        given.precision = or_null(options.precision);
        given.threads = options.threads;
        given.batch = options.batch;
        given.seed = options.seed;
        given.channel_order = or_null(options.channel_order);
        given.pixel_scale = options.pixel_scale;
        given.mean = options.mean ? options.mean->data() : nullptr;
        given.std = options.deviation ? options.deviation->data() : nullptr;
        given.cuda_context = options.cuda_context;
        if (log) {
            given.log = [](void* user, std::int32_t level, const char* message) noexcept {
                (*static_cast<log_function*>(user))(level, message);
            };
            given.log_user = log.get();
        }
        vggx_engine* opened = nullptr;
        check(vggx_engine_open(&given, &opened));
        handle_ = std::unique_ptr<vggx_engine, close>(opened, close{std::move(log)});
    }

    /// Strings in it live as long as the engine.
    vggx_description describe() const {
        vggx_description description = VGGX_INIT(vggx_description);
        check(vggx_engine_describe(get(), &description));
        return description;
    }

    /// All layers that have weights, in the order of the forward pass.
    std::vector<vggx_layer> layers() const {
        std::vector<vggx_layer> found(describe().layers, VGGX_INIT(vggx_layer));
        for (std::size_t index = 0; index < found.size(); index++) {
            check(vggx_engine_layer(get(), index, &found[index]));
        }
        return found;
    }

    /// The name of an output, or null; it lives as long as the engine.
    const char* label(std::size_t output) const {
        const char* name = nullptr;
        check(vggx_engine_label(get(), output, &name));
        return name;
    }

    /// vggx_engine_memory.
    memory_need memory(std::size_t images, std::size_t height, std::size_t width) const {
        memory_need needed;
        check(vggx_engine_memory(get(), images, height, width, &needed.host, &needed.device));
        return needed;
    }

    /// Prepares methods before the first call that uses them.
    void prepare(const std::vector<std::string>& methods) const {
        std::vector<const char*> names = pointers(methods);
        check(vggx_engine_prepare(get(), names.data(), names.size()));
    }

    /// The `top` outputs of each image that respond most: [images, top].
    std::vector<vggx_class> classify(const batch& images, std::size_t top = 5) const {
        std::vector<vggx_class> classes(product(images.images(), top));
        check(classify_into(images, top, classes));
        return classes;
    }

    /// The same into the caller's memory.
    vggx_status classify_into(const batch& images, std::size_t top, view<vggx_class> classes) const {
        vggx_batch given = images.c();
        return unless_image(vggx_classify(get(), &given, top, classes.data(), classes.size()));
    }

    /// All responses: [images, outputs].
    std::vector<float> responses(const batch& images) const {
        std::vector<float> values(product(images.images(), describe().outputs));
        check(responses_into(images, values, {}));
        return values;
    }

    /// The same into the caller's memory; `statuses` has an entry an image, or none.
    vggx_status responses_into(const batch& images, view<float> values, view<vggx_status> statuses) const {
        vggx_batch given = images.c();
        return unless_image(
            vggx_responses(get(), &given, values.data(), values.size(), statuses.data(), statuses.size()));
    }

    /// vggx_explain, with float32 results in memory of their own.
    explanations explain(const batch& images, const request& wanted = {}) const {
        explanations explained;
        call given(images, wanted, explained);
        check(vggx_explain(get(), &given.images, &given.wanted, explained.results_.data(), explained.results_.size(),
                           explained.scale_log2_.data(), explained.scale_log2_.size()));
        return explained;
    }

    /// vggx_explain with the caller's buffers: also float16, also on a CUDA device.
    vggx_status explain_into(const vggx_batch& images, const vggx_request& wanted, view<vggx_explained> results,
                             view<std::int32_t> scale_log2) const {
        return unless_image(vggx_explain(get(), &images, &wanted, results.data(), results.size(), scale_log2.data(),
                                         scale_log2.size()));
    }

    /// vggx_explain_start, with float32 results that the job keeps. `ended`, which may be empty, is called once with what became
    /// of it, on a thread of the engine; it must neither throw (that ends the program) nor destroy the job.
    job explain_async(const batch& images, const request& wanted = {}, std::function<void(vggx_status)> ended = {}) const {
        auto state = std::make_unique<job::state>();
        state->ended = std::move(ended);
        call given(images, wanted, state->explained);
        vggx_job_callback callback = nullptr;
        if (state->ended) {
            callback = [](void* user, vggx_job*, vggx_status status) noexcept {
                static_cast<job::state*>(user)->ended(status);
            };
        }
        vggx_job* started = nullptr;
        check(vggx_explain_start(get(), &given.images, &given.wanted, state->explained.results_.data(),
                                 state->explained.results_.size(), state->explained.scale_log2_.data(),
                                 state->explained.scale_log2_.size(), callback, state.get(), &started));
        state->handle.reset(started);
        return job(std::move(state));
    }

    /// A temporary image would be gone before the job reads it.
    job explain_async(image&& single, const request& wanted = {}, std::function<void(vggx_status)> ended = {}) const = delete;

    /// For vggx.h.
    vggx_engine* get() const noexcept { return handle_.get(); }

private:
    friend class learner;
    using log_function = std::function<void(std::int32_t, const char*)>;

    /// Keeps the log function until the engine is closed. Where that is refused, in a callback of one of its jobs, the engine
    /// stays open and may still call it: then it is kept for ever.
    struct close {
        std::shared_ptr<log_function> log;
        void operator()(vggx_engine* engine) const noexcept {
            if (vggx_engine_close(engine) != VGGX_OK && log) {
                static_cast<void>(new (std::nothrow) std::shared_ptr<log_function>(log));
            }
        }
    };

    /// A batch and a request for vggx.h, with buffers in `explained`.
    struct call {
        std::vector<const char*> methods;
        std::vector<const char*> targets;
        std::vector<void*> outputs;
        vggx_batch images;
        vggx_request wanted = VGGX_INIT(vggx_request);

        call(const batch& given, const request& request, explanations& explained)
            : methods(pointers(request.methods)), images(given.c()) {
            for (const std::string& target : request.targets) {
                targets.push_back(or_null(target));
            }
            std::size_t count = methods.empty() ? 2 : methods.size();
            std::size_t planes = request.detail == detail::planes ? 3 : 1;
            explained.methods_ = count;
            explained.height_ = given.height;
            explained.width_ = given.width;
            explained.array_ = product(product(planes, given.height), given.width);
            explained.results_.resize(given.images());
            explained.scale_log2_.resize(product(given.images(), count));
            explained.values_.resize(product(explained.scale_log2_.size(), explained.array_));
            for (std::size_t array = 0; array < explained.scale_log2_.size(); array++) {
                outputs.push_back(explained.values_.data() + array * explained.array_);
            }
            wanted.methods = methods.empty() ? nullptr : methods.data();
            wanted.method_count = methods.size();
            wanted.target = or_null(request.target);
            wanted.targets = targets.empty() ? nullptr : targets.data();
            wanted.target_count = targets.size();
            wanted.outputs = outputs.data();
            wanted.output_count = outputs.size();
            wanted.output_bytes = product(explained.array_, sizeof(float));
            wanted.detail = static_cast<std::int32_t>(request.detail);
        }
        call(const call&) = delete;
        call& operator=(const call&) = delete;
    };

    static const char* or_null(const std::string& text) noexcept { return text.empty() ? nullptr : text.c_str(); }

    static std::vector<const char*> pointers(const std::vector<std::string>& texts) {
        std::vector<const char*> made;
        for (const std::string& text : texts) {
            made.push_back(text.c_str());
        }
        return made;
    }

    static std::size_t product(std::size_t left, std::size_t right) {
        if (right != 0 && left > SIZE_MAX / right) {
            throw error(VGGX_ERROR_ARGUMENT, "the images are too large");
        }
        return left * right;
    }

    static vggx_status unless_image(vggx_status status) {
        if (status != VGGX_ERROR_IMAGE) {
            check(status);
        }
        return status;
    }

    std::unique_ptr<vggx_engine, close> handle_;
};

/// vggx_solve_options; what is empty has its default.
struct solve_options {
    std::string centering;
    std::string store;

    /// The same for vggx.h; it points into this.
    vggx_solve_options c() const noexcept {
        vggx_solve_options made = VGGX_INIT(vggx_solve_options);
        made.centering = centering.empty() ? nullptr : centering.c_str();
        made.store = store.empty() ? nullptr : store.c_str();
        return made;
    }
};

/// Adds up moments of images and solves patterns from them.
class learner {
public:
    /// vggx_learner_open.
    explicit learner(const engine& network, bool second_moments = false) : log_(network.handle_.get_deleter().log) {
        vggx_learner_options options = VGGX_INIT(vggx_learner_options);
        options.second_moments = second_moments ? 1 : 0;
        vggx_learner* opened = nullptr;
        check(vggx_learner_open(network.get(), &options, &opened));
        handle_.reset(opened);
    }

    /// Adds a batch.
    void add(const batch& images) {
        check(add_into(images, {}));
    }

    /// The same with a status an image.
    vggx_status add_into(const batch& images, view<vggx_status> statuses) {
        vggx_batch given = images.c();
        vggx_status status = vggx_learner_add(get(), &given, statuses.data(), statuses.size());
        if (status != VGGX_ERROR_IMAGE) {
            check(status);
        }
        return status;
    }

    /// Writes a moment file.
    void save(const std::string& path) const { check(vggx_learner_save(get(), path.c_str())); }

    /// Writes a pattern file.
    void solve(const std::string& path, const solve_options& options = {}) const {
        vggx_solve_options given = options.c();
        check(vggx_learner_solve(get(), &given, path.c_str()));
    }

    vggx_learner* get() const noexcept { return handle_.get(); }

private:
    struct close {
        void operator()(vggx_learner* learner) const noexcept { vggx_learner_close(learner); }
    };
    /// The engine's, which the learner may call after the engine is closed. It goes after the learner.
    std::shared_ptr<engine::log_function> log_;
    std::unique_ptr<vggx_learner, close> handle_;
};

/// Writes a pattern file from moment files (vggx_solve).
inline void solve(const engine& network, const std::vector<std::string>& moments, const std::string& path,
                  const solve_options& options = {}) {
    std::vector<const char*> files;
    for (const std::string& file : moments) {
        files.push_back(file.c_str());
    }
    vggx_solve_options given = options.c();
    check(vggx_solve(network.get(), files.data(), files.size(), &given, path.c_str()));
}

}  // namespace vggx

#endif  // VGGX_HPP
