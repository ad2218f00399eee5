/* Command lines: parsing by the table, and the help page that the table makes. */
#include "tools/options.h"

#include "core/buf.h"
#include "core/limits.h"
#include "core/nearest.h"
#include "tools/conf.h"
#include "tools/limits.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMNS 80
#define HELP_INDENT 28 /* where the help phrases start */

/* ---- Values ---------------------------------------------------------------------------------- */

static bool has_range(const struct lf_option *o)
{
    return o->lo != 0 || o->hi != 0;
}

static enum lf_err range_check(const struct lf_option *o, double v, const char *text,
                               struct lf_diag *diag)
{
    if (has_range(o) && !(v >= o->lo && v <= o->hi))
        return lf_fail(diag, LF_E_INVALID, "--%s must lie in %.15g..%.15g, not %s", o->name, o->lo,
                       o->hi, text);
    return LF_OK;
}

/* Powers of 1024 for a suffix, 0 for one that is not known. */
static int64_t byte_unit(const char *suffix)
{
    static const char units[] = "KMGT";
    if (!*suffix)
        return 1;
    const char *at = strchr(units, *suffix & ~0x20);
    const char *rest = suffix + 1;
    if (!at || !*at || (*rest && strcmp(rest, "B") != 0 && strcmp(rest, "iB") != 0))
        return 0;
    return (int64_t)1 << (10 * (at - units + 1));
}

static enum lf_err parse_int(int64_t *out, const struct lf_option *o, const char *text,
                             const char *stops, const char **end, struct lf_diag *diag)
{
    char *tail = NULL;
    errno = 0;
    long long v = strtoll(text, &tail, 10);
    if (tail == text || errno == ERANGE || (*tail && !strchr(stops, *tail)))
        return lf_fail(diag, LF_E_INVALID, "--%s wants a whole number, not '%s'", o->name, text);
    *out = v;
    *end = tail;
    return range_check(o, (double)v, text, diag);
}

static enum lf_err parse_bytes(int64_t *out, const struct lf_option *o, const char *text,
                               struct lf_diag *diag)
{
    char *tail = NULL;
    double v = strtod(text, &tail);
    int64_t unit = tail == text ? 0 : byte_unit(tail);
    if (unit == 0 || !isfinite(v) || fabs(v) * (double)unit > 9e18)
        return lf_fail(diag, LF_E_INVALID, "--%s wants bytes such as 512M or 8G, not '%s'", o->name,
                       text);
    enum lf_err rc = range_check(o, v * (double)unit, text, diag);
    if (rc == LF_OK)
        *out = (int64_t)(v * (double)unit);
    return rc;
}

static enum lf_err parse_real(double *out, const struct lf_option *o, const char *text,
                              struct lf_diag *diag)
{
    char *tail = NULL;
    double v = strtod(text, &tail);
    if (tail == text || *tail || !isfinite(v))
        return lf_fail(diag, LF_E_INVALID, "--%s wants a number, not '%s'", o->name, text);
    enum lf_err rc = range_check(o, v, text, diag);
    if (rc == LF_OK)
        *out = v;
    return rc;
}

static enum lf_err parse_choice(int *out, const struct lf_option *o, const char *text,
                                struct lf_diag *diag)
{
    size_t len = strlen(text);
    const char *word = o->value;
    for (int i = 0; word; i++) {
        size_t n = strcspn(word, "|");
        if (n == len && memcmp(word, text, n) == 0) {
            *out = i;
            return LF_OK;
        }
        word = word[n] ? word + n + 1 : NULL;
    }
    return lf_fail(diag, LF_E_INVALID, "--%s is one of %s, not '%s'", o->name, o->value, text);
}

