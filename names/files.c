/* The table of an adapter's files, and paths into it. */
#include "names/files.h"

#include "core/limits.h"

#include <stdlib.h>
#include <string.h>

#define JSON "application/json"
#define JSONL "application/jsonl"
#define TEXT "text/plain; charset=utf-8"
#define DIGITS "0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define RANDOM_N 6 /* of mkstemp's letters */

const struct lf_file_row lf_files[LF_FILE_N] = {
    [LF_FILE_DATASET] = {"dataset.jsonl", "dataset.jsonl", JSONL, LF_FORM_WRITTEN,
                         "rows to train on; closing it starts training", LF_DATASET_BYTES_MAX,
                         LF_CHECK_ROWS, LF_EFFECT_TRAIN},
    [LF_FILE_EVAL] = {"eval.jsonl", "eval.jsonl", JSONL, LF_FORM_WRITTEN,
                      "rows held out, to score on", LF_DATASET_BYTES_MAX, LF_CHECK_ROWS,
                      LF_EFFECT_SCORE},
    [LF_FILE_CONFIG] = {"config.json", "config.json", JSON, LF_FORM_WRITTEN,
                        "settings of the training", LF_SETTINGS_BYTES_MAX, LF_CHECK_SETTINGS},
    [LF_FILE_TEMPLATE] = {"template", "template", TEXT, LF_FORM_WRITTEN,
                          "how a row becomes a prompt", LF_SETTINGS_BYTES_MAX, LF_CHECK_TEMPLATE},
    [LF_FILE_PROMPT] = {"prompt", "prompt", TEXT, LF_FORM_WRITTEN, "what `cat generate` answers",
                        LF_PROMPT_BYTES_MAX, LF_CHECK_TEXT},
    [LF_FILE_LOG] = {"log", "log.jsonl", JSONL, LF_FORM_GROWN, "what happened, a JSON line each"},
    [LF_FILE_CURVE] = {"loss.svg", "loss.svg", "image/svg+xml", LF_FORM_MADE,
                       "the loss over the steps, drawn"},
    [LF_FILE_METRICS] = {"metrics.json", "metrics.json", JSON, LF_FORM_MADE,
                         "loss, scores and times of the last version"},
    [LF_FILE_SWEEP] = {"sweep.json", "sweep.json", JSON, LF_FORM_MADE,
                       "the trainings of the last sweep, while it runs, too"},
    [LF_FILE_SWEEP_TABLE] = {"sweep.csv", "sweep.csv", "text/csv; charset=utf-8", LF_FORM_MADE,
                             "the same as a table"},
    [LF_FILE_SWEEP_CURVES] = {"sweep.svg", "sweep.svg", "image/svg+xml", LF_FORM_MADE,
                              "and all of their curves, drawn"},
    [LF_FILE_CARD] = {LF_FILE_ADAPTER_DIR "README.md", "README.md", "text/markdown; charset=utf-8",
                      LF_FORM_WRITTEN, "its model card, kept as PEFT and people write it",
                      LF_SETTINGS_BYTES_MAX, LF_CHECK_TEXT},
    [LF_FILE_ADAPTER_CONFIG] = {LF_FILE_ADAPTER_DIR LF_ADAPTER_CONFIG_NAME, NULL, JSON,
                                LF_FORM_WRITTEN, "the adapter in PEFT's form: its shape",
                                LF_SETTINGS_BYTES_MAX, LF_CHECK_JSON, LF_EFFECT_IMPORT},
    [LF_FILE_ADAPTER_WEIGHTS] = {LF_FILE_ADAPTER_DIR LF_ADAPTER_WEIGHTS_NAME, NULL,
                                 "application/octet-stream", LF_FORM_WRITTEN,
                                 "and its weights; writing both imports", LF_WEIGHTS_BYTES_MAX,
                                 LF_CHECK_TENSORS, LF_EFFECT_IMPORT},
    [LF_FILE_STATUS] = {"status", NULL, TEXT, LF_FORM_MADE,
                        "in a line: ready, training, or what is wrong; then odd rows"},
    [LF_FILE_ERROR] = {"error", NULL, TEXT, LF_FORM_MADE,
                       "what was refused or failed last, and why; else empty"},
    [LF_FILE_SETTINGS] = {"settings", NULL, JSON, LF_FORM_MADE,
                          "all settings in force: config.json, template, and the defaults"},
    [LF_FILE_PROGRESS] = {"progress", NULL, TEXT, LF_FORM_FOLLOWED,
                          "how far it is, line by line, until it is trained and scored"},
    [LF_FILE_RESULT] = {"result", NULL, JSON, LF_FORM_FOLLOWED,
                        "the outcome, once trained and scored; fails where that failed"},
    [LF_FILE_GENERATE] = {"generate", NULL, NULL, LF_FORM_ANSWERED,
                          "write a prompt, read its completion"},
    [LF_FILE_CHAT] = {"chat", NULL, NULL, LF_FORM_ANSWERED,
                      "a conversation: write a message, read its answer, and so on"},
    [LF_FILE_CTL] = {"ctl", NULL, NULL, LF_FORM_ORDERED, "commands, a line each"},
};

