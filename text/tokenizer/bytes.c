/* GPT-2's byte alphabet: every byte has a printable character, so that a vocabulary of byte
 * strings can be written as text. Printable Latin-1 stands for itself; the other 68 bytes are
 * numbered from U+0100 in order. */
#include "text/tokenizer/pattern.h"

static bool is_printable(uint32_t c)
{
    return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

uint32_t lf_tok_byte_to_char(unsigned char byte)
{
    if (is_printable(byte))
        return byte;
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte == 0xad)
        return 0x143;
    return 0x121u + (byte - 0x7fu);
}

int lf_tok_char_to_byte(uint32_t c)
{
    if (c <= 0xff)
        return is_printable(c) ? (int)c : -1;
    if (c <= 0x120)
        return (int)c - 0x100;
    if (c <= 0x142)
        return (int)c - 0x121 + 0x7f;
    return c == 0x143 ? 0xad : -1;
}
