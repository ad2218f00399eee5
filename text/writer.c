/* Tokens to text: the decoder, then the stop strings. */
#include "text/writer.h"

#include <string.h>

void lf_writer_init(struct lf_writer *w, const struct lf_tokenizer *t, const char *const *stops,
                    int n)
{
    *w = (struct lf_writer){0};
    lf_decoder_init(&w->decoder, t, true);
    lf_stop_init(&w->stop, stops, n);
}

void lf_writer_skip_leading(struct lf_writer *w)
{
    w->leading = true;
}

void lf_writer_free(struct lf_writer *w)
{
    lf_decoder_free(&w->decoder);
    lf_stop_free(&w->stop);
    lf_buf_free(&w->fresh);
    lf_buf_free(&w->text);
}

enum lf_err lf_writer_text(struct lf_writer *w, const char *text, size_t n)
{
    enum lf_err rc = LF_OK;
    if (w->ending != LF_ENDING_NONE)
        return LF_OK;
    if (w->leading) {
        size_t k = 0;
        while (k < n && strchr(" \t\r\n\f\v", text[k]) && text[k])
            k++;
        w->leading = k == n;
        rc = k ? lf_buf_append(&w->text, text, k) : LF_OK;
        text += k;
        n -= k;
    }
    rc = rc ?: lf_stop_push(&w->stop, &w->text, text, n);
    if (rc == LF_OK && w->stop.met >= 0)
        w->ending = LF_ENDING_STOP;
    return rc;
}

enum lf_err lf_writer_token(struct lf_writer *w, int32_t id)
{
    if (w->ending != LF_ENDING_NONE)
        return LF_OK;
    w->n_tokens++;
    if (!w->decoder.tok)
        return LF_OK;
    lf_buf_reset(&w->fresh);
    enum lf_err rc = lf_decoder_push(&w->decoder, &w->fresh, id);
    return rc == LF_OK && w->fresh.len > 0 ? lf_writer_text(w, w->fresh.data, w->fresh.len) : rc;
}

enum lf_err lf_writer_end(struct lf_writer *w, enum lf_ending why)
{
    if (w->ending != LF_ENDING_NONE)
        return LF_OK;
    lf_buf_reset(&w->fresh);
    enum lf_err rc = w->decoder.tok ? lf_decoder_finish(&w->decoder, &w->fresh) : LF_OK;
    if (rc == LF_OK && w->fresh.len > 0)
        rc = lf_writer_text(w, w->fresh.data, w->fresh.len);
    if (rc == LF_OK && w->ending == LF_ENDING_NONE) {
        rc = lf_stop_finish(&w->stop, &w->text);
        w->ending = why;
    }
    return rc;
}
