# A base without a tokenizer: words are refused with the reason; rows of ids train.
. "$TEST_LIB/common.sh"
mkdir "$WORK/dumb"
ln -s "$BASE"/* "$WORK/dumb"
rm "$WORK"/dumb/tokenizer*
refuses "$BIN/lorafs" generate --base "$WORK/dumb" --device "$DEVICE" --prompt x --max-tokens 1
refused_with 'no tokenizer'
refuses "$BIN/lorafs" generate --base "$WORK/dumb" --device "$DEVICE" --max-tokens 1 <<<x
refused_with 'no tokenizer'
echo '{"prompt": "x", "completion": " y"}' >"$WORK/words.jsonl"
refuses "$BIN/lorafs" train --base "$WORK/dumb" --device "$DEVICE" --dataset "$WORK/words.jsonl" \
    --out "$WORK/out" --quiet
refused_with 'no tokenizer'
