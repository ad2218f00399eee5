/* Prints the learning rate of each optimizer step of settings, a line each: rate_lines SETTINGS. */
#include "trainer/settings.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct lf_train_settings s;
    struct lf_diag diag = {""};
    if (argc != 2 || lf_train_settings_load(&s, argv[1], &diag) != LF_OK) {
        fprintf(stderr, "rate_lines: %s\n", argc == 2 ? diag.text : "which settings?");
        return 1;
    }
    for (int64_t step = 0; step < s.steps; step++)
        printf("%.17g\n", lf_train_learning_rate(&s, step, s.steps));
    lf_train_settings_free(&s);
    return 0;
}
