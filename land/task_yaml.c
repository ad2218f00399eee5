/* The study's own metadata.yaml as a task's file. Its data are files that hold ready columns; a
 * split column numbers train, validation and test 0, 1 and 2. */
#include "core/limits.h"
#include "land/task_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* ---- YAML as JSON ---------------------------------------------------------------------------- */

/* A value that begins with `event` (which stays the caller's), as strings, lists and objects; of a
 * key that comes twice the last one counts. NULL and a reason on an error. */
static json_t *read_value(yaml_parser_t *p, const yaml_event_t *event, int depth,
                          struct lf_diag *diag);

static bool next(yaml_parser_t *p, yaml_event_t *event, struct lf_diag *diag)
{
    if (yaml_parser_parse(p, event))
        return true;
    lf_fail(diag, LF_E_INVALID, "line %zu: %s", p->problem_mark.line + 1,
            p->problem ? p->problem : "no YAML");
    return false;
}

static json_t *read_mapping(yaml_parser_t *p, int depth, struct lf_diag *diag)
{
    json_t *object = json_object();
    for (;;) {
        yaml_event_t key, event;
        if (!next(p, &key, diag))
            break;
        if (key.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&key);
            return object;
        }
        json_t *value = NULL;
        if (key.type != YAML_SCALAR_EVENT) {
            lf_fail(diag, LF_E_INVALID, "line %zu: a key must be a word", key.start_mark.line + 1);
        } else if (next(p, &event, diag)) {
            value = read_value(p, &event, depth + 1, diag);
            yaml_event_delete(&event);
        }
        bool ok =
            value && json_object_set_new(object, (const char *)key.data.scalar.value, value) == 0;
        yaml_event_delete(&key);
        if (!ok)
            break;
    }
    json_decref(object);
    return NULL;
}

static json_t *read_sequence(yaml_parser_t *p, int depth, struct lf_diag *diag)
{
    json_t *list = json_array();
    yaml_event_t event;
    while (next(p, &event, diag)) {
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        json_t *value = end ? NULL : read_value(p, &event, depth + 1, diag);
        yaml_event_delete(&event);
        if (end)
            return list;
        if (!value || json_array_append_new(list, value) != 0)
            break;
    }
    json_decref(list);
    return NULL;
}

static json_t *read_value(yaml_parser_t *p, const yaml_event_t *event, int depth,
                          struct lf_diag *diag)
{
    if (depth > LF_JSON_DEPTH_MAX) {
        lf_fail(diag, LF_E_INVALID, "nested deeper than %d", LF_JSON_DEPTH_MAX);
        return NULL;
    }
    if (event->type == YAML_MAPPING_START_EVENT)
        return read_mapping(p, depth, diag);
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return read_sequence(p, depth, diag);
    if (event->type == YAML_SCALAR_EVENT) {
        json_t *s = json_stringn((const char *)event->data.scalar.value, event->data.scalar.length);
        if (!s)
            lf_fail(diag, LF_E_INVALID, "line %zu: not UTF-8", event->start_mark.line + 1);
        return s;
    }
    lf_fail(diag, LF_E_INVALID, "line %zu: anchors are not read here", event->start_mark.line + 1);
    return NULL;
}

static json_t *read_yaml(const char *text, size_t n, struct lf_diag *diag)
{
    yaml_parser_t p;
    json_t *root = NULL;
    if (!yaml_parser_initialize(&p)) {
        lf_no_memory(diag, "a YAML parser");
        return NULL;
    }
    yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
    for (bool more = true; more && !root;) {
        yaml_event_t event;
        if (!next(&p, &event, diag))
            break;
        more = event.type == YAML_STREAM_START_EVENT || event.type == YAML_DOCUMENT_START_EVENT;
        if (event.type == YAML_MAPPING_START_EVENT)
            root = read_mapping(&p, 0, diag);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&p);
    if (!root && diag->text[0] == '\0')
        lf_fail(diag, LF_E_INVALID, "must be a mapping of keys to values");
    return root;
}

/* ---- A task of it ---------------------------------------------------------------------------- */

/* "" for a key that is missing, or that says None. */
static const char *word(const json_t *yaml, const char *key)
{
    const char *s = json_string_value(json_object_get(yaml, key));
    return s && strcmp(s, "None") != 0 && strcmp(s, "null") != 0 && strcmp(s, "~") != 0 ? s : "";
}

static const char *either(const char *a, const char *b)
{
    return a[0] ? a : b;
}

/* The format that a file's name says; NULL for others. */
static const char *format_of(const char *path)
{
    static const char *const endings[] = {"csv", "json", "jsonl"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < 3; i++)
        if (strcmp(dot + 1, endings[i]) == 0)
            return endings[i];
    return NULL;
}

/* The completion of a column: after a space, where the prompt does not end in white space. */
static json_t *completion_of(const char *prompt, const char *column)
{
    size_t n = strlen(prompt);
    bool space = n > 0 && strchr(" \t\n", prompt[n - 1]);
    return json_sprintf("%s{%s}", space ? "" : " ", column);
}

struct split_words {
    const char *file, *prompt, *column, *filter_column, *filter_value;
};