const struct lf_file_row *lf_file_find(const char *name)
{
    for (size_t i = 0; i < LF_FILE_N; i++)
        if (strcmp(lf_files[i].name, name) == 0)
            return &lf_files[i];
    return NULL;
}

bool lf_file_is_always(const struct lf_file_row *f)
{
    return !f->disk && f->form != LF_FORM_WRITTEN;
}

static bool ends_with(const char *name, size_t n, const char *end)
{
    size_t k = strlen(end);
    return n > k && strcmp(name + n - k, end) == 0;
}

/* ".gz" behind a known name says what is in it: it is meant to be read. */
static bool is_kind(const char *end)
{
    static const char *const kinds[] = {".gz",     ".zst", ".csv",     ".tsv",   ".json", ".jsonl",
                                        ".txt",    ".md",  ".parquet", ".jinja", ".yaml", ".yml",
                                        ".jinja2", ".xz",  ".bz2",     ".zip"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(end, kinds[i]) == 0)
            return true;
    return false;
}

/* What mkstemp or Go's CreateTemp put behind a file's name, without a mark between: six letters and
 * digits, which are no word, or digits. */
static bool is_random(const char *end)
{
    size_t n = strlen(end), digits = strspn(end, DIGITS);
    return n >= RANDOM_N &&
           (digits == n ||
            (n == RANDOM_N && strspn(end, DIGITS UPPER LOWER) == n && strspn(end, LOWER) < n));
}

/* Of programs that make names of their own: sed, perl, gawk, dos2unix. */
static bool is_stem(const char *name, size_t n)
{
    static const char *const stems[] = {"sed", "XX", "gawk.", "d2utmp"};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        size_t k = strlen(stems[i]);
        if (n == k + RANDOM_N && strncmp(name, stems[i], k) == 0)
            return true;
    }
    return false;
}

bool lf_file_is_temporary(const char *name)
{
    static const char *const ends[] = {"~", ".tmp", ".temp", ".part", ".partial", ".swp"};
    size_t n = strlen(name);
    if (name[0] == '.' || name[0] == '#' || strncmp(name, "tmp", 3) == 0)
        return true;
    if (strspn(name, DIGITS) == n || is_stem(name, n))
        return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, n, ends[i]))
            return true;
    for (size_t i = 0; i < LF_FILE_N; i++) {
        const char *slash = strchr(lf_files[i].name, '/');
        const char *known = slash ? slash + 1 : lf_files[i].name;
        size_t k = strlen(known);
        if (n > k && strncmp(name, known, k) == 0 && strchr(".~-_", name[k]))
            return !is_kind(name + k);
        if (strncmp(name, known, k) == 0 && strchr(known, '.') && is_random(name + k))
            return true;
    }
    return false;
}

bool lf_file_is_temporary_dir(const char *name)
{
    return name[0] == '.' && (strstr(name, "tmp") || strstr(name, "partial"));
}

static bool starts_with(const char *bytes, size_t n, const char *const *starts)
{
    for (; *starts; starts++)
        if (n >= strlen(*starts) && memcmp(bytes, *starts, strlen(*starts)) == 0)
            return true;
    return false;
}

