/* LIBS: lf_daemon */
/* A base's digest: kept from start to start, and taken anew where a file is another. */
#include "tests/unit/tiny.h"

#include "core/json.h"
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct places {
    char base[64], cache[80], weights[96], kept[112];
};

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[160];
    struct lf_diag diag = {""};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(lf_file_write(path, text, strlen(text), &diag), LF_OK);
}

static void make(struct places *p)
{
    snprintf(p->base, sizeof p->base, "/tmp/lf_identity.XXXXXX");
    assert_non_null(mkdtemp(p->base));
    snprintf(p->cache, sizeof p->cache, "%s/cache", p->base);
    snprintf(p->weights, sizeof p->weights, "%s/model.safetensors", p->base);
    snprintf(p->kept, sizeof p->kept, "%s/base-digest.json", p->cache);
    write_file(p->base, "config.json", "{}");
    write_file(p->base, "tokenizer.json", "{}");
    write_file(p->base, "model.safetensors", "some weights");
}

static void identify(char sha256[LF_SHA256_HEX], const struct places *p, bool cached)
{
    struct lf_diag diag = {""};
    struct lf_base b = {.config_text = (char *)(uintptr_t) "{}", .config_bytes = 2};
    snprintf(b.dir, sizeof b.dir, "%s", p->base);
    if (lf_base_identify(&b, cached ? p->cache : NULL, &diag) != LF_OK)
        fail_msg("%s", diag.text);
    memcpy(sha256, b.sha256, LF_SHA256_HEX);
}

/* What is kept says another digest, of the same files. */
static void forge(const struct places *p, const char *sha256)
{
    json_auto_t *j = NULL;
    struct lf_diag diag = {""};
    assert_int_equal(lf_json_load(&j, p->kept, &diag), LF_OK);
    json_object_set_new(j, "sha256", json_string(sha256));
    assert_int_equal(lf_json_write(p->kept, json_incref(j), 0, &diag), LF_OK);
}

/* A byte of the weights in place: the name, the size and the inode stay. */
static void change(const struct places *p, bool keep_time)
{
    struct stat st;
    int fd = open(p->weights, O_WRONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0 && pwrite(fd, "S", 1, 0) == 1);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_true(!keep_time || futimens(fd, times) == 0);
    close(fd);
}

static void a_digest_is_kept_until_a_file_is_another(void **state)
{
    (void)state;
    char first[LF_SHA256_HEX], again[LF_SHA256_HEX], fake[LF_SHA256_HEX];
    struct places p;
    make(&p);
    memset(fake, 'f', sizeof fake - 1);
    fake[sizeof fake - 1] = '\0';
    identify(first, &p, true);
    identify(again, &p, false);
    assert_string_equal(first, again);
    forge(&p, fake); /* so it shows whether it was read or taken */
    identify(again, &p, true);
    assert_string_equal(again, fake);
    for (int keep_time = 0; keep_time < 2; keep_time++) {
        forge(&p, fake);
        change(&p, keep_time);
        identify(again, &p, true);
        assert_string_not_equal(again, fake);
        assert_string_not_equal(again, first);
    }
    forge(&p, fake);
    write_file(p.base, "other.safetensors", "more");
    identify(again, &p, true);
    assert_string_not_equal(again, fake);
    write_file(p.cache, "base-digest.json", "not json");
    identify(first, &p, true);
    assert_string_equal(first, again);
    assert_int_equal(lf_dir_remove(p.base, NULL), LF_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_digest_is_kept_until_a_file_is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