static enum lf_err make_split(json_t **out, const struct split_words *w, struct lf_diag *diag)
{
    const char *name = strrchr(w->file, '/') ? strrchr(w->file, '/') + 1 : w->file;
    const char *format = format_of(w->file);
    if (!format)
        return lf_fail(diag, LF_E_INVALID, "\"%.80s\" is no .csv, .json or .jsonl file", w->file);
    json_t *split = json_pack("{s:[s], s:s, s:s, s:o}", "files", name, "format", format, "prompt",
                              w->prompt, "completion", completion_of(w->prompt, w->column));
    if (split && w->filter_column[0] && w->filter_value[0])
        json_object_set_new(split, "where",
                            json_sprintf("%s|string == '%s'", w->filter_column, w->filter_value));
    *out = split;
    return split ? LF_OK : lf_no_memory(diag, "a task");
}

/* Words that go into templates stay words. */
static enum lf_err check_words(const json_t *yaml, struct lf_diag *diag)
{
    static const char *const keys[] = {"split_column", "split_column_value", "target_col",
                                       "eval_target_col"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strpbrk(word(yaml, keys[i]), "{}'\"\\%\n"))
            return lf_fail(diag, LF_E_INVALID, "\"%s\" is no plain word", keys[i]);
    static const char *const needed[] = {"prompt_template", "target_col", "metric_name",
                                         "data_path"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!word(yaml, needed[i])[0])
            return lf_fail(diag, LF_E_INVALID, "needs \"%s\"", needed[i]);
    return LF_OK;
}

static enum lf_err make_source(json_t **out, const json_t *yaml, struct lf_diag *diag)
{
    const char *evaluation = either(word(yaml, "evaluation_data"), word(yaml, "data_path"));
    const char *training = either(word(yaml, "training_data"), word(yaml, "data_path"));
    const char *value = word(yaml, "split_column_value"), *link = word(yaml, "dataset_link");
    const char *column = either(word(yaml, "split_column"), value[0] ? "split" : "");
    bool one_file = strcmp(evaluation, training) == 0;
    struct split_words train = {.file = training,
                                .prompt = word(yaml, "prompt_template"),
                                .column = word(yaml, "target_col"),
                                .filter_column = one_file ? column : "",
                                .filter_value = "0"};
    struct split_words test = {.file = evaluation,
                               .prompt = either(word(yaml, "eval_prompt_template"), train.prompt),
                               .column = either(word(yaml, "eval_target_col"), train.column),
                               .filter_column = column,
                               .filter_value = value};
    if (one_file && !column[0])
        return lf_fail(diag, LF_E_INVALID,
                       "training and evaluation have one file and no \"split_column\"");
    json_t *train_split = NULL, *test_split = NULL;
    enum lf_err rc = make_split(&train_split, &train, diag);
    rc = rc ?: make_split(&test_split, &test, diag);
    if (rc == LF_OK && strcmp(word(yaml, "metric_name"), "humaneval") == 0)
        rc = json_object_update_new(test_split,
                                    json_pack("{s:{s:s}, s:[s,s,s,s]}", "compute", "raw_prompt",
                                              "{{ prompt }}", "keep", "task_id", "entry_point",
                                              "raw_prompt", "test")) == 0
                 ? LF_OK
                 : LF_E_NO_MEMORY;
    if (rc != LF_OK) {
        json_decref(train_split);
        json_decref(test_split);
        return rc;
    }
    *out = json_pack("{s:s, s:s, s:o, s:o}", "source", link, "get",
                     "the prepared files that its metadata.yaml names", "train", train_split,
                     "test", test_split);
    return *out ? LF_OK : lf_no_memory(diag, "a task");
}

static json_t *make_study(const json_t *yaml)
{
    static const char *const splits[] = {"train", "validation", "test"};
    json_t *study = json_object(), *counts = json_object_get(yaml, "num_examples");
    for (size_t i = 0; i < 3; i++)
        if (json_is_object(counts) && word(counts, splits[i])[0])
            json_object_set_new(study, splits[i],
                                json_integer(strtoll(word(counts, splits[i]), NULL, 10)));
    if (word(yaml, "split_used_for_evaluation")[0])
        json_object_set_new(study, "evaluated",
                            json_string(word(yaml, "split_used_for_evaluation")));
    return study;
}

enum lf_err lf_task_from_yaml(json_t **out, char name[LF_NAME_MAX + 1], const char *text, size_t n,
                              struct lf_diag *diag)
{
    struct lf_diag why = {""};
    json_t *yaml = read_yaml(text, n, &why), *source = NULL;
    if (!yaml)
        return lf_fail(diag, LF_E_INVALID, "%s", why.text);
    enum lf_err rc = check_words(yaml, diag) ?: make_source(&source, yaml, diag);
    if (rc == LF_OK) {
        if (name[0] == '\0')
            snprintf(name, LF_NAME_MAX + 1, "%s", word(yaml, "dataset_name"));
        *out = json_pack("{s:s, s:s, s:s, s:o, s:[o]}", "title", word(yaml, "dataset_description"),
                         "category", word(yaml, "adapter_category"), "metric",
                         word(yaml, "metric_name"), "study", make_study(yaml), "data", source);
        rc = *out ? LF_OK : lf_no_memory(diag, "a task");
    }
    json_decref(yaml);
    return rc;
}
