/* All the tables together. */
#include "text/chat/names.h"

/* Filters of jinja2 that no chat template needs. */
static const struct lf_jdef refused_filters[] = {
    {"attr"},     {"batch"},     {"center"}, {"filesizeformat"}, {"forceescape"}, {"format"},
    {"groupby"},  {"pprint"},    {"random"}, {"round"},          {"slice"},       {"striptags"},
    {"truncate"}, {"urlencode"}, {"urlize"}, {"wordcount"},      {"wordwrap"},    {"xmlattr"},
    {NULL},
};

static const struct lf_jdef *filter(struct lf_str name)
{
    const struct lf_jdef *def = lf_j_find(lf_j_value_filters, name);
    if (!def)
        def = lf_j_find(lf_j_sequence_filters, name);
    return def ? def : lf_j_find(refused_filters, name);
}

static const struct lf_jdef *test(struct lf_str name)
{
    return lf_j_find(lf_j_tests, name);
}

static const struct lf_jdef *function(struct lf_str name)
{
    return lf_j_find(lf_j_functions, name);
}

const struct lf_jnames lf_j_names = {filter, test, function, lf_j_method};
