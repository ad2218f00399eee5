/* Prints rank and scale of each site that settings give a fresh adapter of a base, and writes it as
 * PEFT does: site_lines BASE SETTINGS OUT. */
#include "trainer/settings.h"

#include <stdio.h>

static enum lf_err run(char **argv, struct lf_diag *diag)
{
    struct lf_config c;
    struct lf_train_settings s;
    struct lf_adapter *a = NULL;
    enum lf_err rc = lf_config_load(&c, argv[1], diag);
    rc = rc ?: lf_train_settings_load(&s, argv[2], diag);
    if (rc != LF_OK)
        return rc;
    struct lf_lora_settings lora = lf_train_settings_lora(&s);
    rc = lf_adapter_new(&a, &c, &lora, 1, diag);
    for (int i = 0; rc == LF_OK && i < a->shape.n_sites; i++) {
        char site[LF_SITE_NAME_MAX];
        lf_adapter_site_name(site, &c, i);
        if (a->shape.rank[i] > 0)
            printf("%s %d %.9g\n", site, a->shape.rank[i], (double)a->shape.scale[i]);
    }
    rc = rc ?: lf_adapter_save(a, &c, argv[3], argv[1], NULL, diag);
    lf_adapter_free(a);
    lf_train_settings_free(&s);
    return rc;
}

int main(int argc, char **argv)
{
    struct lf_diag diag = {"which base, settings and directory?"};
    if (argc == 4 && run(argv, &diag) == LF_OK)
        return 0;
    fprintf(stderr, "site_lines: %s\n", diag.text);
    return 1;
}
