/* Command lines: a table of options in, variables filled and a --help page out.
 *
 * A command declares its options once; parsing, ranges, "did you mean", defaults shown in the help
 * and the shell completion all come from that table. Options and arguments may be mixed;
 * `--name value`, `--name=value`, `-n value` and `-nvalue` mean the same; `--` ends the options.
 * What is not on the command line may be in the environment or in lorafs.conf (tools/conf.h).
 * Prints (it is part of commands, not of a library); one thread.
 *
 *     const char *base = NULL;
 *     int64_t steps = 100;
 *     int quant = 1;
 *     const struct lf_option options[] = {
 *         {"base", 'b', LF_OPT_STR, "DIR", &base, "the base model", .required = true},
 *         {"steps", 0, LF_OPT_INT, "N", &steps, "optimizer steps", .lo = 1, .hi = 1e9},
 *         {"quant", 0, LF_OPT_CHOICE, "none|nf4", &quant, "form of the block weights"},
 *         {0},
 *     };
 *     const struct lf_usage usage = {"lorafs example", "[FILE]", "An example.", options, 0, 1};
 *     struct lf_args args;
 *     if (!lf_options_parse(&args, &usage, argc, argv))
 *         return args.status;
 */
#ifndef LF_TOOLS_OPTIONS_H
#define LF_TOOLS_OPTIONS_H

#include "core/err.h"
#include "tools/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum lf_option_kind {
    LF_OPT_FLAG,   /* bool: present is true; takes no value */
    LF_OPT_STR,    /* const char *, borrowed from argv; the last one wins */
    LF_OPT_INT,    /* int64_t in [lo, hi] */
    LF_OPT_REAL,   /* double in [lo, hi] */
    LF_OPT_BYTES,  /* int64_t in [lo, hi]; K, M, G, T (powers of 1024) may follow */
    LF_OPT_CHOICE, /* int (or an enum): index of the word in `value`, "none|nf4" */
    LF_OPT_STRS,   /* struct lf_option_strs: may be given again and again */
    LF_OPT_INTS    /* struct lf_option_ints: "1,8,64", each in [lo, hi] */
};

struct lf_option_strs {
    const char *s[LF_OPTION_LIST_MAX]; /* borrowed from argv */
    int n;
};

struct lf_option_ints {
    int64_t v[LF_OPTION_LIST_MAX];
    int n;
};

struct lf_option {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* 0: none */
    enum lf_option_kind kind;
    const char *value; /* its name in the help: "DIR"; of a CHOICE: the words */
    void *out;         /* holds the default when parsing starts */
    const char *help;  /* a phrase; the default is added to it */
    double lo, hi;     /* both 0: no range */
    bool required;
};

/* A row of a command that submits to Slurm; s is a struct lf_option_strs. */
#define LF_SBATCH_OPTION(s)                                                     \
    {                                                                           \
        "sbatch", 0, LF_OPT_STRS, "OPTION", &(s),                               \
            "an option of sbatch, as --sbatch=--gres=gpu:1; may be given again" \
    }

struct lf_usage {
    const char *name;     /* "lorafs train" */
    const char *synopsis; /* what follows the name in the usage line: "--base DIR FILE..." */
    const char *text;     /* what it does: paragraphs parted by an empty line */
    const struct lf_option *options;
    int args_min, args_max; /* arguments that are no options; args_max -1: any number */
    const char *examples;   /* lines, or NULL */
};

/* The arguments that are no options, in order: borrowed from argv, which is reordered. */
struct lf_args {
    char **v;
    int n;
    uint64_t given; /* bit i: option i of the table stood on the command line, not in a preset */
    int status;     /* what the command returns where there is nothing more to do */
};

/* argv[0] is the command's own word. True: go on. False: return out->status: 0 after --help
 * (printed on stdout), 2 after a wrong command line (the reason on stderr). */
bool lf_options_parse(struct lf_args *out, const struct lf_usage *u, int argc, char **argv);
/* Whether --name stood on the command line. */
bool lf_option_given(const struct lf_args *args, const struct lf_usage *u, const char *name);
/* One option of the table by its name, as from the command line; value is borrowed. LF_E_NOT_FOUND:
 * there is none of that name. */
enum lf_err lf_option_set(const struct lf_usage *u, const char *name, const char *value,
                          struct lf_diag *diag) LF_MUST_CHECK;
/* The options of these names (NULL-terminated) as they are now, each as words that set it again:
 * "--set=rank=8". */
void lf_options_words(const struct lf_usage *u, const char *const *names,
                      void (*word)(void *arg, const char *text), void *arg);
/* A wrong command line that the table cannot see ("--prompt and --ids exclude each other"): prints
 * "name: text" and where to look; returns 2. */
int lf_usage_error(const struct lf_usage *u, const char *fmt, ...) LF_PRINTF(2, 3);
/* A failure: prints "name: reason"; returns 1. diag may be empty: then the code's name is shown. */
int lf_command_failed(const struct lf_usage *u, enum lf_err rc, const struct lf_diag *diag);
/* On stdout, indented, with a line's end. */
void lf_print_json(const json_t *j);

/* A list of commands, each a main of its own; ends with an entry that is all NULL. An entry without
 * a name is a heading. */
struct lf_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
};
/* Runs the one that argv[1] names; 2 where there is none, with the nearest. program: "lorafs". */
int lf_command_run(const char *program, const struct lf_command *list, int argc, char **argv);
/* A line each. */
void lf_commands_print(FILE *to, const struct lf_command *list);

#endif
