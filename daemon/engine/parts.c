/* How several bases divide a device's memory. */
#include "daemon/engine/plan.h"

#include "core/num.h"

#include <string.h>

#define MIB 1048576.0
#define BISECTIONS 8 /* of the memory: what a base needs at least, to a 256th of it */

struct division {
    struct lf_daemon_options o; /* of a device on paper */
    struct lf_budget *host;
    uint64_t total;
};

/* Of the seat with least, what may be had now. */
static enum lf_err device_look(struct division *d, const struct lf_daemon_options *o,
                               struct lf_diag *diag)
{
    d->total = UINT64_MAX;
    for (int i = 0; i < o->seats; i++) {
        struct lf_device *dev = NULL;
        struct lf_device_info info;
        const struct lf_device_options options = {
            .index = o->gpu[i], .threads = 1, .memory_bytes = (size_t)o->gpu_memory_bytes};
        enum lf_err rc = lf_device_open(&dev, o->device, &options, diag);
        if (rc != LF_OK)
            return rc;
        lf_device_info(dev, &info);
        bool own = dev->traits->own_memory;
        d->o.device = own ? LF_DEVICE_CUDA : LF_DEVICE_CPU;
        lf_device_free(dev);
        uint64_t bytes = own ? info.memory_free : info.memory_total;
        if (!own && o->gpu_memory_bytes == 0)
            bytes /= (uint64_t)o->seats;
        d->total = bytes < d->total ? bytes : d->total;
    }
    return LF_OK;
}

static enum lf_err lay_out(struct lf_base_part *out, struct division *d, const struct lf_base *base,
                           uint64_t bytes, struct lf_diag *diag)
{
    struct lf_train_settings s;
    uint64_t driver = d->o.device == LF_DEVICE_CUDA ? LF_DRIVER_BYTES : 0;
    const struct lf_config *c = &base->model->config;
    d->o.quant = strcmp(base->quant, "nf4") == 0 ? LF_QUANT_NF4 : LF_QUANT_NONE;
    d->o.gpu_memory_bytes = (int64_t)(bytes + driver);
    enum lf_err rc = lf_plan_layout(&out->plan, &d->o, c, d->host, diag);
    if (rc != LF_OK)
        return rc;
    out->bytes = bytes;
    out->context_max =
        (int)(out->plan.kv_tokens < c->positions_max ? out->plan.kv_tokens : c->positions_max);
    if (d->o.train_tokens == 0)
        return LF_OK;
    lf_train_settings_default(&s);
    rc = lf_plan_check(&out->plan, c, &s, diag);
    lf_train_settings_free(&s);
    return rc;
}

static enum lf_err least_of(uint64_t *out, struct division *d, const struct lf_base *base,
                            struct lf_diag *diag)
{
    struct lf_base_part part;
    uint64_t none = 0, enough = d->total;
    enum lf_err rc = lay_out(&part, d, base, enough, diag);
    if (rc != LF_OK) {
        lf_fail_within(diag, rc, "the base %s, in %.0f MiB of the device", base->name,
                       (double)enough / MIB);
        return LF_E_DEVICE_FULL;
    }
    for (int i = 0; i < BISECTIONS; i++) {
        uint64_t half = none + (enough - none) / 2;
        if (lay_out(&part, d, base, half, NULL) == LF_OK)
            enough = half;
        else
            none = half;
    }
    *out = enough;
    return LF_OK;
}

/* More than that, as far as no fewer of its kind have room. */
static uint64_t ample(uint64_t least, uint64_t total)
{
    return lf_min(least + least / 2, total / (total / least));
}

/* Where not all fit: those that are pinned have theirs always, and leave room for each of the
 * others. */
static enum lf_err come_and_go(uint64_t bytes[], const uint64_t least[], const bool pinned[],
                               const struct lf_bases *bases, uint64_t total, struct lf_diag *diag)
{
    uint64_t stay = 0, stay_least = 0;
    int largest = -1; /* of the others */
    for (int i = 0; i < bases->n; i++) {
        stay += pinned[i] ? ample(least[i], total) : 0;
        stay_least += pinned[i] ? least[i] : 0;
        if (!pinned[i] && (largest < 0 || least[i] > least[largest]))
            largest = i;
    }
    uint64_t most = largest < 0 ? 0 : least[largest];
    bool tight = stay + most > total;
    uint64_t left = total - lf_min(total, tight ? stay_least : stay);
    if (left < most || stay_least > total)
        return lf_fail(
            diag, LF_E_DEVICE_FULL,
            "--pin: the bases that stay need %.0f MiB of the device's %.0f, and the base "
            "%s %.0f",
            (double)stay_least / MIB, (double)total / MIB,
            largest < 0 ? "" : bases->base[largest]->name, (double)most / MIB);
    for (int i = 0; i < bases->n; i++)
        bytes[i] = !pinned[i] ? ample(least[i], left) : tight ? least[i] : ample(least[i], total);
    return LF_OK;
}

enum lf_err lf_plan_parts(struct lf_base_part *parts, uint64_t *total,
                          const struct lf_daemon_options *o, const struct lf_bases *bases,
                          const bool pinned[LF_BASES_MAX], struct lf_budget *host,
                          struct lf_diag *diag)
{
    struct division d = {.o = *o, .host = host};
    uint64_t least[LF_BASES_MAX], bytes[LF_BASES_MAX] = {0}, sum = 0;
    enum lf_err rc = device_look(&d, o, diag);
    for (int i = 0; i < bases->n && rc == LF_OK; i++) {
        rc = least_of(&least[i], &d, bases->base[i], diag);
        sum += rc == LF_OK ? least[i] : 0;
    }
    if (rc == LF_OK && sum > d.total)
        rc = come_and_go(bytes, least, pinned, bases, d.total, diag);
    for (int i = 0; i < bases->n && rc == LF_OK; i++) {
        if (sum <= d.total)
            bytes[i] = (uint64_t)((double)least[i] / (double)sum * (double)d.total);
        rc = lay_out(&parts[i], &d, bases->base[i], bytes[i], diag);
    }
    *total = d.total;
    return rc;
}
