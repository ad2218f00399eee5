/* Ceilings that keys/ alone knows, and the options that make one; those that several rooms know are
 * in core/limits.h. */
#ifndef LF_KEYS_LIMITS_H
#define LF_KEYS_LIMITS_H

#define LF_KEYS_MAX 10000       /* of one daemon */
#define LF_KEY_GRANTS_MAX 64    /* adapters, or patterns of them, of a key */
#define LF_KEY_RATE_MAX 1000000 /* requests a minute, or at once */
#define LF_KEY_WAITING 512      /* of LF_QUEUE_MAX: one key leaves others room */
#define LF_KEY_TEXT_MAX 76      /* bytes of a key */

#endif