static enum lf_err parse_ints(struct lf_option_ints *out, const struct lf_option *o,
                              const char *text, struct lf_diag *diag)
{
    struct lf_option_ints list = {0};
    for (const char *at = text;; at++) {
        if (list.n == LF_OPTION_LIST_MAX)
            return lf_fail(diag, LF_E_INVALID, "--%s takes at most %d numbers", o->name,
                           LF_OPTION_LIST_MAX);
        enum lf_err rc = parse_int(&list.v[list.n++], o, at, ",", &at, diag);
        if (rc != LF_OK)
            return rc;
        if (!*at)
            break;
    }
    *out = list;
    return LF_OK;
}

static enum lf_err push_str(struct lf_option_strs *out, const struct lf_option *o, const char *text,
                            struct lf_diag *diag)
{
    if (out->n == LF_OPTION_LIST_MAX)
        return lf_fail(diag, LF_E_INVALID, "--%s may be given %d times", o->name,
                       LF_OPTION_LIST_MAX);
    out->s[out->n++] = text;
    return LF_OK;
}

static enum lf_err option_set(const struct lf_option *o, const char *text, struct lf_diag *diag)
{
    const char *end = NULL;
    int64_t v = 0;
    enum lf_err rc = LF_OK;
    switch (o->kind) {
    case LF_OPT_FLAG:
        *(bool *)o->out = true;
        return LF_OK;
    case LF_OPT_STR:
        *(const char **)o->out = text;
        return LF_OK;
    case LF_OPT_INT:
        rc = parse_int(&v, o, text, "", &end, diag);
        if (rc == LF_OK)
            *(int64_t *)o->out = v;
        return rc;
    case LF_OPT_REAL:
        return parse_real(o->out, o, text, diag);
    case LF_OPT_BYTES:
        return parse_bytes(o->out, o, text, diag);
    case LF_OPT_CHOICE:
        return parse_choice(o->out, o, text, diag);
    case LF_OPT_STRS:
        return push_str(o->out, o, text, diag);
    case LF_OPT_INTS:
        return parse_ints(o->out, o, text, diag);
    }
    return LF_OK;
}

/* ---- Presets --------------------------------------------------------------------------------- */

static enum lf_err flag_set(bool *out, const struct lf_option *o, const char *text,
                            struct lf_diag *diag)
{
    static const char *const words[] = {"0", "no", "false", "off", "", "1", "yes", "true", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], text) == 0) {
            *out = i >= 5;
            return LF_OK;
        }
    return lf_fail(diag, LF_E_INVALID, "--%s is yes or no, not '%s'", o->name, text);
}

/* What the environment and the files say. *preset: bit i, option i has a value from there. */
static enum lf_err take_presets(const struct lf_usage *u, uint64_t *preset, struct lf_diag *diag)
{
    char from[LF_CONF_NAME_MAX];
    enum lf_err rc = lf_conf_load(u, diag);
    for (const struct lf_option *o = u->options; o->name && rc == LF_OK; o++) {
        const char *text = lf_conf_preset(from, u, o);
        if (!text || (!*text && o->kind != LF_OPT_FLAG && o->kind != LF_OPT_STR))
            continue;
        rc = o->kind == LF_OPT_FLAG ? flag_set(o->out, o, text, diag) : option_set(o, text, diag);
        if (rc != LF_OK)
            return lf_fail_within(diag, rc, "%s (of the environment or lorafs.conf)", from);
        *preset |= (uint64_t)1 << (o - u->options);
    }
    return rc;
}

/* A list on the command line takes the place of a preset one. */
static void forget_preset(const struct lf_option *o)
{
    if (o->kind == LF_OPT_STRS)
        ((struct lf_option_strs *)o->out)->n = 0;
}

/* ---- Parsing --------------------------------------------------------------------------------- */

