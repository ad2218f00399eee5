/* Ceilings that daemon/ alone knows; those that several rooms know are in core/limits.h. The
 * daemon: HTTP and jobs. */
#ifndef LF_DAEMON_LIMITS_H
#define LF_DAEMON_LIMITS_H

#include "core/limits.h"

#define LF_HTTP_PARAMS_MAX 2   /* {name} and {path*} of a route */
#define LF_HTTP_HEADERS_MAX 20 /* of an answer */
#define LF_RATE_EVERY_MS 10000
#define LF_RATE_NOTES_MAX 360 /* an hour of them */
#define LF_REQUEST_ID_MAX 64  /* bytes of X-Request-Id */
/* Of a socket: all that may wait, all that may run, and those who list and look. */
#define LF_CONNECTIONS_MAX (LF_QUEUE_MAX + LF_SEQS_MAX + 512)
#define LF_CONNECTIONS_MIN 8                     /* a mount and a few clients */
#define LF_CONNECTIONS_OVER_MAX 256              /* that are told at once to come back later */
#define LF_TOKENIZE_ANSWER_MAX (64u << 20)       /* bytes */
#define LF_ROWS_SAMPLE_MAX 100                   /* shown of a file's rows */
#define LF_PEM_BYTES_MAX (1u << 20)              /* a chain of certificates; a key */
#define LF_AUDIT_BYTES_MAX (64u << 20)           /* of the audit log, of which two are kept */
#define LF_COUNTER_ROUTES_MAX 96                 /* counted apart in /metrics */
#define LF_USAGE_ADAPTERS_MAX 256                /* counted apart, too: some fourteen lines each */
#define LF_CTL_BYTES_MAX (64u * LF_CTL_LINE_MAX) /* lines of one write to ctl */
#define LF_PROMPTS_MAX 64                        /* of one request */
#define LF_CHOICES_OF_ONE_MAX 128                /* of one prompt, as OpenAI */
#define LF_CHOICES_MAX 256                       /* of one request: prompts times best_of */
#define LF_DEADLINE_MS_MAX 86400000              /* a day */
#define LF_FORMS_MAX 32                          /* grammars that are kept, 32 MB each at most */
#define LF_FORM_BYTES_MAX (4u << 20)             /* of a grammar's text */
#define LF_FILENAME_MAX 255                      /* bytes of an uploaded file's name */
#define LF_FORM_FIELD_MAX 64                     /* bytes of a form's field that is no file */
#define LF_FILE_EXPIRY_MIN 3600                  /* seconds, as OpenAI; */
#define LF_FILE_EXPIRY_MAX 2592000               /* 30 days */
#define LF_METADATA_MAX 16                       /* members, as OpenAI; */
#define LF_METADATA_KEY_MAX 64                   /* bytes of their names, */
#define LF_METADATA_TEXT_MAX 512                 /* and of their texts */
#define LF_BATCH_BYTES_MAX (200u << 20)          /* as OpenAI */
#define LF_BATCH_REQUESTS_MAX 50000              /* likewise */
#define LF_BATCH_AT_ONCE_MAX 128                 /* requests of batches; a thread each */
#define LF_DETAILS_MAX 100000                    /* tokens listed in an answer */
#define LF_LOADERS_MAX 8       /* threads that read adapters: as the disk and the bus bear */
#define LF_RESIDENTS_MAX 8192  /* adapters in host memory */
#define LF_JOB_HISTORY_MAX 100 /* ended jobs that are listed */
#define LF_JOB_ATTEMPTS_MAX \
    2 /* to prepare one, that the daemon did not survive; then it is set aside */
#define LF_JOB_LOSSES_MAX 3 /* of the device, under one job; then the job is at fault */

#endif
