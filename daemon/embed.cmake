# Writes OUT: the bytes of IN as the C array SYMBOL, and their number.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)"
  "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"daemon/embedded.h\"\n\n"
  "const unsigned char ${SYMBOL}[] = {\n${bytes}};\n"
  "const size_t ${SYMBOL}_n = sizeof ${SYMBOL};\n")
