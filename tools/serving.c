/* The command line of the daemon. */
#include "tools/serving.h"

#include "core/log.h"
#include "tools/places.h"

#include <signal.h>
#include <sys/signalfd.h>

void lf_serving_init(struct lf_serving *s)
{
    *s = (struct lf_serving){.quant = LF_QUANT_NF4, .log_level = LF_LOG_INFO};
    lf_daemon_options_default(&s->daemon);
    lf_place_data(s->data_dir);
    s->daemon.data_dir = s->data_dir;
    s->threads = s->daemon.threads;
    s->slots = s->daemon.slots;
    s->batch_tokens = s->daemon.batch_tokens_max;
    s->train_tokens = s->daemon.train_tokens;
    s->drain_seconds = s->daemon.drain_seconds;
}

static enum lf_device_kind best_device(void)
{
    struct lf_device *dev = NULL;
    if (lf_device_open(&dev, LF_DEVICE_CUDA, NULL, NULL) != LF_OK)
        return LF_DEVICE_CPU;
    lf_device_free(dev);
    return LF_DEVICE_CUDA;
}

void lf_serving_finish(struct lf_serving *s)
{
    static const enum lf_device_kind kinds[] = {
        [LF_OFFLINE_CPU] = LF_DEVICE_CPU,
        [LF_OFFLINE_REF] = LF_DEVICE_REF,
        [LF_OFFLINE_CUDA] = LF_DEVICE_CUDA,
    };
    s->daemon.device = s->device == LF_OFFLINE_AUTO ? best_device() : kinds[s->device];
    s->daemon.quant = (enum lf_quant)s->quant;
    s->daemon.threads = (int)s->threads;
    s->daemon.slots = (int)s->slots;
    s->daemon.batch_tokens_max = (int)s->batch_tokens;
    s->daemon.train_tokens = (int)s->train_tokens;
    s->daemon.drain_seconds = (int)s->drain_seconds;
    lf_log_set_level((enum lf_log_level)s->log_level);
}

int lf_serving_stop_fd(bool children)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    if (children)
        sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC);
}
