// Uses all of vggx.hpp on a narrow network, and one engine from several threads.
//
//   wrapper FOLDER [DEVICE]
//   wrapper --build-info

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <vggx.hpp>

extern "C" {
#include "narrow_network.h"
}

// Movable, so that they can be members and elements; not copyable, since they own handles.
template <typename Handle>
constexpr bool MOVES = std::is_nothrow_move_constructible_v<Handle> && std::is_nothrow_move_assignable_v<Handle> &&
                       !std::is_copy_constructible_v<Handle> && !std::is_copy_assignable_v<Handle>;
static_assert(MOVES<vggx::engine> && MOVES<vggx::image> && MOVES<vggx::job> && MOVES<vggx::learner>);
static_assert(std::is_convertible_v<std::vector<float>&, vggx::view<const float>>);
static_assert(!std::is_convertible_v<const std::vector<float>&, vggx::view<float>>);
static_assert(!std::is_convertible_v<std::vector<double>&, vggx::view<float>>);

#define MUST(condition) \
    do { \
        if (!(condition)) { \
            std::fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1); \
        } \
    } while (false)

// What a call throws; VGGX_OK if nothing.
template <typename Call>
static vggx_status thrown(Call call) {
    try {
        call();
        return VGGX_OK;
    } catch (const vggx::error& error) {
        MUST(std::strlen(error.what()) > 8);
        return error.status();
    }
}

static bool same(vggx::view<const float> left, vggx::view<const float> right) {
    return left.size() == right.size() && std::memcmp(left.data(), right.data(), left.size() * sizeof(float)) == 0;
}

static bool same(const vggx::explanations& left, const vggx::explanations& right) {
    MUST(left.images() == right.images() && left.methods() == right.methods());
    for (std::size_t image = 0; image < left.images(); image++) {
        for (std::size_t method = 0; method < left.methods(); method++) {
            if (!same(left.values(image, method), right.values(image, method)) ||
                left.scale_log2(image, method) != right.scale_log2(image, method)) {
                return false;
            }
        }
    }
    return true;
}

struct place {
    std::string folder;
    std::string device;
    std::string file(const char* name) const { return folder + "/" + name; }
    vggx::engine_options options() const {
        vggx::engine_options options;
        options.weights = file("narrow.safetensors");
        options.labels = file("labels.txt");
        options.device = device;
        options.precision = "f32";
        options.threads = 2;
        return options;
    }
    vggx::image picture() const {
        vggx::load_options load;
        load.resize = NARROW_SIDE;
        load.crop = NARROW_SIDE;
        return vggx::image(file("picture.bmp"), load);
    }
};

static void test_errors(const place& place) {
    MUST(thrown([&] { vggx::image(place.file("missing")); }) == VGGX_ERROR_FILE);
    MUST(thrown([&] { vggx::image(place.file("labels.txt")); }) == VGGX_ERROR_FORMAT);
    vggx::engine_options options = place.options();
    options.device = "abacus";
    MUST(thrown([&] { vggx::engine engine(options); }) == VGGX_ERROR_ARGUMENT);
    vggx::engine engine(place.options());
    vggx::image picture = place.picture();
    MUST(thrown([&] { engine.explain(picture, {"patternnets"}); }) == VGGX_ERROR_ARGUMENT);
    MUST(thrown([&] { engine.explain(picture, {"patternnet"}); }) == VGGX_ERROR_UNSUPPORTED);
    MUST(thrown([&] { engine.explain(vggx::batch(), {"gradient"}); }) == VGGX_ERROR_ARGUMENT);
    MUST(thrown([&] { engine.classify(picture, NARROW_CLASSES + 1); }) == VGGX_ERROR_ARGUMENT);
    MUST(thrown([&] { engine.label(NARROW_CLASSES); }) == VGGX_ERROR_ARGUMENT);
    vggx::request request{"gradient"};
    request.targets = {"1", "2"};
    MUST(thrown([&] { engine.explain(picture, request); }) == VGGX_ERROR_ARGUMENT);
    MUST(thrown([&] { engine.explain_async(picture, request); }) == VGGX_ERROR_ARGUMENT);
    vggx::image larger(place.file("picture.bmp"), {16, 16, 0});
    vggx::batch batch(picture);
    MUST(thrown([&] { batch.add(larger); }) == VGGX_ERROR_ARGUMENT);
}

