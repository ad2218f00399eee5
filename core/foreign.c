/* First bytes of files of other kinds. */
#include "core/foreign.h"

#include <string.h>

#define TAR_AT 257 /* of the magic, in the first file's header */

static const struct {
    const char *magic;
    size_t n;
    const char *what;
} kinds[] = {
    {"PAR1", 4, "a Parquet file: save its rows as JSON lines"},
    {"\x1f\x8b", 2, "compressed with gzip: unpack it"},
    {"\x28\xb5\x2f\xfd", 4, "compressed with zstd: unpack it"},
    {"\xfd"
     "7zXZ",
     5, "compressed with xz: unpack it"},
    {"BZh", 3, "compressed with bzip2: unpack it"},
    {"PK\x03\x04", 4,
     "a zip archive: unpack it (a .bin of PyTorch is one: save it as safetensors)"},
    {"\xff\xfe", 2, "UTF-16 text: save it as UTF-8"},
    {"\xfe\xff", 2, "UTF-16 text: save it as UTF-8"},
    {"version https://git-lfs", 23, "a Git LFS pointer, not the file itself: run `git lfs pull`"},
    {"<!DOCTYPE", 9, "an HTML page, as of a download that failed"},
    {"<html", 5, "an HTML page, as of a download that failed"},
    {"ARROW1", 6, "an Arrow file: save it as Parquet"},
    {"\xff\xff\xff\xff", 4, "an Arrow stream, as `datasets` keeps it: save it as Parquet"},
    {"SQLite format 3", 15, "an SQLite database: save the rows as JSON lines"},
    {"\x93NUMPY", 6, "a NumPy array: save the rows as JSON lines"},
    {"\x80\x04\x95", 3, "a pickle of Python's: save the rows as JSON lines"},
    {"\x80\x02", 2, "a pickle of Python's: save the rows as JSON lines"},
    {"\xd0\xcf\x11\xe0", 4, "an old Office file: save it as CSV"},
    {"%PDF", 4, "a PDF document"},
    {"<!doctype", 9, "an HTML page, as of a download that failed"},
    {"<?xml", 5, "an XML file: save the rows as JSON lines"},
    {"FEA1", 4, "a Feather file: save it as Parquet"},
    {"Obj\x01", 4, "an Avro file: save it as Parquet"},
    {"\x04\x22\x4d\x18", 4, "compressed with lz4: unpack it"},
    {"7z\xbc\xaf", 4, "a 7z archive: unpack it"},
    {"Rar!", 4, "a rar archive: unpack it"},
};

enum lf_err lf_foreign_check(const void *bytes, size_t n, struct lf_diag *diag)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].n && memcmp(bytes, kinds[i].magic, kinds[i].n) == 0)
            return lf_fail(diag, LF_E_UNSUPPORTED, "it is %s", kinds[i].what);
    if (n >= TAR_AT + 5 && memcmp((const char *)bytes + TAR_AT, "ustar", 5) == 0)
        return lf_fail(diag, LF_E_UNSUPPORTED, "it is a tar archive: unpack it");
    return LF_OK;
}
