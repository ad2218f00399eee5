/* `lorafs land report`: the page and the CSV of a study. */
#include "tools/cmd_land.h"

#include "core/file.h"
#include "land/publish.h"
#include "tools/options.h"

#include <stdio.h>

struct report_order {
    const char *dir, *html, *svg, *csv;
    bool published;
};

typedef enum lf_err (*report_fn)(struct lf_buf *out, const struct lf_land_report *r,
                                 struct lf_diag *diag);

static enum lf_err write_part(const struct lf_publication *p, const char *path, report_fn print,
                              struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    return print(&text, &p->report, diag) ?: lf_file_write(path, text.data, text.len, diag);
}

static enum lf_err print_summary(const struct lf_publication *p, struct lf_diag *diag)
{
    lf_buf_auto text = {0};
    enum lf_err rc = lf_publication_text(p, &text);
    if (rc == LF_OK)
        fputs(text.data, stdout);
    else
        lf_fail(diag, rc, "no memory for the report");
    return rc;
}

/* Writes a part to `path`, or to DIR/name where no path was given. */
static enum lf_err write_named(const struct lf_publication *p, const struct report_order *o,
                               const char *path, const char *name, report_fn print,
                               struct lf_diag *diag)
{
    char named[LF_PATH_MAX];
    if (lf_path_join(named, o->dir, name, diag) != LF_OK)
        return LF_E_INVALID;
    enum lf_err rc = write_part(p, path ? path : named, print, diag);
    if (rc == LF_OK)
        printf("%s is written\n", path ? path : named);
    return rc;
}

static enum lf_err report(const struct report_order *o, struct lf_diag *diag)
{
    struct lf_publication p;
    enum lf_err rc = o->published ? lf_publication_open_published(&p, diag)
                                  : lf_publication_open(&p, o->dir, diag);
    rc = rc ?: print_summary(&p, diag);
    rc = rc ?: write_named(&p, o, o->html, "report.html", lf_land_report_html, diag);
    rc = rc ?: write_named(&p, o, o->svg, "matrix.svg", lf_land_report_svg, diag);
    rc = rc ?: write_named(&p, o, o->csv, "analysis.csv", lf_land_report_csv, diag);
    lf_publication_close(&p);
    return rc;
}

int lf_land_cmd_report(int argc, char **argv)
{
    struct report_order o = {.dir = "."};
    const struct lf_option options[] = {
        {"html", 0, LF_OPT_STR, "FILE", &o.html, "the page; DIR/report.html if not given"},
        {"svg", 0, LF_OPT_STR, "FILE", &o.svg,
         "its picture of scores and lifts; DIR/matrix.svg if not given"},
        {"csv", 0, LF_OPT_STR, "FILE", &o.csv,
         "averages, heuristics, correlations and models; DIR/analysis.csv if not given"},
        {"published", 0, LF_OPT_FLAG, NULL, &o.published,
         "report the paper's own table instead of a study"},
        {0},
    };
    const struct lf_usage usage = {
        "lorafs land report",
        "[DIR] [--html FILE] [--csv FILE]",
        "Writes the report of a study that ran, or still runs, in DIR (here, if not given): scores "
        "and lifts, averages, the published GPT scores beside them, what the tasks' texts "
        "foretell; a page of its own without scripts, its main picture, and CSV. Prints the "
        "averages.",
        options,
        .args_max = 1,
        .examples = "  lorafs land report small-study"};
    struct lf_args args;
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    if (args.n > 0)
        o.dir = args.v[0];
    struct lf_diag diag = {""};
    enum lf_err rc = report(&o, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}
