/* merge_adapters BASE OUT STRATEGY DENSITY total|frequency WEIGHT:DIR...: writes the merge of PEFT
 * directories as one, for merge_oracle.py. The i-th one's seed is i. */
#include "model/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum lf_err merge(char **argv, int n, struct lf_diag *diag)
{
    struct lf_config c;
    struct lf_adapter *parts[LF_MERGE_PARTS_MAX] = {0}, *out = NULL;
    struct lf_merge m = {
        .n = n, .density = strtod(argv[4], NULL), .by_frequency = argv[5][0] == 'f'};
    while (lf_merge_words[m.strategy + 1] && strcmp(argv[3], lf_merge_words[m.strategy]) != 0)
        m.strategy++;
    enum lf_err rc = lf_config_load(&c, argv[1], diag);
    for (int i = 0; i < n && rc == LF_OK; i++) {
        const char *dir = strchr(argv[6 + i], ':');
        m.weight[i] = strtod(argv[6 + i], NULL);
        m.seed[i] = (uint64_t)i;
        rc = lf_adapter_load(&parts[i], &c, dir + 1, diag);
    }
    rc = rc ?: lf_adapters_merge(&out, &c, &m, (const struct lf_adapter *const *)parts, diag);
    rc = rc ?: lf_adapter_save(out, &c, argv[2], "base", NULL, diag);
    for (int i = 0; i < n; i++)
        lf_adapter_free(parts[i]);
    lf_adapter_free(out);
    return rc;
}

int main(int argc, char **argv)
{
    struct lf_diag diag = {""};
    if (argc < 7 || argc > 6 + LF_MERGE_PARTS_MAX)
        return 2;
    if (merge(argv, argc - 6, &diag) == LF_OK)
        return 0;
    fprintf(stderr, "%s\n", diag.text);
    return 1;
}
