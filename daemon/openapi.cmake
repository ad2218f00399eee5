# Writes OUT: the document IN with its refusals written out, each of which stands there once.
# "errors": [404] among an operation's responses: 404, and what every route that wants a key may
# answer. "E404": "REASON" among the components: the response that they refer to.
file(READ ${IN} text)
string(REGEX REPLACE "\"(E[0-9]+)\": (\"[^\"]*\")"
  "\"\\1\": {\"description\": \\2, \"content\": {\"application/json\": {\"schema\": {\"$ref\": \"#/components/schemas/Error\"}}}}"
  text "${text}")
string(REPLACE "\"errors\": [" "\"errors\": [401, 403, 413, 429, 500, 503, " text "${text}")
set(before "")
while(NOT text STREQUAL before)
  set(before "${text}")
  string(REGEX REPLACE "\"errors\": \\[([0-9]+)[, ]*"
    "\"\\1\": {\"$ref\": \"#/components/responses/E\\1\"}, \"errors\": [" text "${text}")
endwhile()
string(REPLACE ", \"errors\": []" "" text "${text}")
file(WRITE ${OUT} "${text}")
