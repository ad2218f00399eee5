/* Filters on sequences, for the table of filters. */
#ifndef LF_TEXT_CHAT_SEQUENCES_H
#define LF_TEXT_CHAT_SEQUENCES_H

#include "text/chat/jinja.h"

#define LF_J_FILTER(name)                                                         \
    enum lf_err name(struct lf_jrun *r, struct lf_jv v, const struct lf_jcall *c, \
                     struct lf_jv *out) LF_MUST_CHECK

LF_J_FILTER(lf_jf_length);
LF_J_FILTER(lf_jf_first);
LF_J_FILTER(lf_jf_last);
LF_J_FILTER(lf_jf_list);
LF_J_FILTER(lf_jf_items);
LF_J_FILTER(lf_jf_join);
LF_J_FILTER(lf_jf_reverse);
LF_J_FILTER(lf_jf_map);
LF_J_FILTER(lf_jf_select);
LF_J_FILTER(lf_jf_reject);
LF_J_FILTER(lf_jf_selectattr);
LF_J_FILTER(lf_jf_rejectattr);
LF_J_FILTER(lf_jf_sort);
LF_J_FILTER(lf_jf_dictsort);
LF_J_FILTER(lf_jf_groupby);
LF_J_FILTER(lf_jf_unique);
LF_J_FILTER(lf_jf_min);
LF_J_FILTER(lf_jf_max);
LF_J_FILTER(lf_jf_sum);

#endif
