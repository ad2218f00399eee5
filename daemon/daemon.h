/* The daemon: owns the device, the base, the store, the jobs and the HTTP server. lorafsd is this
 * and a command line; `lorafs serve` starts the same beside a mount. */
#ifndef LF_DAEMON_H
#define LF_DAEMON_H

#include "core/err.h"
#include "core/limits.h"
#include "gpu/device.h"
#include "model/exec.h"
#include "model/model.h"

#include <stdbool.h>
#include <stdint.h>

/* Where it listens. */
struct lf_daemon_address {
    char tcp[128]; /* "127.0.0.1:8080"; "" with no_tcp */
    char unix_path[LF_PATH_MAX];
};

/* A base that it serves. */
struct lf_daemon_base {
    const char *name; /* "" or NULL: its directory's (lf_base_open) */
    const char *dir;  /* a checkpoint */
};

struct lf_daemon_options {
    const struct lf_daemon_base *bases; /* (n_bases) the first is the default */
    int n_bases;
    const char *data_dir;           /* adapters, store, socket; made where it is not there */
    const char *listen;             /* "ADDR:PORT", "PORT"; port 0: any free one */
    bool no_tcp;                    /* the unix socket alone */
    const char *socket_path;        /* NULL: DATA/lorafsd.sock */
    const char *api_key_file;       /* its first line is a key of an admin; or NULL */
    const char *keys_file;          /* NULL: DATA/keys.json, which need not be there */
    const char *tls_cert, *tls_key; /* PEM files; NULL: TCP is plain HTTP */
    bool insecure;                  /* other machines may do everything where there are no keys */
    const char *cors;      /* pages that may ask: "https://a.example,...", "*" all; NULL: none */
    const char *share_dir; /* of adapters that several daemons serve; NULL: none */
    const char *peers;     /* daemons that have such, "http://a:8080,..."; NULL: none */
    const char *peers_key_file, *peers_cacert; /* how they are asked; or NULL */
    bool allow_load;       /* /v1/load_lora_adapter reads directories of this machine */
    const char *load_root; /* those below this one alone; NULL: all, with allow_load */
    enum lf_device_kind device;
    enum lf_quant quant;
    int seats;   /* devices of that kind, a seat each */
    int threads; /* cpu: of all seats together; 0 = one a core */
    enum lf_cpu_products cpu_products;
    int gpu[LF_SEATS_MAX];        /* cuda: which card, of each seat */
    int64_t gpu_memory_bytes;     /* ceiling for device memory; 0: all */
    int slots;                    /* adapters on the device, at most */
    int64_t adapter_memory_bytes; /* of the device, for those; 0: what is left of its own memory, or
                                     a quarter of the host's */
    int64_t adapter_cache_bytes;  /* of the host, for adapters beside them; 0: a quarter of the
                                     host's, where the device has its own memory */
    double adapter_cycle_s;       /* who waits longer for a place on the device is overtaken by
                                     nobody, until those in use make room */
    double base_cycle_s;       /* several bases: those in use make way for one that waits longer, */
    double base_wait_s;        /* and a request that has waited so long for one is refused */
    const char *const *pinned; /* (n_pinned) adapters, and bases of several, that stay on the
                                  device */
    int n_pinned;
    int64_t kv_tokens;     /* of all sequences together; 0: chosen from the memory */
    int batch_tokens_max;  /* of a serving step */
    double itl_ms;         /* that a step in which sequences decode shall not pass; 0: by share */
    int speculate;         /* drafts of an answer in a step (model/speculate.h) */
    const char *draft_dir; /* a checkpoint that drafts them (model/draft_base.h); NULL: none does */
    int train_tokens;      /* of a fused training batch; 0: this daemon never trains */
    double train_share;    /* of the device's time, that training has beside answers: percent */
    double checkpoint_seconds;   /* a training that the daemon's death cuts off loses this much */
    int lame_duck_seconds;       /* before that, requests are taken for so long while /health says
                                    that it stops: whoever balances goes elsewhere */
    int drain_seconds;           /* answers under way may end within this when it stops */
    double store_seconds;        /* a store that cannot be written is tried for so long, then the
                                    daemon ends with an error */
    enum lf_recompute recompute; /* what a training's backward makes again */
    int64_t host_memory_bytes;   /* for requests, adapters, rows of data sets and what waits for
                                    backward; 0: half of what there is */
    int request_seconds;         /* an answer may take as long; 0: for ever */
    const char *otlp_endpoint;   /* of a collector of traces; NULL: the environment may say */
    const char *version; /* of the code, for the reports of what it trains; NULL: its number */
    int device_losses;   /* before this run of the daemon: for /metrics */
    int stop_fd;         /* readable: stop */
    int reload_fd;       /* readable: read certificates anew; it is read empty. -1: none */
    void (*ready)(void *arg, const struct lf_daemon_address *at); /* or NULL; it answers now */
    void *ready_arg;
};

/* What `lorafsd` does without options. bases, data_dir are to be filled in. */
void lf_daemon_options_default(struct lf_daemon_options *o);
/* Serves until stop_fd is readable: LF_OK after a clean stop. Otherwise why it could not start, or
 * LF_E_DEVICE_LOST when a step failed, mostly of a lost device: another process can open it, or
 * this one after exec. What was under way has ended with that code, and jobs go on where their
 * checkpoints are. Blocks; other threads of the process should have SIGPIPE ignored. */
enum lf_err lf_daemon_run(const struct lf_daemon_options *o, struct lf_diag *diag) LF_MUST_CHECK;

#endif
