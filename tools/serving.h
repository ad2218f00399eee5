/* The command line of the daemon: what `lorafsd` and `lorafs serve` have in common. */
#ifndef LF_TOOLS_SERVING_H
#define LF_TOOLS_SERVING_H

#include "core/limits.h"
#include "core/log.h"
#include "daemon/daemon.h"
#include "tools/offline.h"
#include "tools/options.h"
#include "tools/seats.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct lf_serving {
    struct lf_daemon_options daemon;
    char data_dir[LF_PATH_MAX]; /* the default one */
    struct lf_option_strs base; /* as given */
    struct lf_serving_base {
        char name[LF_NAME_MAX + 1]; /* "": its directory's */
        char dir[LF_PATH_MAX];      /* where it is (tools/hub_cache.h) */
    } base_at[LF_BASES_MAX];
    struct lf_daemon_base bases[LF_BASES_MAX];
    char draft_dir[LF_PATH_MAX];
    /* As the options table wants them; lf_serving_run moves them into `daemon`. */
    int device, quant, cpu_products, recompute, speculate, log_level, log_format;
    struct lf_option_strs pin;
    struct lf_seats seats;
    int64_t threads, slots, batch_tokens, train_tokens, lame_duck_seconds, drain_seconds;
    int64_t request_seconds;
    /* What this process was before it restarted itself (lf_serving_run): */
    int losses_in_a_row; /* each soon after a start */
    pid_t mount;         /* its child that is a mount; 0: none */
    uint64_t started_ns;
};

