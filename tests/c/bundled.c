/* Prints which weight file an engine without any options opens. */

#include <stdio.h>

#include <vggx.h>

int main(void) {
    vggx_engine *engine = NULL;
    vggx_description description = VGGX_INIT(vggx_description);
    if (vggx_engine_open(NULL, &engine) != VGGX_OK || vggx_engine_describe(engine, &description) != VGGX_OK) {
        fprintf(stderr, "error: %s\n", vggx_last_error());
        vggx_engine_close(engine);
        return 1;
    }
    printf("%s\n", description.weights);
    vggx_engine_close(engine);
    return 0;
}