static void test_questions(const place& place) {
    MUST(std::strcmp(vggx::version(), vggx_version()) == 0);
    MUST(std::strchr(vggx::build_info(), '{') != nullptr);
    std::vector<std::string> methods = vggx::methods();
    MUST(methods.size() > 5);

    vggx::engine engine(place.options());
    vggx_description description = engine.describe();
    MUST(description.weights == place.file("narrow.safetensors"));
    MUST(std::string(description.device).rfind(place.device, 0) == 0);
    MUST(std::strcmp(description.precision, "f32") == 0);
    MUST(description.parameters == 536 && description.outputs == NARROW_CLASSES && description.layers == 5);
    MUST(description.has_classifier == 1 && description.has_labels == 1 && description.has_patterns == 0);
    std::vector<vggx_layer> layers = engine.layers();
    MUST(layers.size() == 5);
    MUST(std::strcmp(layers[1].name, "features.3") == 0 && layers[1].inputs == 4 && layers[1].outputs == 5);
    MUST(layers[1].kind == VGGX_LAYER_CONVOLUTION && layers[1].pool == 1);
    MUST(layers[4].kind == VGGX_LAYER_DENSE && layers[4].outputs == NARROW_CLASSES);
    MUST(std::strcmp(engine.label(7), "class 7") == 0);
    vggx::memory_need one = engine.memory(1, NARROW_SIDE, NARROW_SIDE);
    vggx::memory_need hundred = engine.memory(100, NARROW_SIDE, NARROW_SIDE);
    MUST(one.host > 0 && hundred.host > one.host);
    MUST((hundred.device == 0) == (place.device == "cpu"));
}

static void test_classes(const place& place) {
    vggx::engine engine(place.options());
    std::vector<vggx::image> pictures;
    pictures.push_back(place.picture());
    pictures.push_back(place.picture());
    std::vector<float> responses = engine.responses(pictures);
    MUST(responses.size() == 2 * NARROW_CLASSES);
    MUST(same({responses.data(), NARROW_CLASSES}, {responses.data() + NARROW_CLASSES, NARROW_CLASSES}));

    std::vector<vggx_class> classes = engine.classify(pictures, NARROW_CLASSES);
    MUST(classes.size() == responses.size());
    double sum = 0;
    for (std::size_t rank = 0; rank < NARROW_CLASSES; rank++) {
        MUST(classes[rank].status == VGGX_OK);
        MUST(classes[rank].response == responses[classes[rank].output]);
        MUST(rank == 0 || classes[rank].response <= classes[rank - 1].response);
        sum += classes[rank].probability;
    }
    // Eight probabilities, each rounded to float64 a few times.
    MUST(std::abs(sum - 1) < 1e-12);

    // One of two images is not finite: only the other has results, and only the _into form gives them.
    std::vector<float> input(3 * NARROW_SIDE * NARROW_SIDE, 0.25f);
    std::vector<float> broken = input;
    broken[5] = NAN;
    const float* inputs[] = {input.data(), broken.data()};
    vggx::batch batch = vggx::batch::normalised(NARROW_SIDE, NARROW_SIDE, {inputs, 2});
    MUST(thrown([&] { engine.responses(batch); }) == VGGX_ERROR_IMAGE);
    MUST(thrown([&] { engine.classify(batch); }) == VGGX_ERROR_IMAGE);
    MUST(thrown([&] { engine.explain(batch, {"gradient"}); }) == VGGX_ERROR_IMAGE);
    std::vector<vggx_status> statuses(2);
    MUST(engine.responses_into(batch, responses, statuses) == VGGX_ERROR_IMAGE);
    MUST(statuses[0] == VGGX_OK && statuses[1] != VGGX_OK);
    MUST(std::isfinite(responses[0]) && std::isnan(responses[NARROW_CLASSES]));
    MUST(engine.classify_into(batch, NARROW_CLASSES, classes) == VGGX_ERROR_IMAGE);
    MUST(classes[0].status == VGGX_OK && classes[NARROW_CLASSES].status != VGGX_OK);
}