static const struct lf_option *find_long(const struct lf_usage *u, const char *name, size_t n)
{
    for (const struct lf_option *o = u->options; o->name; o++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

static const struct lf_option *find_letter(const struct lf_usage *u, char letter)
{
    for (const struct lf_option *o = u->options; o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

static enum lf_err unknown_option(const struct lf_usage *u, const char *word, struct lf_diag *diag)
{
    const char *names[LF_OPTION_LIST_MAX + 2];
    int n = 0;
    for (const struct lf_option *o = u->options; o->name && n < LF_OPTION_LIST_MAX; o++)
        names[n++] = o->name;
    names[n++] = "help";
    names[n] = NULL;
    char name[LF_NEAR_WORD_MAX + 1] = "";
    size_t len = strcspn(word + 2, "=");
    if (word[1] == '-' && len <= LF_NEAR_WORD_MAX)
        memcpy(name, word + 2, len);
    const char *near = lf_nearest_word(name, names);
    if (near)
        return lf_fail(diag, LF_E_INVALID, "no option '%s'; did you mean --%s?", word, near);
    return lf_fail(diag, LF_E_INVALID, "no option '%s'", word);
}

/* One option word at argv[*i]; advances *i over a value in the next word. */
static enum lf_err parse_word(const struct lf_usage *u, uint64_t *seen, int argc, char **argv,
                              int *i, struct lf_diag *diag)
{
    const char *word = argv[*i], *value = NULL;
    const struct lf_option *o = NULL;
    if (word[1] == '-') {
        size_t n = strcspn(word + 2, "=");
        o = find_long(u, word + 2, n);
        value = word[2 + n] ? word + 2 + n + 1 : NULL;
    } else {
        o = find_letter(u, word[1]);
        value = word[2] ? word + 2 : NULL;
    }
    if (!o)
        return unknown_option(u, word, diag);
    if (o->kind == LF_OPT_FLAG && value)
        return lf_fail(diag, LF_E_INVALID, "--%s takes no value", o->name);
    if (o->kind != LF_OPT_FLAG && !value) {
        if (*i + 1 >= argc)
            return lf_fail(diag, LF_E_INVALID, "--%s wants a value: %s", o->name, o->value);
        value = argv[++*i];
    }
    lf_assert(o - u->options < 64);
    uint64_t bit = (uint64_t)1 << (o - u->options);
    if (!(*seen & bit))
        forget_preset(o);
    *seen |= bit;
    return option_set(o, value, diag);
}

static enum lf_err check_complete(const struct lf_usage *u, uint64_t seen, int n_args,
                                  struct lf_diag *diag)
{
    for (const struct lf_option *o = u->options; o->name; o++)
        if (o->required && !(seen & ((uint64_t)1 << (o - u->options))))
            return lf_fail(diag, LF_E_INVALID, "--%s %s is needed", o->name, o->value);
    if (n_args < u->args_min)
        return lf_fail(diag, LF_E_INVALID, "an argument is missing: %s", u->synopsis);
    if (u->args_max >= 0 && n_args > u->args_max)
        return lf_fail(diag, LF_E_INVALID, "too many arguments");
    return LF_OK;
}

/* ---- Help ------------------------------------------------------------------------------------ */

/* Prints words wrapped at HELP_COLUMNS; the cursor stands at column `at`, later lines start at
 * column `indent`. */
static void print_wrapped(const char *text, int at, int indent)
{
    const char *gap = "";
    while (*text) {
        int n = (int)strcspn(text, " \n");
        if (text[n] == '\n' && text[n + 1] == '\n') {
            printf("%s%.*s\n\n%*s", gap, n, text, indent, "");
            text += n + 2;
            gap = "";
            at = indent;
            continue;
        }
        if (*gap && at + 1 + n > HELP_COLUMNS) {
            printf("\n%*s", indent, "");
            at = indent;
            gap = "";
        }
        printf("%s%.*s", gap, n, text);
        at += (int)strlen(gap) + n;
        gap = " ";
        text += n + (text[n] != 0);
    }
    putchar('\n');
}

/* The default that stands in the option's variable, as text; "" where there is none to show. */
static void default_text(char *out, size_t cap, const struct lf_option *o)
{
    const char *s = NULL;
    out[0] = 0;
    switch (o->kind) {
    case LF_OPT_FLAG:
    case LF_OPT_STRS:
        return;
    case LF_OPT_STR:
        s = *(const char **)o->out;
        if (s && *s)
            snprintf(out, cap, " [%s]", s);
        return;
    case LF_OPT_INT:
    case LF_OPT_BYTES:
        if (*(int64_t *)o->out)
            snprintf(out, cap, " [%lld]", (long long)*(int64_t *)o->out);
        return;
    case LF_OPT_REAL:
        if (*(double *)o->out != 0)
            snprintf(out, cap, " [%g]", *(double *)o->out);
        return;
    case LF_OPT_CHOICE:
        s = o->value;
        for (int i = *(int *)o->out; i > 0 && s; i--)
            s = strchr(s, '|') ? strchr(s, '|') + 1 : NULL;
        if (s)
            snprintf(out, cap, " [%.*s]", (int)strcspn(s, "|"), s);
        return;
    case LF_OPT_INTS:
        for (int i = 0, at = 0; i < ((struct lf_option_ints *)o->out)->n && at < (int)cap; i++)
            at += snprintf(out + at, cap - (size_t)at, "%s%lld%s", i ? "," : " [",
                           (long long)((struct lf_option_ints *)o->out)->v[i],
                           i + 1 == ((struct lf_option_ints *)o->out)->n ? "]" : "");
        return;
    }
}

static void print_option(const struct lf_option *o)
{
    char text[512], preset[160];
    int at = o->letter ? printf("  -%c, --%s", o->letter, o->name) : printf("      --%s", o->name);
    if (o->kind != LF_OPT_FLAG)
        at += printf(" %s", o->value);
    if (at >= HELP_INDENT - 1) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", HELP_INDENT - at, "");
    default_text(preset, sizeof preset, o);
    snprintf(text, sizeof text, "%s%s%s", o->help, o->required ? " (needed)" : "", preset);
    print_wrapped(text, HELP_INDENT, HELP_INDENT);
}

/* The --help page. */
static void print_help(const struct lf_usage *u)
{
    printf("usage: %s%s%s\n\n", u->name, *u->synopsis ? " " : "", u->synopsis);
    print_wrapped(u->text, 0, 0);
    printf("\nOptions:\n");
    for (const struct lf_option *o = u->options; o->name; o++)
        print_option(o);
    print_option(
        &(struct lf_option){"help", 'h', LF_OPT_FLAG, NULL, NULL, "print this page", 0, 0, false});
    printf("\nLORAFS_NAME in the environment or lorafs.conf(5) may set an option, too.\n");
    if (u->examples)
        printf("\nExamples:\n%s\n", u->examples);
}

/* Before what is no option any more. A value of "--help" is none. */
static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

bool lf_options_parse(struct lf_args *out, const struct lf_usage *u, int argc, char **argv)
{
    struct lf_diag diag = {{0}};
    enum lf_err rc = LF_OK;
    uint64_t seen = 0, preset = 0; /* bit i: option i of the table was given */
    int n = 0;
    if (wants_help(argc, argv)) {
        print_help(u);
        out->status = 0;
        return false;
    }
    rc = take_presets(u, &preset, &diag);
    for (int i = 1; i < argc && rc == LF_OK; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc)
                argv[1 + n++] = argv[i];
        } else if (argv[i][0] == '-' && argv[i][1]) {
            rc = parse_word(u, &seen, argc, argv, &i, &diag);
        } else {
            argv[1 + n++] = argv[i];
        }
    }
    rc = rc ?: check_complete(u, seen | preset, n, &diag);
    if (rc != LF_OK) {
        out->status = lf_usage_error(u, "%s", diag.text);
        return false;
    }
    *out = (struct lf_args){.v = argv + 1, .n = n, .given = seen};
    return true;
}

enum lf_err lf_option_set(const struct lf_usage *u, const char *name, const char *value,
                          struct lf_diag *diag)
{
    const struct lf_option *o = find_long(u, name, strlen(name));
    return o ? option_set(o, value, diag) : LF_E_NOT_FOUND;
}

bool lf_option_given(const struct lf_args *args, const struct lf_usage *u, const char *name)
{
    const struct lf_option *o = find_long(u, name, strlen(name));
    lf_assert(o);
    return args->given >> (o - u->options) & 1;
}

/* ---- Back into words ------------------------------------------------------------------------- */

/* The value as it would be given; false: as where it is not given. A flag has none. */
static bool print_value(struct lf_buf *out, const struct lf_option *o)
{
    switch (o->kind) {
    case LF_OPT_FLAG:
        return *(const bool *)o->out;
    case LF_OPT_STR: {
        const char *text = *(const char *const *)o->out;
        lf_buf_printf(out, "=%s", text ? text : "");
        return text != NULL;
    }
    case LF_OPT_INT:
    case LF_OPT_BYTES:
        lf_buf_printf(out, "=%lld", (long long)*(const int64_t *)o->out);
        return true;
    case LF_OPT_REAL:
        lf_buf_printf(out, "=%.17g", *(const double *)o->out);
        return true;
    case LF_OPT_CHOICE: {
        const char *word = o->value;
        for (int i = *(const int *)o->out; i > 0; i--)
            word += strcspn(word, "|") + 1;
        lf_buf_printf(out, "=%.*s", (int)strcspn(word, "|"), word);
        return true;
    }
    case LF_OPT_INTS: {
        const struct lf_option_ints *list = o->out;
        for (int i = 0; i < list->n; i++)
            lf_buf_printf(out, "%c%lld", i ? ',' : '=', (long long)list->v[i]);
        return list->n > 0;
    }
    case LF_OPT_STRS:
        break;
    }
    return false;
}

void lf_options_words(const struct lf_usage *u, const char *const *names,
                      void (*word)(void *arg, const char *text), void *arg)
{
    for (; *names; names++) {
        lf_buf_auto text = {0};
        const struct lf_option *o = find_long(u, *names, strlen(*names));
        lf_assert(o);
        const struct lf_option_strs *list = o->kind == LF_OPT_STRS ? o->out : NULL;
        for (int i = 0; list && i < list->n; i++) {
            lf_buf_auto each = {0};
            if (lf_buf_printf(&each, "--%s=%s", o->name, list->s[i]) == LF_OK)
                word(arg, each.data);
        }
        lf_buf_printf(&text, "--%s", o->name);
        if (!list && print_value(&text, o) && text.rc == LF_OK)
            word(arg, text.data);
    }
}

/* ---- Failures -------------------------------------------------------------------------------- */

int lf_usage_error(const struct lf_usage *u, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", u->name);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nTry `%s --help`.\n", u->name);
    va_end(ap);
    return 2;
}

int lf_command_failed(const struct lf_usage *u, enum lf_err rc, const struct lf_diag *diag)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", u->name, diag->text[0] ? diag->text : lf_err_name(rc));
    return 1;
}

void lf_print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2));
    putchar('\n');
}

/* ---- Lists of commands ----------------------------------------------------------------------- */

void lf_commands_print(FILE *to, const struct lf_command *list)
{
    for (const struct lf_command *c = list; c->what; c++) {
        if (c->name)
            fprintf(to, "  %-10s %s\n", c->name, c->what);
        else
            fprintf(to, "\n%s\n", c->what);
    }
}

int lf_command_run(const char *program, const struct lf_command *list, int argc, char **argv)
{
    const char *names[LF_OPTION_LIST_MAX + 1];
    int n = 0;
    for (const struct lf_command *c = list; c->what; c++) {
        if (c->name && strcmp(c->name, argv[1]) == 0)
            return c->run(argc - 1, argv + 1);
        if (c->name && n < LF_OPTION_LIST_MAX)
            names[n++] = c->name;
    }
    names[n] = NULL;
    const char *near = lf_nearest_word(argv[1], names);
    fprintf(stderr, "%s: no command '%s'%s%s%s\nTry `%s --help`.\n", program, argv[1],
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", program);
    return 2;
}