bool lf_file_is_copy(const struct lf_file_row *f, const char *bytes, size_t n)
{
    static const char *const states[] = {"empty",  "ready",  "queued", "training",
                                         "paused", "failed", NULL};
    static const char *const lines[] = {"{\"time\":", NULL};
    static const char *const object[] = {"{", NULL};
    static const char *const picture[] = {"<svg", "<?xml", NULL};
    const char *second = n ? memchr(bytes, ' ', n) : NULL;
    size_t left = second ? n - (size_t)(second + 1 - bytes) : 0;
    if (n == 0)
        return true;
    switch ((enum lf_file_kind)(f - lf_files)) {
    case LF_FILE_STATUS:
        return starts_with(bytes, n, states);
    case LF_FILE_ERROR: /* "file: reason" */
        return second && second > bytes && second[-1] == ':';
    case LF_FILE_PROGRESS: /* after the adapter's name */
        return second && (starts_with(second + 1, left, states) || (left > 1 && second[1] == 'v'));
    case LF_FILE_LOG:
        return starts_with(bytes, n, lines);
    case LF_FILE_METRICS:
    case LF_FILE_SWEEP:
    case LF_FILE_RESULT:
    case LF_FILE_SETTINGS:
        return starts_with(bytes, n, object);
    case LF_FILE_CURVE:
    case LF_FILE_SWEEP_CURVES:
        return starts_with(bytes, n, picture);
    default:
        return false;
    }
}

const struct lf_version_file lf_version_files[LF_VERSION_FILES_N] = {
    {LF_ADAPTER_CONFIG_NAME, LF_FILE_ADAPTER_CONFIG},
    {LF_ADAPTER_WEIGHTS_NAME, LF_FILE_ADAPTER_WEIGHTS},
    {"config.json", LF_FILE_CONFIG},
    {"metrics.json", LF_FILE_METRICS},
    {"log", LF_FILE_LOG},
    {"loss.svg", LF_FILE_CURVE},
    {"sweep.json", LF_FILE_SWEEP},
    {"sweep.csv", LF_FILE_SWEEP_TABLE},
    {"sweep.svg", LF_FILE_SWEEP_CURVES},
};

const struct lf_version_file *lf_version_file_find(const char *name)
{
    for (size_t i = 0; i < LF_VERSION_FILES_N; i++)
        if (strcmp(lf_version_files[i].name, name) == 0)
            return &lf_version_files[i];
    return NULL;
}

int32_t lf_version_number(const char *text, char **end)
{
    long n = *text >= '1' && *text <= '9' ? strtol(text, end, 10) : 0;
    return n <= INT32_MAX ? (int32_t)n : 0;
}

/* "3", "3/adapter_config.json"...: what follows "versions/". */
static bool version_parse(struct lf_file_ref *out, const char *rest)
{
    char *end;
    int32_t n = lf_version_number(rest, &end);
    if (n == 0)
        return false;
    *out = (struct lf_file_ref){LF_FILE_VERSION, n};
    if (*end == '\0')
        return true;
    const struct lf_version_file *f = *end == '/' ? lf_version_file_find(end + 1) : NULL;
    if (f)
        out->kind = f->kind;
    return f != NULL;
}

bool lf_file_ref_parse(struct lf_file_ref *out, const char *path)
{
    size_t n = strlen(LF_FILE_VERSIONS_DIR);
    if (strncmp(path, LF_FILE_VERSIONS_DIR, n) == 0)
        return version_parse(out, path + n);
    const struct lf_file_row *f = lf_file_find(path);
    if (f) {
        *out = (struct lf_file_ref){(enum lf_file_kind)(f - lf_files), 0};
        return true;
    }
    n = strlen(LF_FILE_ADAPTER_DIR);
    const struct lf_version_file *beside =
        strncmp(path, LF_FILE_ADAPTER_DIR, n) == 0 ? lf_version_file_find(path + n) : NULL;
    if (beside)
        *out = (struct lf_file_ref){beside->kind, LF_VERSION_CURRENT};
    return beside != NULL;
}

bool lf_file_ref_writable(const struct lf_file_ref *ref)
{
    return ref->version == 0 && lf_files[ref->kind].bytes_max > 0;
}