/* clang-format off */
#define LF_SERVING_OPTIONS(s)                                                                      \
    {"base", 'b', LF_OPT_STRS, "[NAME=]BASE", &(s).base,                                           \
     "a base model: a checkpoint directory, or one at the hub, pulled into its cache; called by "  \
     "its directory or by NAME. may be given again: the first is the default",                     \
     .required = true},                                                                            \
    {"data", 'D', LF_OPT_STR, "DIR", &(s).daemon.data_dir,                                         \
     "where adapters, data sets and state are kept"},                                              \
    {"listen", 'l', LF_OPT_STR, "[ADDR:]PORT", &(s).daemon.listen,                                 \
     "TCP address of the HTTP API; port 0 takes any that is free"},                                \
    {"no-tcp", 0, LF_OPT_FLAG, NULL, &(s).daemon.no_tcp, "listen on the unix socket alone"},       \
    {"socket", 0, LF_OPT_STR, "PATH", &(s).daemon.socket_path,                                     \
     "the unix socket; lorafsd.sock in the data directory if not given"},                          \
    {"api-key-file", 0, LF_OPT_STR, "FILE", &(s).daemon.api_key_file,                              \
     "ask clients for the key on this file's first line, or for one of `lorafs key`"},             \
    {"keys", 0, LF_OPT_STR, "FILE", &(s).daemon.keys_file,                                         \
     "the keys of `lorafs key`; keys.json in the data directory if not given"},                    \
    {"insecure", 0, LF_OPT_FLAG, NULL, &(s).daemon.insecure,                                       \
     "listen beyond this machine without keys: all who reach it may do everything"},               \
    {"tls-cert", 0, LF_OPT_STR, "FILE", &(s).daemon.tls_cert,                                      \
     "serve HTTPS with this certificate, or chain of them; SIGHUP reads it anew"},                 \
    {"tls-key", 0, LF_OPT_STR, "FILE", &(s).daemon.tls_key, "the certificate's key"},              \
    {"cors", 0, LF_OPT_STR, "ORIGIN,...", &(s).daemon.cors,                                        \
     "web pages that may ask, besides this machine's: https://a.example; * is every page"},        \
    {"share", 0, LF_OPT_STR, "DIR", &(s).daemon.share_dir,                                         \
     "serve the same adapters as other daemons over this directory, which all of them reach"},     \
    {"peers", 0, LF_OPT_STR, "URL,...", &(s).daemon.peers,                                         \
     "serve the same adapters as these daemons, which are asked over HTTP"},                       \
    {"peers-key-file", 0, LF_OPT_STR, "FILE", &(s).daemon.peers_key_file,                          \
     "file whose first line is an admin's key of --peers"},                                        \
    {"peers-cacert", 0, LF_OPT_STR, "FILE", &(s).daemon.peers_cacert,                              \
     "certificates that those of https --peers must be signed by; otherwise the system's"},        \
    {"allow-load", 0, LF_OPT_FLAG, NULL, &(s).daemon.allow_load,                                   \
     "clients may have adapters loaded from any directory of this machine"},                       \
    {"load-root", 0, LF_OPT_STR, "DIR", &(s).daemon.load_root,                                     \
     "clients may have adapters loaded from directories below this one"},                          \
    {"quant", 'q', LF_OPT_CHOICE, LF_OFFLINE_QUANTS, &(s).quant,                                   \
     "form of the blocks' linear weights; a 4-bit checkpoint is used as it is"},                   \
    {"device", 'd', LF_OPT_CHOICE, LF_DEVICE_WORDS, &(s).device,                                   \
     "where to compute; auto takes a CUDA card where there is one"},                               \
    {"threads", 't', LF_OPT_INT, "N", &(s).threads, "threads of the cpu device; 0: one a core",    \
     .hi = 1024},                                                                                  \
    {"cpu-products", 0, LF_OPT_CHOICE, LF_CPU_PRODUCTS_WORDS, &(s).cpu_products,                   \
     "how the cpu device multiplies 4-bit weights where it generates: int8 is the fastest, "       \
     "and rounds activations and codes to 8 bits; training is in fp32 always"},                    \
    {"gpu", 0, LF_OPT_STR, "N,...|all", &(s).seats.gpu,                                            \
     "which cards of the cuda device, from 0: the base is on each, and they share the work"},      \
    {"seats", 0, LF_OPT_INT, "N", &(s).seats.n,                                                    \
     "how many times the base is on the cpu device; they share its threads, and the work",         \
     .lo = 1, .hi = LF_SEATS_MAX},                                                                 \
    {"memory", 'm', LF_OPT_BYTES, "BYTES", &(s).daemon.gpu_memory_bytes,                           \
     "ceiling for device memory; 0: all there is", .hi = 1e15},                                    \
    {"host-memory", 0, LF_OPT_BYTES, "BYTES", &(s).daemon.host_memory_bytes,                       \
     "ceiling for requests, adapters, rows and activations; 0: half of what there is",             \
     .lo = 0, .hi = 1e15},                                                                         \
    {"slots", 0, LF_OPT_INT, "N", &(s).slots, "most adapters on the device", .lo = 1,              \
     .hi = LF_SLOTS_MAX},                                                                          \
    {"adapter-memory", 0, LF_OPT_BYTES, "BYTES", &(s).daemon.adapter_memory_bytes,                 \
     "ceiling for the device memory of adapters; 0: what is left",                                 \
     .lo = 0, .hi = 1e15},                                                                         \
    {"adapter-cache", 0, LF_OPT_BYTES, "BYTES", &(s).daemon.adapter_cache_bytes,                   \
     "host memory that keeps adapters near the device; 0: a quarter of --host-memory for a card",  \
     .lo = 0, .hi = 1e15},                                                                         \
    {"adapter-cycle", 0, LF_OPT_REAL, "S", &(s).daemon.adapter_cycle_s,                            \
     "longest that adapters in use keep another from the device", .hi = 86400},                    \
    {"base-cycle", 0, LF_OPT_REAL, "S", &(s).daemon.base_cycle_s,                                  \
     "longest that bases in use keep another of several from the device", .hi = 86400},            \
    {"base-wait", 0, LF_OPT_REAL, "S", &(s).daemon.base_wait_s,                                    \
     "longest that a request waits for room for its base on the device; then it is refused",       \
     .hi = 86400},                                                                                 \
    {"pin", 0, LF_OPT_STRS, "NAME", &(s).pin,                                                      \
     "an adapter, or one of several bases, that stays on the device; may be given again"},         \
    {"kv-tokens", 0, LF_OPT_INT, "N", &(s).daemon.kv_tokens,                                       \
     "tokens of all live sequences together; 0: what the memory allows", .hi = 1e9},               \
    {"batch-tokens", 0, LF_OPT_INT, "N", &(s).batch_tokens, "most tokens of a serving step",       \
     .lo = 1, .hi = 1 << 20},                                                                      \
    {"itl-ms", 0, LF_OPT_REAL, "MS", &(s).daemon.itl_ms,                                           \
     "most time between two tokens of an answer that prompts may cause; 0: by their number",       \
     .hi = 60000},                                                                                 \
    {"speculate", 0, LF_OPT_CHOICE, "auto|off|1|2|3|4|5|6|7", &(s).speculate,                      \
     "tokens that are drafted for an answer and tried out in a step; auto: as it pays"},           \
    {"draft", 0, LF_OPT_STR, "BASE", &(s).daemon.draft_dir,                                        \
     "a small base with the base's tokenizer that drafts them; else they are looked up in "        \
     "the answer's text alone"},                                                                   \
    {"train-tokens", 0, LF_OPT_INT, "N", &(s).train_tokens,                                        \
     "most tokens of a training batch; 0: this daemon does not train", .hi = 1 << 20},             \
    {"train-share", 0, LF_OPT_REAL, "PERCENT", &(s).daemon.train_share,                            \
     "of the time that training has while answers are under way", .lo = 1, .hi = 99},              \
    {"recompute", 0, LF_OPT_CHOICE, LF_RECOMPUTE_WORDS, &(s).recompute,                            \
     "what a training makes again in backward, or keeps in host memory, to save the device's"},    \
    {"checkpoint-seconds", 0, LF_OPT_REAL, "S", &(s).daemon.checkpoint_seconds,                    \
     "between checkpoints of a training: what is lost when the daemon is killed", .hi = 86400},    \
    {"lame-duck", 0, LF_OPT_INT, "SECONDS", &(s).lame_duck_seconds,                                \
     "how long a daemon that is to stop answers as before while /health says 503, so that a load " \
     "balancer turns elsewhere",                                                                   \
     .hi = 3600},                                                                                  \
    {"drain", 0, LF_OPT_INT, "SECONDS", &(s).drain_seconds,                                        \
     "how long answers under way may take to end when the daemon stops", .hi = 86400},             \
    {"store-seconds", 0, LF_OPT_REAL, "S", &(s).daemon.store_seconds,                              \
     "how long a state that cannot be written is tried before the daemon ends", .hi = 86400},      \
    {"request-timeout", 0, LF_OPT_INT, "SECONDS", &(s).request_seconds,                            \
     "how long an answer may take in all; 0: for ever", .hi = 864000},                             \
    {"otlp-endpoint", 0, LF_OPT_STR, "URL", &(s).daemon.otlp_endpoint,                             \
     "a collector of traces (OTLP over HTTP, http://host:4318); otherwise "                        \
     "OTEL_EXPORTER_OTLP_ENDPOINT's"},                                                             \
    {"log-level", 0, LF_OPT_CHOICE, "debug|info|warn|error", &(s).log_level,                       \
     "least level of the lines on stderr"},                                                        \
    {"log-format", 0, LF_OPT_CHOICE, LF_LOG_FORMAT_WORDS, &(s).log_format,                         \
     "form of the lines on stderr; json: an object each"}
/* clang-format on */

/* The defaults, before parsing, and what an earlier life of the process has left behind. */
void lf_serving_init(struct lf_serving *s);
/* After parsing: LF_E_INVALID where options do not go together. And before whoever needs the base
 * waits: finds it, or pulls it. */
enum lf_err lf_serving_base(struct lf_serving *s, struct lf_diag *diag) LF_MUST_CHECK;
/* After that, before any thread is started: runs the daemon until SIGINT, SIGTERM or, where
 * there is a mount, the end of that child. mount: its process; 0: none. SIGPIPE is ignored.
 *
 * Where the device is lost, the process runs this program again (exec, with the same arguments),
 * since CUDA lets it have the card in no other way, and takes the mount over. LF_E_DEVICE_LOST is
 * returned when that is of no use, after three losses in a row each within a minute of the start,
 * or is not possible: then diag has the reason added. */
enum lf_err lf_serving_run(struct lf_serving *s, pid_t mount, struct lf_diag *diag) LF_MUST_CHECK;

#endif
