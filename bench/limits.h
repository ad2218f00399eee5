/* Ceilings that bench/ alone knows. */
#ifndef LF_BENCH_LIMITS_H
#define LF_BENCH_LIMITS_H

#define LF_LOAD_MODELS_MAX 10000
#define LF_LOAD_USERS_MAX 4096

#endif
