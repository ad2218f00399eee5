/* Runs a fuzz target over files: `fuzz_<name> FILE|DIRECTORY...`, where there is no libFuzzer. A
 * target says that something is wrong by crashing. */
#include "core/file.h"
#include "core/limits.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int run_file(const char *path)
{
    struct lf_mapping m;
    struct lf_diag diag;
    if (lf_file_map(&m, path, &diag) != LF_OK) {
        fprintf(stderr, "%s\n", diag.text);
        return -1;
    }
    LLVMFuzzerTestOneInput(m.data, m.bytes);
    lf_file_unmap(&m);
    return 1;
}

/* How many files ran; -1 where one could not be read. */
static int run(const char *path)
{
    DIR *d = opendir(path);
    int n = 0, one = 0;
    if (!d)
        return run_file(path);
    for (struct dirent *e; one >= 0 && (e = readdir(d));) {
        char whole[LF_PATH_MAX];
        if (e->d_name[0] == '.')
            continue;
        snprintf(whole, sizeof whole, "%s/%s", path, e->d_name);
        one = run(whole);
        n += one;
    }
    closedir(d);
    return one < 0 ? -1 : n;
}

int main(int argc, char **argv)
{
    int n = 0;
    for (int i = 1; i < argc; i++) {
        int some = run(argv[i]);
        if (some < 0)
            return 1;
        n += some;
    }
    printf("%d inputs\n", n);
    return n > 0 ? 0 : 1;
}
