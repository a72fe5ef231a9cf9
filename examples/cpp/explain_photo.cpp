// Explains a photo by PatternAttribution and writes the heat map as a grey picture: what speaks for the output that responded
// most is brighter than middle grey, what speaks against it darker.
//
//   explain_photo PHOTO OUT.pgm

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <ios>
#include <stdexcept>
#include <string>
#include <vector>

#include <vggx.hpp>

// Values from −largest to largest as 0 to 255. The square root shows small ones, too.
static std::vector<char> grey(vggx::view<const float> heat_map) {
    float largest = 0;
    for (float value : heat_map) {
        largest = std::max(largest, std::abs(value));
    }
    std::vector<char> bytes;
    bytes.reserve(heat_map.size());
    for (float value : heat_map) {
        float share = largest > 0 ? std::copysign(std::sqrt(std::abs(value) / largest), value) : 0;
        bytes.push_back(static_cast<char>(static_cast<unsigned char>(std::lround(127.5f + 127.5f * share))));
    }
    return bytes;
}

static void write_pgm(const std::string& path, std::size_t height, std::size_t width, const std::vector<char>& bytes) {
    std::ofstream file(path, std::ios::binary);
    file << "P5\n" << width << ' ' << height << "\n255\n";
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) {
        throw std::runtime_error(path + " cannot be written");
    }
}

int main(int count, char** arguments) {
    if (count != 3) {
        std::fprintf(stderr, "usage: explain_photo PHOTO OUT.pgm\n");
        return 2;
    }
    try {
        vggx::engine_options options;
        // Without this nobody hears on which device it runs, and why not on a GPU.
        options.log = [](std::int32_t, const char* message) { std::fprintf(stderr, "%s\n", message); };
        vggx::engine engine(options);
        vggx::image photo(arguments[1]);

        vggx::request request{"pattern-attribution"};
        request.detail = vggx::detail::heat_map;
        vggx::explanations explained = engine.explain(photo, request);

        write_pgm(arguments[2], photo.height(), photo.width(), grey(explained.values(0, 0)));
        std::printf("%s: output %zu responded with %g on %s\n", arguments[1], explained[0].target,
                    static_cast<double>(explained[0].response), engine.describe().device_description);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
