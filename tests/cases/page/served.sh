# The page is served from the program: with an ETag, under a policy that lets nothing run but its
# own modules; every file that one of its files names is there, and none names another server.
. "$TEST_LIB/http.sh"
serve --train-tokens 0
head_of() { curl -sS -D - -o "$WORK/body" "$@" | tr -d '\r'; }
head_of "$URL/" >"$WORK/head"
grep -q '^Content-Type: text/html' "$WORK/head"
policy=$(sed -n 's/^Content-Security-Policy: //p' "$WORK/head")
wanted="default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
wanted="${wanted}frame-ancestors 'none'"
[ "$policy" = "$wanted" ] || fail "$policy"
grep -q '^X-Content-Type-Options: nosniff' "$WORK/head"
grep -Eq '<script>|<style|style="| on[a-z]+="' "$WORK/body" && fail "there is code in the document"
etag=$(sed -n 's/^ETag: //p' "$WORK/head")
[ -n "$etag" ]
answers_with 304 GET / -H "If-None-Match: $etag"
answers_with 200 GET / -H 'If-None-Match: "another"'
answers_with 404 GET /page/nothing.js
answers_with 404 GET /page/..%2Fnothing
answers_with 405 POST /page/app.js

seen=
walk() {
    local file
    for file in $(grep -Eo '(/page/|"\./)[a-z]+\.(js|css|svg)' "$WORK/body" | sed 's|.*/||'); do
        case " $seen " in *" $file "*) continue ;; esac
        seen="$seen $file"
        answers_with 200 GET "/page/$file"
        grep -Eq 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(' "$WORK/body" &&
            fail "$file makes elements of texts"
        sed 's|http://www.w3.org/2000/svg||g' "$WORK/body" | grep -Eo 'https?://[a-z0-9.]+' >&2 &&
            fail "$file names another server"
        walk
    done
}
call GET / >/dev/null
walk
for file in "$LF_SOURCE"/page/*.{js,css,svg}; do
    case " $seen " in *" $(basename "$file") "*) ;; *) fail "nothing uses $file" ;; esac
done
