// Keeps one engine busy from four threads, checks that every thread gets the same bits, and prints the speed.
//
//   many_threads PHOTO [EXPLANATIONS_A_THREAD]

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <vggx.hpp>

static const std::size_t THREADS = 4;

static bool same(const vggx::explanations& left, const vggx::explanations& right) {
    vggx::view<const float> first = left.values(0, 0);
    vggx::view<const float> second = right.values(0, 0);
    return first.size() == second.size() && left[0].target == right[0].target &&
           std::memcmp(first.data(), second.data(), first.size() * sizeof(float)) == 0;
}

// What one thread has to tell: nothing when all went well.
static std::string work(const vggx::engine& engine, const vggx::image& photo, const vggx::explanations& expected, long rounds) {
    try {
        for (long round = 0; round < rounds; round++) {
            if (!same(engine.explain(photo, {"pattern-attribution"}), expected)) {
                return "a thread got other bits";
            }
        }
        return "";
    } catch (const std::exception& error) {
        return error.what();
    }
}

int main(int count, char** arguments) {
    long rounds = count == 3 ? std::strtol(arguments[2], nullptr, 10) : 8;
    if (count < 2 || count > 3 || rounds < 1) {
        std::fprintf(stderr, "usage: many_threads PHOTO [EXPLANATIONS_A_THREAD]\n");
        return 2;
    }
    try {
        const vggx::engine engine;
        const vggx::image photo(arguments[1]);
        // Prepares the method, too, so that the time below is of explaining alone.
        const vggx::explanations expected = engine.explain(photo, {"pattern-attribution"});

        std::vector<std::string> outcomes(THREADS);
        std::vector<std::thread> threads;
        auto started = std::chrono::steady_clock::now();
        for (std::string& outcome : outcomes) {
            threads.emplace_back([&] { outcome = work(engine, photo, expected, rounds); });
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
        std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;

        for (const std::string& outcome : outcomes) {
            if (!outcome.empty()) {
                std::fprintf(stderr, "error: %s\n", outcome.c_str());
                return 1;
            }
        }
        double images = static_cast<double>(THREADS) * static_cast<double>(rounds);
        std::printf("%.0f explanations from %zu threads, all with the same bits: %.1f images/s on %s\n", images, THREADS,
                    images / seconds.count(), engine.describe().device_description);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
