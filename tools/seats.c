/* Which devices. */
#include "tools/seats.h"

#include "gpu/device.h"
#include "tools/limits.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* --gpu: *n cards, each once. */
static enum lf_err cards_read(int card[LF_SEATS_MAX], int *n, const char *text,
                              struct lf_diag *diag)
{
    const char *at = text;
    *n = 0;
    for (char *end; *at; at = *end ? end + 1 : end) {
        long number = strtol(at, &end, 10);
        bool twice = false;
        for (int i = 0; i < *n; i++)
            twice = twice || card[i] == number;
        if (*at < '0' || *at > '9' || number > LF_CARD_MAX || (*end && (*end != ',' || !end[1])))
            return lf_fail(diag, LF_E_INVALID, "--gpu %s: cards are numbers from 0, as 0,1; or all",
                           text);
        if (twice || *n == LF_SEATS_MAX)
            return lf_fail(diag, LF_E_INVALID, "--gpu %s: %s", text,
                           twice ? "a card stands there twice" : "too many cards");
        card[(*n)++] = (int)number;
    }
    return *n > 0 ? LF_OK : lf_fail(diag, LF_E_INVALID, "--gpu names no card");
}

enum lf_err lf_seats_read(struct lf_seats *s, int *device, struct lf_diag *diag)
{
    int n = 0;
    bool all = strcmp(s->gpu, "all") == 0, several = s->n > 1;
    if (!all && cards_read(s->card, &n, s->gpu, diag) != LF_OK)
        return LF_E_INVALID;
    int cards = all ? lf_device_count(LF_DEVICE_CUDA) : 0;
    for (; n < cards && n < LF_SEATS_MAX; n++)
        s->card[n] = n;
    if ((n > 1 && (several || *device == LF_DEVICE_CPU || *device == LF_DEVICE_REF)) ||
        (several && *device == LF_DEVICE_CUDA))
        return lf_fail(diag, LF_E_INVALID,
                       "--gpu has a seat on each card of the cuda device, --seats several on cpu");
    if (several)
        *device = *device == LF_DEVICE_AUTO ? LF_DEVICE_CPU : *device;
    else if (n > 1)
        *device = LF_DEVICE_CUDA;
    s->n = n > 1 ? n : s->n;
    return LF_OK;
}