static void test_learning_and_explaining(const place& place) {
    vggx::image picture = place.picture();
    {
        vggx::engine engine(place.options());
        vggx::learner learner(engine);
        MUST(thrown([&] { learner.solve(place.file("wrapper-patterns.safetensors")); }) == VGGX_ERROR_ARGUMENT);
        learner.add(picture);
        // Rows of a larger picture, not packed.
        std::vector<std::uint8_t> canvas(NARROW_SIDE * 100);
        std::uint64_t state = 7;
        for (std::uint8_t& byte : canvas) {
            byte = static_cast<std::uint8_t>(narrow_random(&state) >> 24);
        }
        const std::uint8_t* first_row = canvas.data() + 9;
        learner.add(vggx::batch::rgb8(NARROW_SIDE, NARROW_SIDE, {&first_row, 1}, 90));
        learner.save(place.file("wrapper-moments.safetensors"));
        vggx::solve_options regime;
        regime.centering = "regime";
        learner.solve(place.file("wrapper-regime.safetensors"), regime);
        vggx::solve(engine, {place.file("wrapper-moments.safetensors")}, place.file("wrapper-patterns.safetensors"));
    }
    vggx::engine_options options = place.options();
    options.patterns = place.file("wrapper-patterns.safetensors");
    vggx::engine engine(options);
    MUST(engine.describe().has_patterns == 1);
    engine.prepare({"patternnet"});

    vggx::explanations planes = engine.explain(picture);
    MUST(planes.images() == 1 && planes.methods() == 2 && planes.height() == NARROW_SIDE && planes.width() == NARROW_SIDE);
    MUST(planes[0].status == VGGX_OK && planes[0].target < NARROW_CLASSES);
    MUST(planes[0].target == engine.classify(picture, 1)[0].output);
    MUST(planes.values(0, 1).size() == 3 * NARROW_SIDE * NARROW_SIDE && planes.scale_log2(0, 1) == 0);
    bool out_of_range = false;
    try {
        planes.values(0, 2);
    } catch (const std::out_of_range&) {
        out_of_range = true;
    }
    MUST(out_of_range);

    // The heat map is the sum over the planes.
    vggx::request request{"pattern-attribution"};
    request.detail = vggx::detail::heat_map;
    vggx::explanations heat_map = engine.explain(picture, request);
    const std::size_t area = NARROW_SIDE * NARROW_SIDE;
    MUST(heat_map.values(0, 0).size() == area);
    for (std::size_t pixel = 0; pixel < area; pixel++) {
        vggx::view<const float> three = planes.values(0, 1);
        double sum = static_cast<double>(three[pixel]) + static_cast<double>(three[area + pixel]) +
                     static_cast<double>(three[2 * area + pixel]);
        MUST(heat_map.values(0, 0)[pixel] == static_cast<float>(sum));
    }

    // A label names the same output as its number; each image has a target of its own.
    std::vector<vggx::image> pictures;
    pictures.push_back(place.picture());
    pictures.push_back(place.picture());
    vggx::request targets{"gradient"};
    targets.target = "class 3";
    targets.targets = {"", "5"};
    vggx::explanations both = engine.explain(pictures, targets);
    MUST(both[0].target == 3 && both[1].target == 5);

    // float16 through vggx.h's structs.
    vggx::batch batch(picture);
    std::vector<std::uint16_t> halves(3 * area);
    void* output = halves.data();
    const char* method = "patternnet";
    vggx_request given = VGGX_INIT(vggx_request);
    given.methods = &method;
    given.method_count = 1;
    given.outputs = &output;
    given.output_count = 1;
    given.output_bytes = halves.size() * sizeof halves[0];
    given.element_type = VGGX_TYPE_F16;
    std::vector<vggx_explained> results(1);
    std::vector<std::int32_t> scale(1);
    MUST(engine.explain_into(batch.c(), given, results, scale) == VGGX_OK);
    // Exponent, then bits: the largest of them lies just below 2^15, as vggx.h promises.
    unsigned largest = 0;
    for (std::uint16_t half : halves) {
        largest = std::max(largest, half & 0x7fffu);
    }
    MUST(largest >> 10 == 15 + 14);
}

