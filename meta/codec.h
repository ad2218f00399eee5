/* Records as bytes: what LMDB holds. A version byte, then the fields in order; integers and reals
 * are 8 bytes little-endian, strings a 2-byte length and their bytes. Decoding checks every length
 * and refuses trailing bytes: a damaged file gives LF_E_DAMAGED, never a wild read. */
#ifndef LF_META_CODEC_H
#define LF_META_CODEC_H

#include "core/buf.h"
#include "meta/store.h"

enum lf_err lf_adapter_record_encode(struct lf_buf *out,
                                     const struct lf_adapter_record *r) LF_MUST_CHECK;
enum lf_err lf_adapter_record_decode(struct lf_adapter_record *out, const void *data, size_t n,
                                     struct lf_diag *diag) LF_MUST_CHECK;
enum lf_err lf_job_record_encode(struct lf_buf *out, const struct lf_job_record *r) LF_MUST_CHECK;
enum lf_err lf_job_record_decode(struct lf_job_record *out, const void *data, size_t n,
                                 struct lf_diag *diag) LF_MUST_CHECK;

#endif
