/* Ceilings that meta/ alone knows; those that several rooms know are in core/limits.h. The store.
 */
#ifndef LF_META_LIMITS_H
#define LF_META_LIMITS_H

#define LF_RECORD_BYTES_MAX 2048 /* any record; what a writer's stack holds */
#define LF_SEALED_MAX 2560       /* a value and its seal */
#define LF_DOCUMENT_ID_MAX 64    /* a kind and 24 digits */
#define LF_DOCUMENTS_MAX 10000   /* of a kind: as many files as OpenAI lists at once */
#define LF_STORE_FORMATS_MAX 99  /* a number above is no format of a later program, but damage */
#define LF_STORE_READERS_MAX \
    4096 /* a slot of 64 bytes for each thread that reads at the same moment */

#endif