static void test_jobs(const place& place) {
    vggx::image picture = place.picture();
    vggx::engine engine(place.options());
    vggx::explanations expected = engine.explain(picture, {"gradient", "deconvnet"});

    std::atomic<int> ended{0};
    std::vector<vggx::job> jobs;
    for (int count = 0; count < 8; count++) {
        jobs.push_back(engine.explain_async(picture, {"gradient", "deconvnet"}, [&ended](vggx_status status) {
            if (status == VGGX_OK) {
                ended++;
            }
        }));
    }
    for (vggx::job& job : jobs) {
        job.wait();
        MUST(job.done());
        MUST(same(job.take(), expected));
    }
    // Destroying waits for the callbacks, too.
    jobs.clear();
    MUST(ended == 8);

    // Cancelled or done; nothing else, and in either case told.
    std::atomic<int> told{0};
    {
        vggx::job job = engine.explain_async(picture, {"gradient"}, [&told](vggx_status) { told++; });
        job.cancel();
        while (!job.wait_for(std::chrono::milliseconds(50))) {
        }
        try {
            job.take();
        } catch (const vggx::error& error) {
            MUST(error.status() == VGGX_ERROR_CANCELLED);
        }
        // Moving one must not move what the engine writes into.
        vggx::job moved = std::move(job);
        MUST(moved.done());
        vggx::job other = engine.explain_async(picture, {"gradient"});
        moved = std::move(other);
        moved.take();
    }
    MUST(told == 1);

    // The engine may go first.
    vggx::engine second(place.options());
    vggx::job left = second.explain_async(picture, {"gradient", "deconvnet"});
    second = std::move(engine);
    MUST(same(left.take(), expected));
}

static void test_log(const place& place) {
    std::mutex mutex;
    std::vector<std::string> lines;
    vggx::engine_options options = place.options();
    options.log = [&](std::int32_t level, const char* message) {
        std::lock_guard<std::mutex> lock(mutex);
        MUST(level == VGGX_LOG_NOTICE || level == VGGX_LOG_WARNING);
        lines.emplace_back(message);
    };
    options.device = "auto";
    vggx::engine engine(options);
    std::string device = engine.describe().device;
    engine = vggx::engine(options);
    // Without a GPU it says why it takes the CPU.
    MUST(device != "cpu" || lines.size() == 2);
}

static void test_threads(const place& place) {
    const vggx::engine engine(place.options());
    const vggx::image picture = place.picture();
    const vggx::explanations expected = engine.explain(picture, {"gradient", "guided-backprop"});
    std::atomic<int> equal{0};
    std::vector<std::thread> threads;
    for (int number = 0; number < 4; number++) {
        threads.emplace_back([&, number] {
            for (int round = 0; round < 25; round++) {
                // Threads that prepare methods, ask and fail meanwhile.
                if (number == 0) {
                    engine.prepare({vggx::methods()[static_cast<std::size_t>(round) % 3]});
                }
                MUST(thrown([&] { engine.label(99); }) == VGGX_ERROR_ARGUMENT);
                vggx::job job = engine.explain_async(picture, {"gradient", "guided-backprop"});
                bool both = same(engine.explain(picture, {"gradient", "guided-backprop"}), expected);
                both = same(job.take(), expected) && both;
                equal += both ? 1 : 0;
            }
        });
    }
    // Several engines at once.
    for (int number = 0; number < 2; number++) {
        threads.emplace_back([&] {
            for (int round = 0; round < 5; round++) {
                vggx::engine other(place.options());
                equal += same(other.explain(picture, {"gradient", "guided-backprop"}), expected) ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    MUST(equal == 4 * 25 + 2 * 5);
}

int main(int count, char** words) {
    if (count == 2 && std::strcmp(words[1], "--build-info") == 0) {
        std::printf("%s\n", vggx::build_info());
        return 0;
    }
    if (count < 2 || count > 3) {
        std::fprintf(stderr, "usage: wrapper FOLDER [DEVICE]\n");
        return 2;
    }
    place place{words[1], count > 2 ? words[2] : "cpu"};
    MUST(narrow_network_write(words[1]) == 0);
    test_errors(place);
    test_questions(place);
    test_classes(place);
    test_learning_and_explaining(place);
    test_jobs(place);
    test_log(place);
    test_threads(place);
    std::printf("all of vggx.hpp works on %s\n", place.device.c_str());
}
