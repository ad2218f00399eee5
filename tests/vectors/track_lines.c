/* Feeds the lines of a log to TensorBoard's and MLflow's writers: track_lines LOG TENSORBOARD
 * MLFLOW. */
#include "container/lines.h"
#include "core/json.h"
#include "trainer/track.h"

#include <stdio.h>

static enum lf_err run(char **argv, struct lf_diag *diag)
{
    struct lf_train_settings s;
    struct lf_tracker_spec spec = {
        .tensorboard = argv[2], .mlflow = argv[3], .name = "viggo", .settings = &s};
    struct lf_tracker *t = NULL;
    struct lf_lines lines;
    const char *text = NULL;
    size_t n;
    lf_train_settings_default(&s);
    enum lf_err rc = lf_tracker_open(&t, &spec, diag) ?: lf_lines_open(&lines, argv[1], diag);
    while (rc == LF_OK && (rc = lf_lines_next(&lines, &text, &n, diag)) == LF_OK && text) {
        json_auto_t *line = NULL;
        rc = lf_json_parse(&line, text, n, diag);
        rc = rc ?: lf_tracker_line(t, line, diag);
    }
    lf_lines_close(&lines);
    lf_tracker_close(t);
    return rc;
}

int main(int argc, char **argv)
{
    struct lf_diag diag = {"which log and directories?"};
    if (argc == 4 && run(argv, &diag) == LF_OK)
        return 0;
    fprintf(stderr, "track_lines: %s\n", diag.text);
    return 1;
}
